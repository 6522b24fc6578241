//! What makes an installed machine a node: `/etc/ashlar/node.json`, the Ignition config that all hosts of a pool have in
//! common, and the one that a host has for itself.

use crate::bootstrap_api::{Cluster, HostRecord, Role};
use crate::control_plane::{PRIVATE, PUBLIC};
use crate::keys::ClusterKeys;
use crate::machine_config::{Applied, CURRENT_FILE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

pub const NODE_FILE: &str = "/etc/ashlar/node.json";
pub const CLUSTER_KEYS_FILE: &str = "/etc/ashlar/cluster-keys.json";
pub const IDENTITY_CERTIFICATE: &str = "/etc/ashlar/identity.crt";
pub const IDENTITY_KEY: &str = "/etc/ashlar/identity.key";
pub const KUBELET_CONFIG: &str = "/etc/kubernetes/kubelet.yaml";
pub const KUBELET_ENVIRONMENT: &str = "/etc/ashlar/kubelet.env";
/// Names the rendered config that the node was given at its first boot.
pub const RENDERED_NAME: &str = "/etc/ashlar/machine-config";
/// Programs that find a node healthy or not: machine configs put them here.
pub const HEALTH_CHECKS: &str = "/etc/ashlar/health.d";
/// Units that make a machine a node.
pub const BASE_UNITS: &[&str] = &["containerd.service", "ashlar-images.service", "kubelet.service"];
/// Who a host is, its keys, and the control plane's files and state: no machine config may write these, nor anything
/// below them but [`HEALTH_CHECKS`].
pub const IDENTITY: &[&str] = &[
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ashlar",
    BOOTSTRAP_KUBECONFIG,
    "/etc/kubernetes/pki",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/encryption.json",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    "/etc/kubernetes/manifests/kube-scheduler.yaml",
    "/var/lib/ashlar",
    "/var/lib/etcd",
    "/var/lib/kubelet/kubeconfig",
    "/var/lib/kubelet/pki",
];
/// Beside DHCP's: files of the image's `sourcedir` directories are read in the order of their names.
/// Every file in it is trusted (`ashlar-authorities.service`). OpenShift's nodes have it there.
const AUTHORITIES: &str = "/etc/pki/ca-trust/source/anchors";
const TIME_SERVERS: &str = "/etc/chrony/sources.d/install-config.sources";
pub const BOOTSTRAP_KUBECONFIG: &str = "/etc/kubernetes/bootstrap-kubeconfig";
/// The group of kubelets that hold a bootstrap token.
pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers:ashlar";

/// `/etc/ashlar/node.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    pub host: String,
    pub role: Role,
    pub address: Ipv4Addr,
    pub cluster: Cluster,
    /// Counts installations of this host.
    pub generation: u32,
    /// Where orders come from while the cluster is being installed.
    pub bootstrap_url: Option<String>,
    pub server_ca_pem: String,
}

/// What the configuration server knows besides the host.
pub struct Source<'a> {
    pub cluster: &'a Cluster,
    pub keys: &'a ClusterKeys,
    pub bootstrap_url: Option<String>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("host {0} has no address yet: its agent has not reported one")]
    NoAddress(String),
}

/// The base config of every pool (`00-ROLE`, Ignition 3.5): what all its hosts have in common. It holds no secret, so
/// that anybody who knows the configuration can make it, and machine configs may replace any of it.
pub fn base_ignition(cluster: &Cluster) -> Value {
    let mut files = vec![file(KUBELET_CONFIG, &pretty(&kubelet_config(Some(cluster))), PUBLIC)];
    if !cluster.ntp_servers.is_empty() {
        files.push(file(TIME_SERVERS, &time_servers(&cluster.ntp_servers), PUBLIC));
    }
    if let Some(bundle) = &cluster.additional_trust_bundle {
        files.push(file(&format!("{AUTHORITIES}/additional-trust-bundle.crt"), bundle, PUBLIC));
    }
    let units: Vec<Value> = BASE_UNITS.iter().map(|name| json!({"name": name, "enabled": true})).collect();
    // The image's root has no password, for live systems; a node's console lets nobody in.
    let mut users = vec![json!({"name": "root", "passwordHash": "!"})];
    if let Some(key) = &cluster.ssh_key {
        users.push(json!({
            "name": "core",
            "groups": ["sudo"],
            "shell": "/bin/bash",
            "sshAuthorizedKeys": [key],
        }));
    }
    json!({
        "ignition": {"version": "3.5.0"},
        "passwd": {"users": users},
        "storage": {
            "directories": [{"path": "/etc/kubernetes/manifests", "mode": 0o700}],
            "files": files,
        },
        "systemd": {"units": units},
    })
}

