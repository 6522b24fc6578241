//! `ClusterUpdate`: which release the cluster shall have, and how far it is.

use std::collections::BTreeMap;

use ashlar_model::update::Phase;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine_config::objects::Condition;

/// There is one: a cluster has one release.
pub const NAME: &str = "cluster";

/// Which release the cluster shall have, and how far the update is. Written by `ashlar update`.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ashlar.dev",
    version = "v1alpha1",
    kind = "ClusterUpdate",
    status = "UpdateStatus",
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version"}"#,
    printcolumn = r#"{"name":"Kubernetes","type":"string","jsonPath":".spec.kubernetesVersion"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Since","type":"date","jsonPath":".status.phaseSince"}"#,
    printcolumn = r#"{"name":"Waiting","type":"string","jsonPath":".status.waiting"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterUpdateSpec {
    /// Version of the release.
    pub version: String,
    /// Version of Kubernetes in it, like 1.36.4.
    pub kubernetes_version: String,
    /// SHA-256 of the commit of its operating system.
    pub commit: String,
    /// References of its container images by their short names.
    pub images: BTreeMap<String, String>,
    /// SHA-256 of the public key that may bring the release's files.
    #[serde(rename = "uploadKeySHA256")]
    pub upload_key_sha256: String,
    /// A node that failed is tried again when this is greater.
    pub attempt: u32,
    /// Begin nothing further.
    #[serde(default)]
    pub stop: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStatus {
    pub observed_generation: i64,
    /// The commit that this status is of.
    pub commit: String,
    /// `Content`, `Fetch`, `ApiServers`, `ControlPlane`, `AddOns`, `Masters`, `Workers` or `Finished`.
    pub phase: String,
    /// RFC 3339.
    pub phase_since: String,
    /// What is waited for and why.
    pub waiting: String,
    pub waiting_since: String,
    /// Whom who brings the files may trust, PEM.
    pub authority: String,
    /// When each phase began (RFC 3339), in this order.
    pub phases: Vec<PhaseBegan>,
    pub nodes: Vec<NodeProgress>,
    /// `Progressing`, `Stopped` and `Finished`.
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseBegan {
    pub phase: String,
    pub began: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeProgress {
    pub name: String,
    pub role: String,
    /// Version of its kubelet.
    pub kubelet: String,
    /// `fetch`, `api-server`, `control-plane` or `system`; empty before the first.
    pub step: String,
    /// `working`, `done` or `failed`; empty before the first.
    pub outcome: String,
    pub message: String,
    /// Since when (RFC 3339).
    pub since: String,
}

impl ClusterUpdate {
    /// The status is of what the object says now.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        let seen = self.status.as_ref().map(|status| status.observed_generation);
        seen.is_some() && seen == self.metadata.generation
    }

    /// A condition that is true, whatever it was of.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        let all = self.status.iter().flat_map(|status| &status.conditions);
        all.into_iter().find(|one| one.kind == kind && one.status == "True")
    }

    /// A condition is true of what the object says now.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.is_seen() && self.condition(kind).is_some()
    }

    /// It is neither finished nor stopped.
    #[must_use]
    pub fn is_active(&self) -> bool {
        let working =
            || self.status.iter().flat_map(|status| &status.nodes).any(|node| node.outcome == "working");
        !self.is("Finished") && (!self.is("Stopped") || working())
    }
}

/// As it stands in an object.
#[must_use]
pub fn phase_name(phase: Phase) -> String {
    serde_json::to_value(phase).ok().and_then(|name| name.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::CustomResourceExt;

    #[test]
    fn the_definition_says_what_each_field_is_and_has_a_status_of_its_own() {
        let definition = ClusterUpdate::crd();
        let version = &definition.spec.versions[0];
        assert!(version.subresources.as_ref().is_some_and(|all| all.status.is_some()));
        let schema = serde_json::to_value(&version.schema).expect("a schema");
        let spec = &schema["openAPIV3Schema"]["properties"]["spec"]["properties"];
        for field in ["version", "kubernetesVersion", "commit", "images", "uploadKeySHA256", "attempt"] {
            assert!(spec[field]["description"].is_string(), "{field}: {}", spec[field]);
        }
    }
}
