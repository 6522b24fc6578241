//! The `ClusterUpdate` of the cluster, as far as this program reads and writes it.

use std::collections::BTreeMap;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, core::GroupVersionKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::failure::{Fails, Failure};

const NAME: &str = "cluster";
const FIELD_MANAGER: &str = "ashlar-update";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    pub spec: Spec,
    pub status: Status,
    #[serde(skip_serializing)]
    metadata: Metadata,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Metadata {
    generation: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pub version: String,
    pub kubernetes_version: String,
    pub commit: String,
    pub images: BTreeMap<String, String>,
    #[serde(rename = "uploadKeySHA256")]
    pub upload_key_sha256: String,
    pub attempt: u32,
    pub stop: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub observed_generation: i64,
    pub commit: String,
    pub phase: String,
    pub phase_since: String,
    pub waiting: String,
    pub waiting_since: String,
    #[serde(skip_serializing)]
    pub authority: String,
    pub phases: Vec<Began>,
    pub nodes: Vec<Node>,
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Began {
    pub phase: String,
    pub began: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    pub name: String,
    pub role: String,
    pub kubelet: String,
    pub step: String,
    pub outcome: String,
    pub message: String,
    pub since: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub message: String,
    pub last_transition_time: String,
}

impl Update {
    /// The status is of what was last asked for.
    pub fn is_seen(&self) -> bool {
        self.status.observed_generation == self.metadata.generation && self.metadata.generation > 0
    }

    /// A condition is true of what was last asked for.
    pub fn is(&self, kind: &str) -> bool {
        self.is_seen() && self.condition(kind).is_some()
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|one| one.kind == kind && one.status == "True")
    }
}

fn api(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("ashlar.dev", "v1alpha1", "ClusterUpdate");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// None: no update was ever begun.
///
/// # Errors
/// The API does not answer.
pub async fn read(client: &Client) -> Result<Option<Update>, Failure> {
    let found = api(client).get_opt(NAME).await.failing(|| "reading the cluster's update".into())?;
    let understood = |object| {
        serde_json::to_value(object)
            .and_then(serde_json::from_value)
            .failing(|| "understanding the cluster's update".into())
    };
    found.map(understood).transpose()
}

/// # Errors
/// The API does not take it.
pub async fn write(client: &Client, spec: &Spec) -> Result<(), Failure> {
    let object = json!({
        "apiVersion": "ashlar.dev/v1alpha1",
        "kind": "ClusterUpdate",
        "metadata": {"name": NAME},
        "spec": spec,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let done = api(client).patch(NAME, &parameters, &Patch::Apply(&object)).await;
    done.map(drop).map_err(|error| {
        Failure::environment("writing the cluster's update").because(error).hint(
            "a cluster of a release without updates has no ClusterUpdate; install it anew with a newer one",
        )
    })
}

/// # Errors
/// The API does not take it.
pub async fn stop(client: &Client) -> Result<(), Failure> {
    let patch = json!({"spec": {"stop": true}});
    let done = api(client).patch(NAME, &PatchParams::default(), &Patch::Merge(&patch)).await;
    done.map(drop).failing(|| "stopping the update".into())
}
