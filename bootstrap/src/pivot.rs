//! Decides, from what is seen, how etcd grows and what each master is to run. No I/O, no clock.
//!
//! Rules (design 4.4 and 8.8): one learner at a time; a learner is promoted only while every voter's node answers;
//! a member of an older installation of a host is removed by id; a control plane starts where etcd votes.

use crate::etcd::Member;
use ashlar_model::bootstrap_api::{HostRecord, NodeOrder, NodeReport, Role};
use ashlar_model::control_plane::{member_name, peer_url};
use std::net::Ipv4Addr;

pub const REVISION: u32 = 1;

/// What is known of one host at this moment.
pub struct Seen<'a> {
    pub host: &'a HostRecord,
    /// The last report, if it is fresh.
    pub report: Option<&'a NodeReport>,
    /// Its Node object is `Ready`.
    pub ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdAction {
    AddLearner { host: String, peer_url: String },
    Promote { host: String, id: String },
    RemoveStale { name: String, id: String },
}

/// The next change of etcd's membership, if there is one.
pub fn next_etcd(members: &[Member], masters: &[Seen<'_>]) -> Option<EtcdAction> {
    if let Some(stale) = members.iter().find(|member| is_stale(member, masters)) {
        return Some(EtcdAction::RemoveStale { name: stale.name.clone(), id: stale.id.clone() });
    }
    if let Some(learner) = members.iter().find(|member| member.is_learner) {
        let seen = masters.iter().find(|seen| owns(seen.host, learner))?;
        let started = seen.report.is_some_and(|report| report.etcd_started);
        return (started && voters_answer(members, masters))
            .then(|| EtcdAction::Promote { host: seen.host.name.clone(), id: learner.id.clone() });
    }
    masters
        .iter()
        .filter(|seen| seen.report.is_some())
        .filter_map(|seen| seen.host.address.map(|address| (seen.host, address)))
        .find(|(host, _)| !members.iter().any(|member| owns(host, member)))
        .map(|(host, address)| EtcdAction::AddLearner {
            host: host.name.clone(),
            peer_url: peer_url(address),
        })
}

/// Every voter that is a master reports a started etcd.
fn voters_answer(members: &[Member], masters: &[Seen<'_>]) -> bool {
    members.iter().filter(|member| !member.is_learner).all(|member| {
        masters
            .iter()
            .find(|seen| owns(seen.host, member))
            .is_none_or(|seen| seen.report.is_some_and(|report| report.etcd_started))
    })
}

/// The member runs on this host: by its peer URL, for it has no name before its first start.
fn owns(host: &HostRecord, member: &Member) -> bool {
    host.address.is_some_and(|address| member.peer_urls.contains(&peer_url(address)))
}

/// A started member on a host's address whose name is of an older installation.
fn is_stale(member: &Member, masters: &[Seen<'_>]) -> bool {
    !member.name.is_empty()
        && masters.iter().any(|seen| {
            owns(seen.host, member) && member.name != member_name(&seen.host.name, seen.host.generation)
        })
}

/// What `host` is to run now.
pub fn order(
    members: &[Member],
    hosts: &[HostRecord],
    host: &HostRecord,
    bootstrap: (&str, Ipv4Addr),
    over: bool,
) -> NodeOrder {
    let own = members.iter().find(|member| owns(host, member));
    let member_name = (host.role == Role::Master).then(|| member_name(&host.name, host.generation));
    let control_plane = host.role == Role::Master && own.is_some_and(|member| !member.is_learner);
    NodeOrder {
        etcd_initial_cluster: own
            .filter(|_| host.role == Role::Master)
            .map(|_| initial_cluster(members, hosts)),
        etcd_member_name: member_name,
        control_plane,
        vrrp_peers: if control_plane { vrrp_peers(hosts, bootstrap.1) } else { vec![] },
        revision: if control_plane { REVISION } else { 0 },
        enrolment_over: over,
    }
}

/// `name=peer-url` of all members; one that has not started yet is named by its host.
fn initial_cluster(members: &[Member], hosts: &[HostRecord]) -> String {
    let mut parts: Vec<String> = members
        .iter()
        .filter_map(|member| {
            let url = member.peer_urls.first()?;
            let name = match hosts.iter().find(|host| owns(host, member)) {
                _ if !member.name.is_empty() => member.name.clone(),
                Some(host) => member_name(&host.name, host.generation),
                None => return None,
            };
            Some(format!("{name}={url}"))
        })
        .collect();
    parts.sort();
    parts.join(",")
}

fn vrrp_peers(hosts: &[HostRecord], bootstrap: Ipv4Addr) -> Vec<Ipv4Addr> {
    let mut peers: Vec<_> =
        hosts.iter().filter(|host| host.role == Role::Master).filter_map(|host| host.address).collect();
    peers.push(bootstrap);
    peers.sort();
    peers.dedup();
    peers
}

/// Masters that keep the pivot from being complete, each with what is missing; empty means complete.
pub fn missing(members: &[Member], masters: &[Seen<'_>], wanted: usize) -> Vec<String> {
    let mut missing: Vec<String> = masters.iter().filter_map(|seen| lacks(members, seen)).collect();
    if masters.len() < wanted {
        missing.push(format!("{} of {wanted} masters are known", masters.len()));
    }
    missing
}

fn lacks(members: &[Member], seen: &Seen<'_>) -> Option<String> {
    let name = &seen.host.name;
    let Some(report) = seen.report else {
        return Some(format!("{name} has not reported"));
    };
    let voter = members.iter().any(|member| owns(seen.host, member) && !member.is_learner);
    let lack = if !voter {
        "etcd is not a voter yet"
    } else if !report.api_ready || report.revision != REVISION {
        "its API server is not ready"
    } else if !report.keepalived_running {
        "keepalived does not run"
    } else if !seen.ready {
        "its node is not Ready"
    } else {
        return None;
    };
    Some(format!("{name}: {lack}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, last: u8, generation: u32) -> HostRecord {
        HostRecord {
            name: name.into(),
            role: Role::Master,
            boot_mac: String::new(),
            address: Some([192, 0, 2, last].into()),
            token_sha256: String::new(),
            key_sha256: None,
            generation,
            kubelet_token: String::new(),
        }
    }

    fn member(name: &str, last: u8, is_learner: bool) -> Member {
        Member {
            id: format!("{last}"),
            name: name.into(),
            peer_urls: vec![format!("https://192.0.2.{last}:2380")],
            is_learner,
        }
    }

    fn started() -> NodeReport {
        NodeReport { etcd_started: true, ..NodeReport::default() }
    }

    #[test]
    fn one_learner_at_a_time() {
        let (first, second) = (host("master-1", 21, 1), host("master-2", 22, 1));
        let report = NodeReport::default();
        let seen = [
            Seen { host: &first, report: Some(&report), ready: false },
            Seen { host: &second, report: Some(&report), ready: false },
        ];
        let alone = vec![member("bootstrap-1", 20, false)];
        assert!(
            matches!(next_etcd(&alone, &seen), Some(EtcdAction::AddLearner { host, .. }) if host == "master-1")
        );
        let joining = vec![member("bootstrap-1", 20, false), member("", 21, true)];
        assert_eq!(next_etcd(&joining, &seen), None);
    }

    #[test]
    fn a_started_learner_is_promoted_only_while_voters_answer() {
        let (first, second) = (host("master-1", 21, 1), host("master-2", 22, 1));
        let (up, down) = (started(), NodeReport::default());
        let members = vec![
            member("bootstrap-1", 20, false),
            member("master-1-1", 21, false),
            member("master-2-1", 22, true),
        ];
        let with = |report| {
            let seen = [
                Seen { host: &first, report, ready: true },
                Seen { host: &second, report: Some(&up), ready: false },
            ];
            next_etcd(&members, &seen)
        };
        assert_eq!(with(Some(&up)), Some(EtcdAction::Promote { host: "master-2".into(), id: "22".into() }));
        assert_eq!(with(Some(&down)), None);
        assert_eq!(with(None), None);
    }

    #[test]
    fn a_reinstalled_host_leaves_its_old_membership() {
        let again = host("master-1", 21, 2);
        let seen = [Seen { host: &again, report: None, ready: false }];
        let members = vec![member("bootstrap-1", 20, false), member("master-1-1", 21, false)];
        assert_eq!(
            next_etcd(&members, &seen),
            Some(EtcdAction::RemoveStale { name: "master-1-1".into(), id: "21".into() })
        );
    }

    #[test]
    fn a_master_runs_a_control_plane_only_where_etcd_votes() {
        let hosts = vec![host("master-1", 21, 1)];
        let bootstrap = ("bootstrap", Ipv4Addr::new(192, 0, 2, 20));
        let learner = vec![member("bootstrap-1", 20, false), member("", 21, true)];
        let learning = order(&learner, &hosts, &hosts[0], bootstrap, false);
        assert!(!learning.control_plane);
        assert_eq!(
            learning.etcd_initial_cluster.as_deref(),
            Some("bootstrap-1=https://192.0.2.20:2380,master-1-1=https://192.0.2.21:2380")
        );
        let voter = vec![member("bootstrap-1", 20, false), member("master-1-1", 21, false)];
        assert!(order(&voter, &hosts, &hosts[0], bootstrap, false).control_plane);
    }
}
