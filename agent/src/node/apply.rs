//! Makes an order true on the files of this machine: keys, certificates, kubeconfigs, static pods. Running it again
//! changes nothing.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use ashlar_model::bootstrap_api::NodeOrder;
use ashlar_model::control_plane::{
    self, DIRECTORY, Etcd, EtcdState, MANIFESTS_DIRECTORY, PRIVATE, Settings, leaves as wanted_leaves,
    shared_files,
};
use ashlar_model::keys::{ClusterKeys, KeyPair};
use ashlar_model::node::NodeFile;
use ashlar_model::update::{CONTROL_PLANE_FILE, ControlPlane};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::leaves;
use crate::{durable, images};

const ETCD_DATA: &str = "/var/lib/etcd";
/// The member that the data belongs to.
const ETCD_MEMBER: &str = "/var/lib/ashlar/node/etcd-member";
const ETCD_METRICS_PORT: u16 = 2381;
const LOCAL_API: &str = "https://127.0.0.1:6443";
/// Leaf, user and file of each kubeconfig.
const KUBECONFIGS: &[(&str, &str, &str)] = &[
    ("controller-manager", "system:kube-controller-manager", "controller-manager.conf"),
    ("scheduler", "system:kube-scheduler", "scheduler.conf"),
    ("admin", "ashlar-node-admin", "admin.conf"),
];

pub struct Node {
    root: PathBuf,
    file: NodeFile,
    /// Only masters have them.
    keys: Option<ClusterKeys>,
    /// Full references by short name.
    images: BTreeMap<String, String>,
}

/// An absolute path of the machine below `root`.
pub fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

impl Node {
    pub fn new(root: &Path, file: NodeFile, keys: Option<ClusterKeys>) -> anyhow::Result<Self> {
        let images = if keys.is_some() { images::list()? } else { Vec::new() };
        Ok(Self { root: root.to_owned(), file, keys, images: ashlar_model::release::references(&images) })
    }

    pub fn file(&self) -> &NodeFile {
        &self.file
    }

    /// Keys and certificates are made before they are ordered: that saves the time when it counts.
    pub fn apply(&self, order: &NodeOrder) -> anyhow::Result<()> {
        let Some(keys) = &self.keys else { return Ok(()) };
        for file in shared_files(keys) {
            self.write(&file.path, &file.contents, file.mode)?;
        }
        let wanted = wanted_leaves(&self.file.cluster, &self.file.host, self.file.address);
        let pairs = leaves::ensure(&self.root, &wanted, keys)?;
        let kubeconfigs = self.kubeconfigs(&pairs, keys)?;
        if let (Some(cluster), Some(name)) = (&order.etcd_initial_cluster, &order.etcd_member_name) {
            self.etcd(order, cluster, name)?;
        }
        if order.control_plane {
            self.control_plane(order, &kubeconfigs)?;
        }
        Ok(())
    }

