//! The leaf certificates of a control-plane machine: names, subjects and alternative names.

use crate::bootstrap_api::Cluster;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    Kubernetes,
    FrontProxy,
    Etcd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
    Both,
}

/// One certificate to be minted on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Path below [`super::PKI_DIRECTORY`] without suffix: `apiserver`, `etcd/peer`.
    pub name: &'static str,
    pub authority: Authority,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub usage: Usage,
}

/// Every leaf of the machine `host` at `address`.
pub fn leaves(cluster: &Cluster, host: &str, address: Ipv4Addr) -> Vec<Leaf> {
    let mut leaves = servers(cluster, host, address);
    leaves.extend(clients());
    leaves
}

fn servers(cluster: &Cluster, host: &str, address: Ipv4Addr) -> Vec<Leaf> {
    let local = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(address)];
    let domain = cluster.domain();
    let api_names = [
        "kubernetes".into(),
        "kubernetes.default".into(),
        "kubernetes.default.svc".into(),
        "kubernetes.default.svc.cluster.local".into(),
        "localhost".into(),
        host.to_owned(),
        format!("api.{domain}"),
        format!("api-int.{domain}"),
    ];
    let api_addresses =
        [&local[..], &[cluster.kubernetes_service_ip().into(), cluster.api_vip.into()]].concat();
    let etcd = |name: &'static str| Leaf {
        name,
        authority: Authority::Etcd,
        common_name: host.to_owned(),
        organizations: vec![],
        dns_names: vec!["localhost".into(), host.to_owned()],
        addresses: local.to_vec(),
        usage: Usage::Both,
    };
    vec![
        Leaf {
            name: "apiserver",
            authority: Authority::Kubernetes,
            common_name: "kube-apiserver".into(),
            organizations: vec![],
            dns_names: api_names.to_vec(),
            addresses: api_addresses,
            usage: Usage::Server,
        },
        etcd("etcd/server"),
        etcd("etcd/peer"),
    ]
}

fn clients() -> Vec<Leaf> {
    let client = |name, authority, common_name: &str, organizations: &[&str]| Leaf {
        name,
        authority,
        common_name: common_name.into(),
        organizations: organizations.iter().map(ToString::to_string).collect(),
        dns_names: vec![],
        addresses: vec![],
        usage: Usage::Client,
    };
    vec![
        client("apiserver-etcd-client", Authority::Etcd, "kube-apiserver-etcd-client", &[]),
        client("etcd/healthcheck-client", Authority::Etcd, "kube-etcd-healthcheck-client", &[]),
        client(
            "apiserver-kubelet-client",
            Authority::Kubernetes,
            "kube-apiserver-kubelet-client",
            &["ashlar:kubelet-clients"],
        ),
        client("front-proxy-client", Authority::FrontProxy, "front-proxy-client", &[]),
        client("controller-manager", Authority::Kubernetes, "system:kube-controller-manager", &[]),
        client("scheduler", Authority::Kubernetes, "system:kube-scheduler", &[]),
        client("admin", Authority::Kubernetes, "ashlar-node-admin", &["system:masters"]),
    ]
}
