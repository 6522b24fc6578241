//! A host's `networkConfig` as NetworkManager keyfiles, by nmstate's own rules.

use nmstate::{NetworkState, NmstateError};
use serde_json::Value;

/// File names and contents for `/etc/NetworkManager/system-connections`, in the order of their names.
///
/// # Errors
/// The description is not nmstate's, or contradicts itself.
pub fn keyfiles(network_config: &Value) -> Result<Vec<(String, String)>, NmstateError> {
    // nmstate tells kinds of interfaces apart while it reads text; a value of another reader confuses it.
    let state = NetworkState::new_from_yaml(&network_config.to_string())?;
    let mut files = state.gen_conf()?.remove("NetworkManager").unwrap_or_default();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bond_with_a_vlan_and_an_address_becomes_keyfiles() {
        let config = json!({
            "interfaces": [
                {"name": "eno1", "type": "ethernet", "state": "up"},
                {"name": "eno2", "type": "ethernet", "state": "up"},
                {"name": "bond0", "type": "bond", "state": "up",
                 "link-aggregation": {"mode": "802.3ad", "port": ["eno1", "eno2"]}},
                {"name": "bond0.100", "type": "vlan", "state": "up", "vlan": {"base-iface": "bond0", "id": 100},
                 "ipv4": {"enabled": true, "dhcp": false, "address": [{"ip": "192.0.2.11", "prefix-length": 24}]}},
            ],
            "routes": {"config": [{
                "destination": "0.0.0.0/0", "next-hop-address": "192.0.2.1", "next-hop-interface": "bond0.100",
            }]},
            "dns-resolver": {"config": {"server": ["192.0.2.53"]}},
        });
        let files = keyfiles(&config).expect("valid");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["bond0.100.nmconnection", "bond0.nmconnection", "eno1.nmconnection", "eno2.nmconnection"]
        );
        for wanted in ["192.0.2.11/24", "0.0.0.0/0,192.0.2.1", "dns=192.0.2.53", "id=100"] {
            assert!(files[0].1.contains(wanted), "no {wanted} in {}", files[0].1);
        }
        assert!(files[1].1.contains("mode=802.3ad"), "{}", files[1].1);
    }

    #[test]
    fn an_unknown_word_is_refused() {
        let config = json!({"interfaces": [{"name": "eno1", "type": "ethernet", "ipv4": {"adress": []}}]});
        assert!(keyfiles(&config).is_err());
    }
}
