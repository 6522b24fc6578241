//! Rules of address ranges and virtual addresses.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::problem::{Problem, quoted};
use super::{ClusterNetwork, raw};

pub(super) struct Networking {
    pub machine: Option<Ipv4Net>,
    pub cluster: Option<ClusterNetwork>,
    pub service: Option<Ipv4Net>,
    pub api_vip: Option<Ipv4Addr>,
    pub ingress_vip: Option<Ipv4Addr>,
}

const MACHINE: &str = "networking.machineNetwork";
const CLUSTER: &str = "networking.clusterNetwork";
const SERVICE: &str = "networking.serviceNetwork";
pub(super) const API_VIPS: &str = "platform.baremetal.apiVIPs";
pub(super) const INGRESS_VIPS: &str = "platform.baremetal.ingressVIPs";

pub(super) fn validate(raw: &raw::InstallConfig, problems: &mut Vec<Problem>) -> Networking {
    let networking = &raw.networking;
    let machine = only(networking.machine_network.as_deref(), MACHINE, problems)
        .and_then(|entry| network(entry.cidr.as_deref(), &format!("{MACHINE}[0].cidr"), problems));
    let cluster = cluster(networking.cluster_network.as_deref(), problems);
    let service = match &networking.service_network {
        None => Some(Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 16)),
        Some(list) => only(Some(list), SERVICE, problems)
            .and_then(|entry| network(entry.as_deref(), &format!("{SERVICE}[0]"), problems)),
    };
    sizes(machine, service, problems);
    overlaps(
        &[(MACHINE, machine), (CLUSTER, cluster.map(|cluster| cluster.cidr)), (SERVICE, service)],
        problems,
    );
    let baremetal = &raw.platform.baremetal;
    let api_vip = vip(baremetal.api_vips.as_deref(), API_VIPS, machine, problems);
    let ingress_vip = vip(baremetal.ingress_vips.as_deref(), INGRESS_VIPS, machine, problems);
    if let (Some(api), Some(ingress)) = (api_vip, ingress_vip)
        && api == ingress
    {
        problems.push(
            Problem::new(format!("{INGRESS_VIPS}[0]"), quoted(ingress), "must differ from apiVIPs")
                .hint("take another free address of the machine network"),
        );
    }
    Networking { machine, cluster, service, api_vip, ingress_vip }
}

/// The only entry of a list; more than one, or none in a list that was written, is a problem.
fn only<'a, T>(list: Option<&'a [T]>, path: &str, problems: &mut Vec<Problem>) -> Option<&'a T> {
    let list = list?;
    if list.len() != 1 {
        let hint =
            if list.is_empty() { "" } else { "keep one; several ranges and dual stack are not supported" };
        problems.push(
            Problem::new(path, format!("{} entries", list.len()), "must have exactly one entry").hint(hint),
        );
    }
    list.first()
}

fn network(text: Option<&str>, path: &str, problems: &mut Vec<Problem>) -> Option<Ipv4Net> {
    let text = text?;
    let refuse = |rule: &str, hint: String| Problem::new(path, quoted(text), rule).hint(hint);
    let problem = match text.parse::<IpNet>() {
        Ok(IpNet::V4(net)) if net.addr() == net.network() => return Some(net),
        Ok(IpNet::V4(net)) => refuse("must be the network's own address", format!("write {}", net.trunc())),
        Ok(IpNet::V6(_)) => refuse("must be IPv4; IPv6 is not supported", "use an IPv4 network".into()),
        Err(_) => refuse("must be an IPv4 network in CIDR form", "for example 192.0.2.0/24".into()),
    };
    problems.push(problem);
    None
}

fn cluster(list: Option<&[raw::Network]>, problems: &mut Vec<Problem>) -> Option<ClusterNetwork> {
    let Some(list) = list else {
        let cidr = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 14);
        return Some(ClusterNetwork { cidr, host_prefix: 23 });
    };
    let entry = only(Some(list), CLUSTER, problems)?;
    let cidr = network(entry.cidr.as_deref(), &format!("{CLUSTER}[0].cidr"), problems)?;
    let host_prefix = entry.host_prefix.unwrap_or(23);
    let path = format!("{CLUSTER}[0].hostPrefix");
    if host_prefix <= i64::from(cidr.prefix_len()) || host_prefix > 26 {
        let rule =
            format!("must be greater than {} (the network's own prefix) and at most 26", cidr.prefix_len());
        let hint =
            "23 gives each node 510 pods; the difference of the two is the number of nodes, as a power of 2";
        problems.push(Problem::new(path, quoted(host_prefix), rule).hint(hint));
        return None;
    }
    Some(ClusterNetwork { cidr, host_prefix: u8::try_from(host_prefix).ok()? })
}

/// How many nodes the pod network has room for.
pub(super) fn check_room(cluster: ClusterNetwork, nodes: usize, problems: &mut Vec<Problem>) {
    let room = 1usize << (cluster.host_prefix - cluster.cidr.prefix_len()).min(30);
    if room < nodes {
        problems.push(
            Problem::new(
                format!("{CLUSTER}[0].hostPrefix"),
                quoted(cluster.host_prefix),
                format!("must leave room for {nodes} nodes; {} has {room} ranges", cluster.cidr),
            )
            .hint("use a larger cidr or a greater hostPrefix"),
        );
    }
}

fn sizes(machine: Option<Ipv4Net>, service: Option<Ipv4Net>, problems: &mut Vec<Problem>) {
    if let Some(net) = machine.filter(|net| net.prefix_len() > 29) {
        let rule = "must be at least a /29: nodes and two VIPs need addresses";
        problems.push(Problem::new(format!("{MACHINE}[0].cidr"), quoted(net), rule));
    }
    if let Some(net) = service.filter(|net| !(12..=24).contains(&net.prefix_len())) {
        let rule = "must have a prefix length from 12 to 24";
        problems.push(Problem::new(format!("{SERVICE}[0]"), quoted(net), rule));
    }
}

fn overlaps(ranges: &[(&str, Option<Ipv4Net>)], problems: &mut Vec<Problem>) {
    for (index, (path, range)) in ranges.iter().enumerate() {
        for (other_path, other) in &ranges[..index] {
            let (Some(range), Some(other)) = (range, other) else { continue };
            if range.contains(other) || other.contains(range) {
                problems.push(
                    Problem::new(*path, quoted(range), format!("must not overlap {other_path} ({other})"))
                        .hint("pods, services and machines need ranges of their own"),
                );
            }
        }
    }
}

fn vip(
    list: Option<&[Option<String>]>,
    path: &str,
    machine: Option<Ipv4Net>,
    problems: &mut Vec<Problem>,
) -> Option<Ipv4Addr> {
    let text = only(list, path, problems)?.as_deref()?;
    let path = format!("{path}[0]");
    let address = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address,
        Ok(IpAddr::V6(_)) => {
            problems.push(Problem::new(path, quoted(text), "must be IPv4; IPv6 is not supported"));
            return None;
        }
        Err(_) => {
            problems
                .push(Problem::new(path, quoted(text), "must be an IPv4 address").hint("without a prefix"));
            return None;
        }
    };
    let Some(machine) = machine else { return Some(address) };
    if !machine.contains(&address) {
        let rule = format!("must lie in the machine network {machine}");
        problems.push(Problem::new(path, quoted(address), rule).hint("take a free address of that network"));
    } else if address == machine.network() || address == machine.broadcast() {
        let rule = "must not be the network's or the broadcast address";
        problems.push(Problem::new(path, quoted(address), rule));
    }
    Some(address)
}
