//! Gives nodes the labels of their role: a kubelet may not label itself as control plane.

use crate::directory::Directory;
use ashlar_model::bootstrap_api::Role;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const WORKER: &str = "node-role.kubernetes.io/worker";

/// Labels every known node that lacks its role's label. Returns all nodes as they were read.
pub async fn label(api: &Api<Node>, directory: &Directory) -> Result<Vec<Node>, kube::Error> {
    let nodes = api.list(&Default::default()).await?.items;
    for node in &nodes {
        let Some(host) = directory.by_name(&node.name_any()) else { continue };
        let label = match host.role {
            Role::Master => CONTROL_PLANE,
            Role::Worker => WORKER,
            Role::Bootstrap => continue,
        };
        if !node.labels().contains_key(label) {
            let patch = json!({"metadata": {"labels": {label: ""}}});
            api.patch(&host.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
    }
    Ok(nodes)
}

/// Whether the node's `Ready` condition is true.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
