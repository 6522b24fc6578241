//! The control plane of one machine as data: which certificates it needs, which files it writes, which static pods
//! it runs. Shared by the bootstrap machine, the node daemon and whoever previews a change.
//!
//! Layout under [`DIRECTORY`] follows kubeadm's, so that what an administrator knows is where it is expected.

mod certificates;
mod etcd;
mod pods;
mod vrrp;

pub use certificates::{Authority, Leaf, Usage, leaves};
pub use etcd::{Etcd, EtcdState, member_name, peer_url};
pub use pods::{Settings, api_server, controller_manager, etcd, scheduler};
pub use vrrp::{VrrpSettings, keepalived_conf};

use crate::keys::ClusterKeys;

pub const DIRECTORY: &str = "/etc/kubernetes";
pub const PKI_DIRECTORY: &str = "/etc/kubernetes/pki";
pub const MANIFESTS_DIRECTORY: &str = "/etc/kubernetes/manifests";
/// Admits nobody but root: every file here may hold a key.
pub const PRIVATE: u32 = 0o600;
pub const PUBLIC: u32 = 0o644;

/// A file to be written with its mode.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub contents: String,
    pub mode: u32,
}

impl File {
    pub fn new(path: impl Into<String>, contents: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), contents: contents.into(), mode }
    }
}

/// The authorities and shared keys that every control-plane machine holds.
pub fn shared_files(keys: &ClusterKeys) -> Vec<File> {
    let pair = |name: &str, pair: &crate::keys::KeyPair| {
        [
            File::new(format!("{PKI_DIRECTORY}/{name}.crt"), &pair.certificate_pem, PUBLIC),
            File::new(format!("{PKI_DIRECTORY}/{name}.key"), &pair.private_key_pem, PRIVATE),
        ]
    };
    let mut files = Vec::new();
    files.extend(pair("ca", &keys.kubernetes_ca));
    files.extend(pair("front-proxy-ca", &keys.front_proxy_ca));
    files.extend(pair("etcd/ca", &keys.etcd_ca));
    files.push(File::new(format!("{PKI_DIRECTORY}/sa.key"), &keys.service_account.private_key_pem, PRIVATE));
    files.push(File::new(format!("{PKI_DIRECTORY}/sa.pub"), &keys.service_account.public_key_pem, PUBLIC));
    files.push(File::new(format!("{DIRECTORY}/encryption.json"), encryption_config(keys), PRIVATE));
    files
}

/// Secrets at rest: secretbox first, identity so that older plain objects stay readable.
fn encryption_config(keys: &ClusterKeys) -> String {
    serde_json::json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [
                {"secretbox": {"keys": [{"name": "key1", "secret": keys.encryption_key}]}},
                {"identity": {}},
            ],
        }],
    })
    .to_string()
}
