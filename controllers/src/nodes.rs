//! Gives nodes the labels of their role (a kubelet may not label itself as control plane) and the name of the config
//! that they were given.

use crate::directory::Directory;
use ashlar_model::bootstrap_api::Role;
use ashlar_model::machine_config::CURRENT_CONFIG;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::collections::BTreeMap;

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

/// Writes which rendered config each host of `given` has, on its node. Returns the hosts whose node says so now; one
/// whose node is not there yet is not among them.
pub async fn annotate(
    api: &Api<Node>,
    nodes: &[Node],
    given: &BTreeMap<String, String>,
) -> Result<Vec<String>, kube::Error> {
    let mut said = Vec::new();
    for node in nodes {
        let name = node.name_any();
        let Some(rendered) = given.get(&name) else { continue };
        if node.annotations().get(CURRENT_CONFIG) != Some(rendered) {
            let patch = json!({"metadata": {"annotations": {CURRENT_CONFIG: rendered}}});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        said.push(name);
    }
    Ok(said)
}

/// Whether the node's `Ready` condition is true.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
