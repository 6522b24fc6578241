//! What the network form asks for, judged. Pure.

use std::net::IpAddr;

pub const BOND_MODES: [&str; 4] = ["active-backup", "802.3ad", "balance-xor", "balance-rr"];

/// The text of the form's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub ports: String,
    pub bond_mode: String,
    pub vlan: String,
    pub method: String,
    pub address: String,
    pub gateway: String,
    pub dns: String,
    pub ntp: String,
    pub server: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// One port; more become a bond.
    pub ports: Vec<String>,
    pub bond_mode: String,
    pub vlan: Option<u16>,
    /// None asks DHCP.
    pub address: Option<Static>,
    pub dns: Vec<IpAddr>,
    pub ntp: Vec<String>,
    /// URL of the engine, or of what is fetched.
    pub server: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Static {
    pub address: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
}

/// The number of the field that is wrong, and why.
pub type Wrong = (usize, String);

/// # Errors
/// The first field that is wrong.
pub fn judge(fields: &Fields, known: &[String]) -> Result<Settings, Wrong> {
    let ports = words(&fields.ports);
    if ports.is_empty() {
        return Err((0, format!("name a port; there are {}", known.join(", "))));
    }
    if let Some(unknown) = ports.iter().find(|port| !known.contains(port)) {
        return Err((0, format!("there is no port {unknown}; there are {}", known.join(", "))));
    }
    let vlan = match fields.vlan.trim() {
        "" => None,
        text => match text.parse::<u16>() {
            Ok(id) if (1..=4094).contains(&id) => Some(id),
            _ => return Err((2, format!("VLAN {text}: must be a number from 1 to 4094, or empty"))),
        },
    };
    let address = if fields.method == "static" { Some(fixed(fields)?) } else { None };
    let dns = words(&fields.dns).into_iter().map(|text| {
        text.parse::<IpAddr>().map_err(|_| (6, format!("{text} is no IP address of a DNS server")))
    });
    let dns = dns.collect::<Result<Vec<_>, _>>()?;
    let ntp = words(&fields.ntp);
    if let Some(bad) =
        ntp.iter().find(|name| !name.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c)))
    {
        return Err((7, format!("{bad} is no name or address of a time server")));
    }
    let server = fields.server.trim();
    let is_url = server.starts_with("http://") || server.starts_with("https://");
    if !server.is_empty() && (!is_url || server.contains(char::is_whitespace) || host_of(server).is_none()) {
        return Err((8, format!("{server} is no URL: http:// or https://, then server and path")));
    }
    let server = (!server.is_empty()).then(|| server.to_owned());
    Ok(Settings { ports, bond_mode: fields.bond_mode.clone(), vlan, address, dns, ntp, server })
}

fn fixed(fields: &Fields) -> Result<Static, Wrong> {
    let text = fields.address.trim();
    let wrong = || (4, format!("`{text}` is no address with a prefix: 192.0.2.9/24, 2001:db8::9/64"));
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if prefix == 0 || prefix > longest {
        return Err((4, format!("prefix {prefix} of {address}: must be from 1 to {longest}")));
    }
    let gateway = match fields.gateway.trim() {
        "" => None,
        text => {
            let gateway: IpAddr = text.parse().map_err(|_| (5, format!("{text} is no IP address")))?;
            if gateway.is_ipv4() != address.is_ipv4() {
                return Err((
                    5,
                    format!("gateway {gateway} and address {address} are of different families"),
                ));
            }
            if gateway == address {
                return Err((
                    5,
                    format!("{gateway} is this machine's own address, it cannot be its gateway"),
                ));
            }
            let link_local = gateway.to_string().starts_with("fe80:");
            if !link_local && !same_network(address, gateway, prefix) {
                return Err((5, format!("gateway {gateway} is not in the network of {address}/{prefix}")));
            }
            Some(gateway)
        }
    };
    Ok(Static { address, prefix, gateway })
}

fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let shift = 128 - u32::from(prefix);
    bits(one) >> shift == bits(other) >> shift
}

/// Server and port of a URL.
pub fn host_of(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (place, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn words(text: &str) -> Vec<String> {
    text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields {
            ports: "eno1".into(),
            bond_mode: BOND_MODES[0].into(),
            method: "static".into(),
            address: "192.0.2.9/24".into(),
            gateway: "192.0.2.1".into(),
            ..Fields::default()
        }
    }

    #[test]
    fn each_wrong_field_is_named_with_what_would_be_right() {
        let known = ["eno1".to_owned(), "eno2".to_owned()];
        let said = |change: &dyn Fn(&mut Fields)| {
            let mut fields = fields();
            change(&mut fields);
            judge(&fields, &known).expect_err("wrong")
        };
        assert_eq!(
            said(&|f| f.ports = "eno9".into()),
            (0, "there is no port eno9; there are eno1, eno2".into())
        );
        assert_eq!(said(&|f| f.vlan = "4095".into()).0, 2);
        assert!(said(&|f| f.address = "192.0.2.9".into()).1.contains("192.0.2.9/24"));
        assert!(said(&|f| f.address = "192.0.2.9/33".into()).1.contains("from 1 to 32"));
        assert!(said(&|f| f.gateway = "198.51.100.1".into()).1.contains("not in the network"));
        assert!(said(&|f| f.gateway = "2001:db8::1".into()).1.contains("different families"));
        assert_eq!(said(&|f| f.dns = "ns1".into()).0, 6);
        assert_eq!(said(&|f| f.ntp = "a b;c".into()).0, 7);
        assert_eq!(said(&|f| f.server = "ftp://x/".into()).0, 8);
        assert!(judge(&fields(), &known).is_ok());
    }

    #[test]
    fn a_server_is_found_in_its_url() {
        assert_eq!(host_of("https://192.0.2.1:6183/x"), Some(("192.0.2.1".into(), 6183)));
        assert_eq!(host_of("http://[2001:db8::1]/x"), Some(("2001:db8::1".into(), 80)));
        assert_eq!(host_of("https://engine"), Some(("engine".into(), 443)));
        assert_eq!(host_of("http:///x"), None);
    }
}
