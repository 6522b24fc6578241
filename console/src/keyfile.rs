//! The form's settings as NetworkManager connections. Pure.

use crate::settings::{Settings, Static};

/// Names of connections begin with this; they go before those that ask DHCP everywhere.
pub const PREFIX: &str = "ashlar-form";
const PRIORITY: &str = "autoconnect-priority=100\n";
const BOND: &str = "bond0";

/// Connection names and keyfiles, in the order in which they are to be brought up.
pub fn keyfiles(settings: &Settings) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let bond = settings.ports.len() > 1;
    let base = if bond { BOND } else { settings.ports[0].as_str() };
    let own = |on_top: bool| if on_top { NO_ADDRESS.to_owned() } else { addresses(settings) };
    let name = |what: &str| format!("{PREFIX}-{what}");
    let head = |what: &str, kind: &str| format!("[connection]\nid={PREFIX}-{what}\ntype={kind}\n{PRIORITY}");
    if bond {
        let mode = &settings.bond_mode;
        let text = head(BOND, "bond")
            + &format!("interface-name={BOND}\n\n[bond]\nmode={mode}\nmiimon=100\n\n")
            + &own(settings.vlan.is_some());
        files.push((name(BOND), text));
        for port in &settings.ports {
            let text = head(port, "ethernet")
                + &format!("interface-name={port}\ncontroller={BOND}\nport-type=bond\n");
            files.push((name(port), text));
        }
    } else {
        let text =
            head(base, "ethernet") + &format!("interface-name={base}\n\n") + &own(settings.vlan.is_some());
        files.push((name(base), text));
    }
    if let Some(id) = settings.vlan {
        let vlan = format!("{base}.{id}");
        let text = head(&vlan, "vlan")
            + &format!("interface-name={vlan}\n\n[vlan]\nid={id}\nparent={base}\nflags=1\n\n")
            + &addresses(settings);
        files.push((name(&vlan), text));
    }
    files
}

const NO_ADDRESS: &str = "[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n";

fn addresses(settings: &Settings) -> String {
    let section = |ipv4: bool| {
        let fixed = settings.address.as_ref().filter(|fixed| fixed.address.is_ipv4() == ipv4);
        let mut text = match (fixed, &settings.address) {
            (Some(Static { address, prefix, gateway }), _) => {
                let gateway = gateway.map(|gateway| format!(",{gateway}")).unwrap_or_default();
                format!("method=manual\naddress1={address}/{prefix}{gateway}\n")
            }
            (None, Some(_)) => "method=disabled\n".to_owned(),
            (None, None) => "method=auto\nmay-fail=true\n".to_owned(),
        };
        let dns = settings.dns.iter().filter(|address| address.is_ipv4() == ipv4);
        let dns: Vec<String> = dns.map(ToString::to_string).collect();
        if !dns.is_empty() && !text.starts_with("method=disabled") {
            text += &format!("dns={};\n", dns.join(";"));
        }
        text
    };
    format!("[ipv4]\n{}\n[ipv6]\n{}", section(true), section(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            ports: vec!["eno1".into()],
            bond_mode: "802.3ad".into(),
            vlan: None,
            address: Some(Static {
                address: "192.0.2.9".parse().expect("an address"),
                prefix: 24,
                gateway: "192.0.2.1".parse().ok(),
            }),
            dns: vec!["192.0.2.53".parse().expect("an address")],
            ntp: Vec::new(),
            server: None,
        }
    }

    #[test]
    fn one_port_with_an_address() {
        assert_eq!(
            keyfiles(&settings()),
            [(
                "ashlar-form-eno1".to_owned(),
                "[connection]\nid=ashlar-form-eno1\ntype=ethernet\nautoconnect-priority=100\ninterface-name=eno1\n\n\
                 [ipv4]\nmethod=manual\naddress1=192.0.2.9/24,192.0.2.1\ndns=192.0.2.53;\n\n[ipv6]\nmethod=disabled\n"
                    .to_owned()
            )]
        );
    }

    #[test]
    fn two_ports_are_a_bond_and_the_vlan_on_it_has_the_address() {
        let settings = Settings { ports: vec!["eno1".into(), "eno2".into()], vlan: Some(7), ..settings() };
        let files = keyfiles(&settings);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["ashlar-form-bond0", "ashlar-form-eno1", "ashlar-form-eno2", "ashlar-form-bond0.7"]
        );
        assert!(files[0].1.contains("mode=802.3ad") && files[0].1.contains("method=disabled"));
        assert!(files[1].1.contains("controller=bond0\nport-type=bond"));
        assert!(files[3].1.contains("id=7\nparent=bond0") && files[3].1.contains("address1=192.0.2.9/24"));
    }

    #[test]
    fn without_an_address_dhcp_is_asked() {
        let settings = Settings { address: None, ..settings() };
        assert!(keyfiles(&settings)[0].1.contains("[ipv4]\nmethod=auto\nmay-fail=true\ndns=192.0.2.53;"));
    }
}
