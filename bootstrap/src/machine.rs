//! The bootstrap machine itself: files, container images, kubelet, static pods, the API address.
//!
//! Every function may be run again after a power cut.

use crate::state::{State, write_private};
use anyhow::{Context, bail};
use ashlar_host::cmd::Cmd;
use ashlar_model::bootstrap_api::Cluster;
use ashlar_model::control_plane::{
    self, Authority, DIRECTORY, Etcd, EtcdState, File, MANIFESTS_DIRECTORY, PKI_DIRECTORY, PRIVATE, PUBLIC,
    Settings, VrrpSettings,
};
use ashlar_model::keys::{ClusterKeys, KeyPair};
use ashlar_model::node::{KUBELET_CONFIG, KUBELET_ENVIRONMENT, kubelet_config};
use ashlar_model::release::{Image, references};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const IMAGES: &str = "/usr/share/ashlar/images/images.json";
pub const PRIORITY_HOLD: u8 = 200;
pub const PRIORITY_YIELD: u8 = 10;
const STATIC_PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The machine's place in the machine network.
#[derive(Debug, Clone)]
pub struct Place {
    pub interface: String,
    pub address: Ipv4Addr,
}

/// Finds the interface with an address in the machine network that is not a virtual one.
pub async fn place(cluster: &Cluster) -> anyhow::Result<Place> {
    let output = Cmd::new("ip").args(["-json", "-4", "address", "show"]).run().await?;
    let links: Vec<serde_json::Value> =
        serde_json::from_str(&output.stdout).context("reading `ip address`")?;
    for link in &links {
        for info in link["addr_info"].as_array().into_iter().flatten() {
            let address: Option<Ipv4Addr> = info["local"].as_str().and_then(|text| text.parse().ok());
            let own = |address: &Ipv4Addr| {
                cluster.machine_network.contains(address)
                    && *address != cluster.api_vip
                    && *address != cluster.ingress_vip
            };
            if let (Some(address), Some(interface)) = (address.filter(own), link["ifname"].as_str()) {
                return Ok(Place { interface: interface.into(), address });
            }
        }
    }
    bail!("no interface has an address in the machine network {}", cluster.machine_network)
}

pub struct Images(BTreeMap<String, String>);

impl Images {
    pub fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(IMAGES).with_context(|| format!("reading {IMAGES}"))?;
        let images: Vec<Image> =
            serde_json::from_str(&text).with_context(|| format!("understanding {IMAGES}"))?;
        Ok(Self(references(&images)))
    }

    /// The full reference of an image of this release.
    pub fn reference(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| format!("registry.ashlar.local/{name}:missing"))
    }
}

/// Writes authorities, leaves, kubeconfigs and the kubelet's configuration.
pub fn write_files(state: &State, place: &Place) -> anyhow::Result<()> {
    let (cluster, keys) = (&state.bundle.cluster, &state.bundle.keys);
    let mut files = control_plane::shared_files(keys);
    for leaf in control_plane::leaves(cluster, &state.bundle.bootstrap_host, place.address) {
        let pair = mint(keys, &leaf)?;
        if let Some(name) = kubeconfig_of(leaf.name) {
            let text = ashlar_pki::kubeconfig(
                "https://127.0.0.1:6443",
                &keys.kubernetes_ca.certificate_pem,
                &pair,
                &leaf.common_name,
                &cluster.name,
            );
            files.push(File::new(format!("{DIRECTORY}/{name}"), text, PRIVATE));
        } else {
            files.push(File::new(format!("{PKI_DIRECTORY}/{}.crt", leaf.name), pair.certificate_pem, PUBLIC));
            files.push(File::new(
                format!("{PKI_DIRECTORY}/{}.key", leaf.name),
                pair.private_key_pem,
                PRIVATE,
            ));
        }
    }
    files.push(File::new(KUBELET_CONFIG, kubelet_config(None).to_string(), PUBLIC));
    let arguments = format!("KUBELET_ARGS=--hostname-override={}\n", state.bundle.bootstrap_host);
    files.push(File::new(KUBELET_ENVIRONMENT, arguments, PUBLIC));
    files.iter().try_for_each(write)
}

fn kubeconfig_of(leaf: &str) -> Option<&'static str> {
    match leaf {
        "controller-manager" => Some("controller-manager.conf"),
        "scheduler" => Some("scheduler.conf"),
        "admin" => Some("admin.conf"),
        _ => None,
    }
}