    /// The SHA-256 of each kubeconfig by its leaf's name.
    fn kubeconfigs(
        &self,
        pairs: &BTreeMap<&'static str, KeyPair>,
        keys: &ClusterKeys,
    ) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let ca = &keys.kubernetes_ca.certificate_pem;
        let mut hashes = BTreeMap::new();
        for (leaf, user, file) in KUBECONFIGS {
            let pair = pairs.get(leaf).with_context(|| format!("there is no certificate `{leaf}`"))?;
            let text = ashlar_pki::kubeconfig(LOCAL_API, ca, pair, user, &self.file.cluster.name);
            self.write(&format!("{DIRECTORY}/{file}"), &text, PRIVATE)?;
            hashes.insert(*leaf, hex::encode(Sha256::digest(&text)));
        }
        Ok(hashes)
    }

    fn etcd(&self, order: &NodeOrder, initial_cluster: &str, member: &str) -> anyhow::Result<()> {
        self.set_old_member_aside(member)?;
        self.write(ETCD_MEMBER, member, PRIVATE)?;
        let alone = !initial_cluster.contains(',');
        let etcd = Etcd {
            member_name: member.to_owned(),
            initial_cluster: initial_cluster.to_owned(),
            state: if alone { EtcdState::New } else { EtcdState::Existing },
        };
        let image = |name: &str| self.image(name);
        let pod = control_plane::etcd(&self.settings(order, &image), &etcd);
        let started = under(&self.root, ETCD_DATA).join("member").exists();
        let have = std::fs::read(under(&self.root, &manifest("etcd"))).ok();
        let have: Option<Value> = have.and_then(|text| serde_json::from_slice(&text).ok());
        // Who was there at its start means nothing to a member with data, and a restart costs a vote.
        if started && have.is_some_and(|have| lasting(have) == lasting(pod.clone())) {
            return Ok(());
        }
        self.write_manifest("etcd", &pod)
    }

    /// Data of an earlier generation of this host would never be accepted: the new member begins empty. Nothing is
    /// deleted.
    fn set_old_member_aside(&self, member: &str) -> anyhow::Result<()> {
        let data = under(&self.root, ETCD_DATA).join("member");
        let recorded = std::fs::read_to_string(under(&self.root, ETCD_MEMBER)).ok();
        let Some(old) = recorded.filter(|old| old != member && data.exists()) else { return Ok(()) };
        match std::fs::remove_file(under(&self.root, &manifest("etcd"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("stopping the old etcd member");
            }
            _ => {}
        }
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, ETCD_METRICS_PORT));
        if TcpStream::connect_timeout(&metrics, Duration::from_millis(200)).is_ok() {
            bail!("waiting for the old etcd member {old} to stop");
        }
        let aside = under(&self.root, ETCD_DATA).join(format!("old-{old}"));
        std::fs::rename(&data, &aside).with_context(|| format!("setting {} aside", data.display()))
    }

    fn control_plane(&self, order: &NodeOrder, kubeconfigs: &BTreeMap<&str, String>) -> anyhow::Result<()> {
        let revisions = revisions(&self.root)?;
        let made = |name: &str, make: fn(&Settings<'_>) -> Value| {
            let revision = revisions.pods.get(name);
            let image =
                |name: &str| revision.map_or_else(|| self.image(name), |revision| revision.image.clone());
            let settings = self.settings(order, &image);
            let revision = revision.map_or(settings.revision, |revision| revision.revision);
            make(&Settings { revision, ..settings })
        };
        let api_server = made("kube-apiserver", control_plane::api_server);
        let controller_manager = made("kube-controller-manager", control_plane::controller_manager);
        let scheduler = made("kube-scheduler", control_plane::scheduler);
        self.write_manifest("kube-apiserver", &api_server)?;
        let with_hash = |pod, leaf| annotated(pod, kubeconfigs.get(leaf).cloned().unwrap_or_default());
        self.write_manifest("kube-controller-manager", &with_hash(controller_manager, "controller-manager"))?;
        self.write_manifest("kube-scheduler", &with_hash(scheduler, "scheduler"))
    }

    fn settings<'a>(&'a self, order: &NodeOrder, image: &'a dyn Fn(&str) -> String) -> Settings<'a> {
        Settings { cluster: &self.file.cluster, address: self.file.address, revision: order.revision, image }
    }

    /// A name that the release does not have is left as it is: the kubelet then says what it misses.
    fn image(&self, name: &str) -> String {
        self.images.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn write_manifest(&self, name: &str, pod: &Value) -> anyhow::Result<()> {
        self.write(&manifest(name), &serde_json::to_string_pretty(pod)?, PRIVATE)
    }

    fn write(&self, path: &str, contents: &str, mode: u32) -> anyhow::Result<()> {
        if durable::write_if_changed(&under(&self.root, path), contents.as_bytes(), mode)? {
            tracing::info!(path, "written");
        }
        Ok(())
    }
}

/// What an update made of the static pods; nothing when there was none.
pub fn revisions(root: &Path) -> anyhow::Result<ControlPlane> {
    let path = under(root, CONTROL_PLANE_FILE);
    match std::fs::read(&path) {
        Ok(text) => {
            serde_json::from_slice(&text).with_context(|| format!("understanding {}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ControlPlane::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn manifest(name: &str) -> String {
    format!("{MANIFESTS_DIRECTORY}/{name}.json")
}

/// Clients read an embedded certificate once: another one must restart the pod.
fn annotated(mut pod: Value, kubeconfig_sha256: String) -> Value {
    pod["metadata"]["annotations"]["ashlar.dev/kubeconfig-sha256"] = Value::String(kubeconfig_sha256);
    pod
}

/// An etcd pod without what only its first start needs.
fn lasting(mut pod: Value) -> Value {
    pod["metadata"]["annotations"] = Value::Null;
    if let Some(command) = pod.pointer_mut("/spec/containers/0/command").and_then(Value::as_array_mut) {
        command
            .retain(|argument| !argument.as_str().is_some_and(|text| text.starts_with("--initial-cluster")));
    }
    pod
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