/// What one host has for itself (Ignition 3.5), merged over everything else: who it is, and its secrets. `rendered` is
/// the rendered config that it is given with, which the node keeps: later ones are compared with it.
///
/// # Errors
/// The host has no address yet.
pub fn host_ignition(
    source: &Source<'_>,
    host: &HostRecord,
    rendered: &Applied,
) -> Result<Value, RenderError> {
    let address = host.address.ok_or_else(|| RenderError::NoAddress(host.name.clone()))?;
    let mut files = vec![
        file("/etc/hostname", &format!("{}\n", host.name), PUBLIC),
        file("/etc/hosts", &hosts_file(source.cluster, host, address), PUBLIC),
        file(NODE_FILE, &pretty(&node_file(source, host, address)), PRIVATE),
        file(RENDERED_NAME, &format!("{}\n", rendered.name), PUBLIC),
        file(CURRENT_FILE, &serde_json::to_string(rendered).unwrap_or_default(), PRIVATE),
        file("/etc/kubernetes/pki/ca.crt", &source.keys.kubernetes_ca.certificate_pem, PUBLIC),
        file(KUBELET_ENVIRONMENT, &kubelet_environment(host, address), PUBLIC),
        file(BOOTSTRAP_KUBECONFIG, &bootstrap_kubeconfig(source, host), PRIVATE),
    ];
    if host.role == Role::Master {
        files.push(file(CLUSTER_KEYS_FILE, &pretty(source.keys), PRIVATE));
    }
    Ok(json!({"ignition": {"version": "3.5.0"}, "storage": {"files": files}}))
}

/// chrony.conf(5), `sourcedir`: one `server` or `pool` line each.
fn time_servers(servers: &[String]) -> String {
    servers.iter().map(|server| format!("server {server} iburst\n")).collect()
}

fn node_file(source: &Source<'_>, host: &HostRecord, address: Ipv4Addr) -> NodeFile {
    NodeFile {
        host: host.name.clone(),
        role: host.role,
        address,
        cluster: source.cluster.clone(),
        generation: host.generation,
        bootstrap_url: source.bootstrap_url.clone(),
        server_ca_pem: source.keys.install_ca.certificate_pem.clone(),
    }
}

/// `None` gives the configuration of a kubelet that only runs static pods.
pub fn kubelet_config(cluster: Option<&Cluster>) -> Value {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "staticPodPath": "/etc/kubernetes/manifests",
        "resolvConf": "/etc/resolv.conf",
        "cgroupDriver": "systemd",
        "serializeImagePulls": false,
        // A static pod's file is noticed by inotify; this is the fallback.
        "fileCheckFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "shutdownGracePeriod": "0s",
    });
    let more = match cluster {
        Some(cluster) => json!({
            "clusterDNS": [cluster.dns_service_ip()],
            "clusterDomain": "cluster.local",
            "rotateCertificates": true,
            "serverTLSBootstrap": true,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
        }),
        None => json!({
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "readOnlyPort": 0,
            "enableServer": false,
        }),
    };
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    config
}

fn kubelet_environment(host: &HostRecord, address: Ipv4Addr) -> String {
    format!(
        "KUBELET_ARGS=--kubeconfig=/var/lib/kubelet/kubeconfig \
         --bootstrap-kubeconfig={BOOTSTRAP_KUBECONFIG} --node-ip={address} --hostname-override={}\n",
        host.name
    )
}

/// Nodes reach the API by a hosts entry: no site DNS is needed.
fn hosts_file(cluster: &Cluster, host: &HostRecord, address: Ipv4Addr) -> String {
    format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost\n{address} {name} {name}.{domain}\n\
         {vip} api-int.{domain} api.{domain}\n",
        name = host.name,
        domain = cluster.domain(),
        vip = cluster.api_vip,
    )
}

fn bootstrap_kubeconfig(source: &Source<'_>, host: &HostRecord) -> String {
    pretty(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {
            "server": format!("https://api-int.{}:6443", source.cluster.domain()),
            "certificate-authority": "/etc/kubernetes/pki/ca.crt",
        }}],
        "users": [{"name": "kubelet-bootstrap", "user": {"token": host.kubelet_token}}],
        "contexts": [{"name": "bootstrap", "context": {"cluster": "cluster", "user": "kubelet-bootstrap"}}],
        "current-context": "bootstrap",
    }))
}

fn file(path: &str, contents: &str, mode: u32) -> Value {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(contents);
    json!({
        "path": path,
        "mode": mode,
        "overwrite": true,
        "contents": {"source": format!("data:;base64,{data}")},
    })
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
