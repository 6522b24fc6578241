//! Network interfaces, from `ip -json`: it asks the kernel of this network namespace, which a bound `/sys` may not.

use std::net::IpAddr;

use ashlar_model::inventory::Interface;
use serde::Deserialize;

use super::Machine;
use crate::cmd::Cmd;

/// What people put on top of interfaces. Not bridges: on a node those belong to pods.
const STACKED_KINDS: &[&str] = &["bond", "vlan", "team"];
/// Kinds of links that are made by software; `veth` is a container machine's own interface and counts.
const REAL_KINDS: &[&str] = &["", "veth", "macvlan", "ipvlan"];

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    link_type: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    linkinfo: Kind,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize, Default)]
struct Kind {
    #[serde(default)]
    info_kind: String,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    #[serde(default)]
    scope: String,
}

/// Ethernet interfaces with their global addresses, ordered by name.
pub async fn read(machine: &Machine) -> Vec<Interface> {
    parse(&list().await, REAL_KINDS, |name| speed(machine, name))
}

/// Those, and the bonds and VLANs on top of them; without the pods' ends of a node.
pub async fn with_stacked() -> Vec<Interface> {
    let mut found = parse(&list().await, &[REAL_KINDS, STACKED_KINDS].concat(), |_| None);
    found.retain(|one| !one.name.starts_with("veth"));
    found
}

async fn list() -> String {
    match Cmd::new("ip").args(["-json", "-details", "address", "show"]).run().await {
        Ok(output) => output.stdout,
        Err(error) => {
            tracing::warn!(%error, "network interfaces cannot be listed");
            String::new()
        }
    }
}

fn parse(json: &str, kinds: &[&str], speed: impl Fn(&str) -> Option<u32>) -> Vec<Interface> {
    let links: Vec<Link> = serde_json::from_str(json).unwrap_or_default();
    let real = links
        .into_iter()
        .filter(|link| link.link_type == "ether" && kinds.contains(&link.linkinfo.info_kind.as_str()));
    let mut interfaces: Vec<Interface> = real
        .map(|link| Interface {
            mac: link.address.to_lowercase(),
            link: link.flags.iter().any(|flag| flag == "LOWER_UP"),
            speed: speed(&link.ifname),
            mtu: link.mtu,
            addresses: link
                .addr_info
                .into_iter()
                .filter(|address| address.scope == "global")
                .filter_map(|address| address.local)
                .collect(),
            name: link.ifname,
        })
        .collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    interfaces
}

/// Drivers say -1 when they do not know.
fn speed(machine: &Machine, name: &str) -> Option<u32> {
    machine.text(format!("sys/class/net/{name}/speed"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_interfaces_and_global_addresses_count() {
        let json = r#"[
            {"ifname":"lo","link_type":"loopback","address":"00:00:00:00:00:00"},
            {"ifname":"cni0","link_type":"ether","address":"aa:aa:aa:aa:aa:aa","linkinfo":{"info_kind":"bridge"}},
            {"ifname":"host0","flags":["UP","LOWER_UP"],"mtu":1500,"link_type":"ether",
             "address":"52:54:00:AA:00:01","linkinfo":{"info_kind":"veth"},
             "addr_info":[{"family":"inet","local":"192.0.2.10","scope":"global"},
                          {"family":"inet6","local":"fe80::1","scope":"link"}]},
            {"ifname":"eno1","mtu":9000,"link_type":"ether","address":"52:54:00:aa:00:02"}]"#;
        let found = parse(json, REAL_KINDS, |name| (name == "eno1").then_some(25_000));
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["eno1", "host0"]);
        assert_eq!(found[1].mac, "52:54:00:aa:00:01");
        assert_eq!(found[1].addresses, ["192.0.2.10".parse::<IpAddr>().expect("an address")]);
        assert!(found[1].link && !found[0].link);
        assert_eq!(found[0].speed, Some(25_000));
    }
}
