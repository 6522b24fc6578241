//! Identity of etcd members and how they find each other.

use std::net::Ipv4Addr;

/// What one machine's etcd is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etcd {
    pub member_name: String,
    /// `name=peer-url,…` with this member in it.
    pub initial_cluster: String,
    pub state: EtcdState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtcdState {
    /// The first member of a new cluster.
    New,
    /// A learner that an existing cluster has been told of.
    Existing,
}

/// A member's identity is its host plus the generation of its installation: a re-installed host is a new member.
pub fn member_name(host: &str, generation: u32) -> String {
    format!("{host}-{generation}")
}

pub fn peer_url(address: Ipv4Addr) -> String {
    format!("https://{address}:2380")
}
