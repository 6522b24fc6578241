//! Rules of single hosts, and of hosts against each other.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::problem::{Problem, quoted};
use super::{Host, Role, bmc, hints, names, network, raw};

/// A host with the place where it is written.
pub(super) struct Placed {
    pub path: String,
    pub host: Host,
}

/// The host, or nothing after its problems were reported. `role` is what the raw role means.
pub(super) fn host(raw: &raw::Host, role: Role, path: &str, problems: &mut Vec<Problem>) -> Option<Placed> {
    if let Some(name) = raw.name.as_ref().filter(|name| !names::is_dns_subdomain(name) || name.len() > 63) {
        let rule = "must be a DNS name: lower-case letters, digits, `-`, at most 63 characters";
        problems.push(Problem::new(format!("{path}.name"), quoted(name), rule).hint("for example ctrl-1"));
    }
    let boot_mac = raw.boot_mac_address.as_ref().and_then(|text| {
        let mac = names::mac(text);
        if mac.is_none() {
            let rule = "must be the MAC address of one interface: six pairs of hex digits with colons";
            problems.push(
                Problem::new(format!("{path}.bootMACAddress"), quoted(text), rule)
                    .hint("for example \"52:54:00:00:00:01\""),
            );
        }
        mac
    });
    let access = bmc::access(&raw.bmc, &format!("{path}.bmc"), problems);
    let root_device_hints =
        hints::validate(&raw.root_device_hints, &format!("{path}.rootDeviceHints"), problems);
    let network_config = network_config(raw, path, problems);
    let host = Host {
        name: raw.name.clone()?,
        role,
        bmc: access?,
        boot_mac: boot_mac?,
        boot_mode: raw.boot_mode,
        root_device_hints,
        network_config,
    };
    Some(Placed { path: path.to_owned(), host })
}

fn network_config(raw: &raw::Host, path: &str, problems: &mut Vec<Problem>) -> Option<Value> {
    let path = format!("{path}.networkConfig");
    let value = match serde_json::to_value(raw.network_config.as_ref()?) {
        Ok(value) => value,
        Err(error) => {
            problems.push(Problem::new(path, error, "must have text keys only"));
            return None;
        }
    };
    let interfaces = value.get("interfaces");
    match interfaces.map(|interfaces| interfaces.as_array()) {
        None => {}
        Some(None) => problems.push(Problem::new(format!("{path}.interfaces"), "no list", "must be a list")),
        Some(Some(list)) => {
            for (index, _) in list.iter().enumerate().filter(|(_, item)| !item["name"].is_string()) {
                let path = format!("{path}.interfaces[{index}].name");
                problems.push(Problem::new(path, "nothing", "is required").hint("for example `name: eno1`"));
            }
        }
    }
    let inside = format!("{path}.");
    if !problems.iter().any(|problem| problem.path.starts_with(&inside))
        && let Err(error) = network::keyfiles(&value)
    {
        let said = error.msg().lines().next().unwrap_or_default().to_owned();
        problems.push(
            Problem::new(&path, said, "must be a network state of nmstate")
                .hint("https://nmstate.io has its words and examples; `nmstatectl gc` checks a file"),
        );
    }
    Some(value)
}

/// Addresses that `networkConfig` gives to the host itself.
pub(super) fn static_addresses(host: &Host) -> Vec<Ipv4Addr> {
    let Some(config) = &host.network_config else { return Vec::new() };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    items(&config["interfaces"])
        .iter()
        .flat_map(|interface| items(&interface["ipv4"]["address"]))
        .filter_map(|address| address["ip"].as_str()?.parse().ok())
        .collect()
}

/// Names, MAC addresses, BMCs and static addresses that stand twice, and VIPs that a host already has.
pub(super) fn check_unique(hosts: &[Placed], vips: &[(&str, Ipv4Addr)], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<(&str, String), String> = HashMap::new();
    for (name, vip) in vips {
        seen.insert(("address", vip.to_string()), (*name).to_owned());
    }
    for Placed { path, host } in hosts {
        let mut check = |kind: &'static str, value: String, field: String| {
            let path = format!("{path}.{field}");
            if let Some(first) = seen.get(&(kind, value.clone())) {
                problems.push(
                    Problem::new(&path, quoted(&value), format!("must differ from {first}"))
                        .hint(format!("each {kind} belongs to one machine")),
                );
            } else {
                seen.insert((kind, value), path);
            }
        };
        check("name", host.name.clone(), "name".into());
        check("MAC address", host.boot_mac.clone(), "bootMACAddress".into());
        check("BMC", host.bmc.address.identity(), "bmc.address".into());
        for address in static_addresses(host) {
            check("address", address.to_string(), "networkConfig".into());
        }
        if let Ok(address) = host.bmc.address.host.parse::<Ipv4Addr>()
            && let Some((name, _)) = vips.iter().find(|(_, vip)| *vip == address)
        {
            problems.push(
                Problem::new(*name, quoted(address), format!("must differ from {path}.bmc.address"))
                    .hint("take another free address of the machine network"),
            );
        }
    }
}