fn mint(keys: &ClusterKeys, leaf: &control_plane::Leaf) -> anyhow::Result<KeyPair> {
    let authority = match leaf.authority {
        Authority::Kubernetes => &keys.kubernetes_ca,
        Authority::FrontProxy => &keys.front_proxy_ca,
        Authority::Etcd => &keys.etcd_ca,
    };
    let usage = match leaf.usage {
        control_plane::Usage::Server => ashlar_pki::Usage::Server,
        control_plane::Usage::Client => ashlar_pki::Usage::Client,
        control_plane::Usage::Both => ashlar_pki::Usage::Both,
    };
    let wanted = ashlar_pki::Leaf {
        common_name: leaf.common_name.clone(),
        organizations: leaf.organizations.clone(),
        dns_names: leaf.dns_names.clone(),
        addresses: leaf.addresses.clone(),
        usage,
    };
    ashlar_pki::issue(authority, &wanted).with_context(|| format!("minting {}", leaf.name))
}

/// Starts the container runtime, imports what the static pods need first, starts the kubelet with their manifests.
pub async fn start_control_plane(state: &State, place: &Place, images: &Images) -> anyhow::Result<()> {
    let name = control_plane::member_name(&state.bundle.bootstrap_host, 1);
    let etcd = Etcd {
        initial_cluster: format!("{name}={}", control_plane::peer_url(place.address)),
        member_name: name,
        state: EtcdState::New,
    };
    let image = |name: &str| images.reference(name);
    let settings = Settings {
        cluster: &state.bundle.cluster,
        address: place.address,
        revision: crate::pivot::REVISION,
        image: &image,
    };
    let pods = [
        ("etcd", control_plane::etcd(&settings, &etcd)),
        ("kube-apiserver", control_plane::api_server(&settings)),
        ("kube-controller-manager", control_plane::controller_manager(&settings)),
        ("kube-scheduler", control_plane::scheduler(&settings)),
    ];
    for (name, pod) in pods {
        write(&File::new(format!("{MANIFESTS_DIRECTORY}/{name}.yaml"), pod.to_string(), PRIVATE))?;
    }
    systemctl(&["start", "containerd.service"]).await.context("starting the container runtime")?;
    systemctl(&["start", "--no-block", "ashlar-images.service"])
        .await
        .context("importing container images")?;
    systemctl(&["start", "--no-block", "kubelet.service"]).await.context("starting the kubelet")
}

/// Holds the API address with `priority`.
pub async fn hold_api_address(state: &State, place: &Place, priority: u8) -> anyhow::Result<()> {
    let cluster = &state.bundle.cluster;
    let mut peers: Vec<Ipv4Addr> = state.directory.all().iter().filter_map(|host| host.address).collect();
    peers.push(place.address);
    let settings = VrrpSettings {
        host: state.bundle.bootstrap_host.clone(),
        interface: place.interface.clone(),
        address: place.address,
        peers,
        virtual_address: cluster.api_vip,
        prefix: 32,
        router_id: cluster.virtual_router_id(),
        priority,
    };
    let text = control_plane::keepalived_conf(&settings);
    let path = "/etc/keepalived/keepalived.conf";
    if std::fs::read_to_string(path).is_ok_and(|known| known == text) {
        return systemctl(&["start", "keepalived.service"]).await;
    }
    write(&File::new(path, text, PUBLIC))?;
    systemctl(&["reload-or-restart", "keepalived.service"]).await.context("starting keepalived")
}

/// Stops API server, controller manager and scheduler, and gives the API address up.
pub async fn stop_api() -> anyhow::Result<()> {
    systemctl(&["stop", "keepalived.service"]).await.context("giving up the API address")?;
    for name in &STATIC_PODS[1..] {
        remove_pod(name)?;
    }
    Ok(())
}

/// Stops etcd; its member must have been removed.
pub fn stop_etcd() -> anyhow::Result<()> {
    remove_pod("etcd")
}

fn remove_pod(name: &str) -> anyhow::Result<()> {
    let path = format!("{MANIFESTS_DIRECTORY}/{name}.yaml");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {path}"))
        }
        _ => Ok(()),
    }
}

fn write(file: &File) -> anyhow::Result<()> {
    let path = Path::new(&file.path);
    let parent = path.parent().context("a file in a folder")?;
    std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    write_private(path, file.contents.as_bytes()).with_context(|| format!("writing {}", file.path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(file.mode))
        .with_context(|| format!("setting the mode of {}", file.path))
}

async fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    Cmd::new("systemctl").args(arguments).timeout(Duration::from_secs(60)).run().await?;
    Ok(())
}
