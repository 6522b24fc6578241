//! What the engine hands to the bootstrap machine, and what bootstrap, masters and engine say to each other.
//!
//! All on `https://<bootstrap>:22623`, server certificate from the install CA, mutual TLS:
//!
//! | call | who | answer |
//! |---|---|---|
//! | `GET /config/{role}` | host: bearer token and bound key | Ignition config (`application/vnd.coreos.ignition+json`) |
//! | `PUT /v1/node` [`NodeReport`] | node daemon: bound key | [`NodeOrder`] |
//! | `POST /v1/first-boot-failure` [`FirstBootFailure`] | host: bound key | empty |
//! | `PUT /v1/hosts` `Vec<HostRecord>` | engine (certificate `engine` of the install CA) | empty |
//! | `GET /v1/status` | engine | [`BootstrapStatus`] |
//! | `POST /v1/finish` | engine | empty: the bootstrap stops its control plane |
//! | `GET /healthz` | anyone | `ok` |

use crate::keys::ClusterKeys;
use crate::machine_config::MachineConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Everything that the bootstrap machine needs; kept on its own disk, root only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bundle {
    pub cluster: Cluster,
    /// This machine's name.
    pub bootstrap_host: String,
    pub hosts: Vec<HostRecord>,
    pub keys: ClusterKeys,
    /// The user's, from the install directory.
    #[serde(default)]
    pub machine_configs: Vec<MachineConfig>,
}

/// The cluster's facts that every part shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub name: String,
    pub base_domain: String,
    pub kubernetes_version: String,
    pub machine_network: ipnet::Ipv4Net,
    pub cluster_network: ipnet::Ipv4Net,
    /// Prefix length of each node's part of the cluster network.
    pub host_prefix: u8,
    pub service_network: ipnet::Ipv4Net,
    pub api_vip: Ipv4Addr,
    pub ingress_vip: Ipv4Addr,
    pub ssh_key: Option<String>,
    /// Time servers besides those that DHCP names: host names or addresses.
    #[serde(default)]
    pub ntp_servers: Vec<String>,
    /// Authorities that every node trusts besides the system's own: PEM.
    #[serde(default)]
    pub additional_trust_bundle: Option<String>,
    /// Masters that the finished cluster has.
    pub masters: usize,
}

impl Cluster {
    pub fn domain(&self) -> String {
        format!("{}.{}", self.name, self.base_domain)
    }

    /// The API server's own address in the service network: its first host.
    pub fn kubernetes_service_ip(&self) -> Ipv4Addr {
        nth(self.service_network, 1)
    }

    /// CoreDNS's address: the tenth host of the service network.
    pub fn dns_service_ip(&self) -> Ipv4Addr {
        nth(self.service_network, 10)
    }

    pub fn api_url(&self) -> String {
        format!("https://{}:6443", self.api_vip)
    }

    /// VRRP router id, 1 to 255, from the cluster's name.
    pub fn virtual_router_id(&self) -> u8 {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(self.domain());
        (digest[0] % 255) + 1
    }
}

fn nth(network: ipnet::Ipv4Net, index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()) + index)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Bootstrap,
    Master,
    Worker,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Master => "master",
            Self::Worker => "worker",
        }
    }
}

/// A host as bootstrap and, later, the cluster know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    pub name: String,
    pub role: Role,
    pub boot_mac: String,
    /// Known once its agent has reported.
    pub address: Option<Ipv4Addr>,
    /// SHA-256 of the enrolment token, hex.
    pub token_sha256: String,
    /// SHA-256 of the subject public key that the token is bound to, hex.
    pub key_sha256: Option<String>,
    /// Counts installations of this host; part of its etcd member's identity.
    pub generation: u32,
    /// The kubelet's bootstrap token (`id.secret`) for this host alone.
    pub kubelet_token: String,
}

/// What a node daemon says of itself, once a second while an install runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NodeReport {
    pub host: String,
    pub address: Option<Ipv4Addr>,
    /// Whether this node's etcd answers as a started member.
    pub etcd_started: bool,
    /// Whether this node's API server answers `/readyz` with ok.
    pub api_ready: bool,
    pub keepalived_running: bool,
    /// Revision of the control plane that the node runs; 0 = none.
    pub revision: u32,
    pub message: String,
}

/// Why the first boot of a host stopped. Holds no secret and nothing of a configuration's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstBootFailure {
    pub stage: String,
    /// The path, URL or device it happened to.
    pub entry: String,
    pub cause: String,
    pub remedy: String,
    /// The host tries again by itself.
    pub may_pass: bool,
}

impl FirstBootFailure {
    /// One line, with the words of a stranger cut to what a screen takes.
    pub fn line(&self) -> String {
        let plain = |text: &str| -> String {
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let again = if self.may_pass { " (it tries again by itself)" } else { "" };
        format!(
            "{} at {}: {}; {}{again}",
            plain(&self.stage),
            plain(&self.entry),
            plain(&self.cause),
            plain(&self.remedy)
        )
    }
}

/// What a master is to run. Level-triggered: the node makes it so and reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NodeOrder {
    /// Start etcd with this member list (`name=peer-url,…`); `None` = not your turn yet.
    pub etcd_initial_cluster: Option<String>,
    pub etcd_member_name: Option<String>,
    /// Start the API server, controller manager and scheduler.
    pub control_plane: bool,
    /// Take part in VRRP for the API address: addresses of all peers.
    pub vrrp_peers: Vec<Ipv4Addr>,
    pub revision: u32,
    /// The node is Ready and its enrolment over: wipe the token.
    pub enrolment_over: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootstrapStatus {
    pub phase: Phase,
    /// What is waited for, and since how many seconds.
    pub waiting_for: Option<(String, u64)>,
    pub nodes: BTreeMap<String, NodeStatus>,
    /// Every milestone so far: seconds since bootstrap's start, what happened.
    pub milestones: Vec<(f64, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Starting,
    EtcdUp,
    ApiUp,
    /// Base objects are applied; masters may join.
    Serving,
    /// etcd grows and control planes start on masters.
    Growing,
    /// Three masters serve; completion is recorded.
    Pivoted,
    /// The bootstrap's member is removed and its static pods are stopped.
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NodeStatus {
    pub config_fetched: bool,
    pub registered: bool,
    pub ready: bool,
    pub etcd_voter: bool,
    pub api_ready: bool,
    pub address: Option<Ipv4Addr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_without_control_characters() {
        let failure = FirstBootFailure {
            stage: "disks".into(),
            entry: "/dev/vdb".into(),
            cause: "in use\n\u{1b}[2J".to_owned() + &"x".repeat(5000),
            remedy: "name another device".into(),
            may_pass: false,
        };
        let line = failure.line();
        assert!(
            line.starts_with("disks at /dev/vdb: in use [2Jxxx") && line.ends_with("; name another device")
        );
        assert!(line.len() < 600 && !line.chars().any(char::is_control));
    }
}
