//! Machine configs: what the user wants of every node of a pool, in OpenShift's form
//! (`machineconfiguration.openshift.io/v1`).
//!
//! `read` judges everything but the Ignition config itself, which is the `ignition` package's to judge. What has no
//! effect yet is refused with its field path: nothing that is written is left out silently.

mod kubelet_fields;
mod numbers;
mod object;
mod read;
mod settings;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bootstrap_api::Role;

pub use read::{Document, from_object, objects, read, without_pool};
pub use settings::{KUBELET, RUNTIME};

pub const GROUP: &str = "machineconfiguration.openshift.io";
pub const API_VERSION: &str = "machineconfiguration.openshift.io/v1";
pub const KIND: &str = "MachineConfig";
/// The label that says which pool a machine config is for.
pub const ROLE_LABEL: &str = "machineconfiguration.openshift.io/role";
/// The annotation of a node that names the rendered config it was given.
pub const CURRENT_CONFIG: &str = "machineconfiguration.openshift.io/currentConfig";
/// The annotation by which a node is told what rendered config it shall have.
pub const DESIRED_CONFIG: &str = "machineconfiguration.openshift.io/desiredConfig";
/// `Done`, `Working` or `Degraded`, said by the node.
pub const STATE: &str = "machineconfiguration.openshift.io/state";
/// What a node is doing, or why it cannot have the config it shall have.
pub const REASON: &str = "machineconfiguration.openshift.io/reason";
/// `drain-CONFIG` or `uncordon-CONFIG`: what a node asks for; and the last of these that was done.
pub const DESIRED_DRAIN: &str = "machineconfiguration.openshift.io/desiredDrain";
pub const LAST_APPLIED_DRAIN: &str = "machineconfiguration.openshift.io/lastAppliedDrain";
/// On a node: the rendered config that it has, an [`Applied`].
pub const CURRENT_FILE: &str = "/var/lib/ashlar/machine-config/current.json";
/// What the configuration server gives to nodes that run: `GET`, then a rendered config's name.
pub const RENDERED_PATH: &str = "/v1/rendered-config";

/// What a node says of itself in [`STATE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It has the config that it shall have.
    Done,
    /// It is changing.
    Working,
    /// It cannot have the config that it shall have, and has the one before.
    Degraded,
}

impl NodeState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Working => "Working",
            Self::Degraded => "Degraded",
        }
    }
}

/// A rendered config and its name. It may hold secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// `rendered-POOL-SHA256`.
    pub name: String,
    /// Ignition 3.5.
    pub config: Value,
}

/// Beginnings of names that are this program's: the base configs come first, rendered ones are results.
pub const RESERVED: &[&str] = &["00-", "01-", "rendered-"];
/// The roles; each has a pool of its name.
pub const POOLS: &[Role] = &[Role::Master, Role::Worker];

/// One machine config, or what a `KubeletConfig` or `ContainerRuntimeConfig` becomes. Its config may hold secrets (password hashes, keys in files): there is no way to print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// `KIND/NAME` when it is made of another object.
    pub name: String,
    /// The value of [`ROLE_LABEL`]: `master`, `worker`, or what a pool of the user's selects.
    pub role: String,
    /// Others than the role's.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Ignition of any version, with Butane's `contents.inline`; integers are integers.
    pub config: Option<Value>,
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// For one that was made of a `KubeletConfig` or `ContainerRuntimeConfig`: it has no role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// The object that a machine config was made of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Which pools, by their labels: a selector of Kubernetes.
    pub pools: Value,
    pub object: Value,
}

impl fmt::Debug for MachineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineConfig({} for {})", self.name, self.role)
    }
}

impl MachineConfig {
    /// All labels, the role's included: what selectors look at.
    #[must_use]
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        if !self.role.is_empty() {
            labels.insert(ROLE_LABEL.into(), self.role.clone());
        }
        labels
    }
}

/// What an object is called among machine configs: `KIND/NAME` unless it is one itself.
pub fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or("an object without a name");
    match object["kind"].as_str() {
        Some(kind @ (KUBELET | RUNTIME)) => format!("{kind}/{name}"),
        _ => name.to_owned(),
    }
}

/// The name of the base config of a pool; every user's config comes after it.
pub fn base_name(role: Role) -> String {
    format!("00-{}", role.as_str())
}

/// The name of a result: the pool and the SHA-256 of the canonical form, in hex.
pub fn rendered_name(pool: &str, digest: &str) -> String {
    format!("rendered-{pool}-{digest}")
}

#[cfg(test)]
mod tests;
