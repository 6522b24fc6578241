//! Empties nodes that ask for it before they restart, and lets pods back afterwards. Pods leave through the eviction
//! API, so that budgets hold; one that a budget holds back is named and asked again.

use ashlar_model::machine_config::{DESIRED_DRAIN, LAST_APPLIED_DRAIN};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

/// Why a node is not empty yet, for its pool's status.
pub const BLOCKED: &str = "ashlar.dev/drain-blocked";
/// When the node stopped taking pods (RFC 3339).
pub const BEGAN: &str = "ashlar.dev/drain-began";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Does the next step for every node that asks for something.
pub async fn step(client: &Client, nodes: &[Node]) -> Result<(), kube::Error> {
    for node in nodes {
        let annotation = |name: &str| node.annotations().get(name);
        let Some(wanted) =
            annotation(DESIRED_DRAIN).filter(|wanted| annotation(LAST_APPLIED_DRAIN) != Some(wanted))
        else {
            continue;
        };
        if wanted.starts_with("drain-") {
            drain(client, node, wanted).await?;
        } else if wanted.starts_with("uncordon-") {
            done(client, node, wanted, false).await?;
        }
    }
    Ok(())
}

async fn drain(client: &Client, node: &Node, wanted: &str) -> Result<(), kube::Error> {
    let name = node.name_any();
    let takes_pods = node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true);
    // One that is cordoned already, by a person or an earlier drain, begins as well.
    if takes_pods || !node.annotations().contains_key(BEGAN) {
        tracing::info!(node = name, "takes no new pods");
        let now = Timestamp::now().to_string();
        let change = json!({"metadata": {"annotations": {BEGAN: now}}, "spec": {"unschedulable": true}});
        // Who is there is asked when the scheduler knows.
        return patch(client, &name, &change).await;
    }
    let began = node.annotations().get(BEGAN).and_then(|text| text.parse::<Timestamp>().ok());
    let pods: Api<Pod> = Api::all(client.clone());
    let list = pods.list(&ListParams::default().fields(&format!("spec.nodeName={name}"))).await?;
    let leaving: Vec<&Pod> =
        list.items.iter().filter(|pod| must_leave(pod) && !came_back(pod, began)).collect();
    if leaving.is_empty() {
        tracing::info!(node = name, "is empty");
        return done(client, node, wanted, true).await;
    }
    let mut blocked = Vec::new();
    for pod in leaving {
        // It is on its way already.
        if pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let namespace = pod.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        match api.evict(&pod.name_any(), &EvictParams::default()).await {
            Ok(_) => tracing::info!(node = name, namespace, pod = pod.name_any(), "leaves"),
            Err(kube::Error::Api(status)) if status.code == 429 => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let causes: Vec<&str> = causes.map(|cause| cause.message.as_str()).collect();
                let why = if causes.is_empty() { status.message.clone() } else { causes.join("; ") };
                blocked.push(format!("{namespace}/{}: {why}", pod.name_any()));
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let said = node.annotations().get(BLOCKED).cloned().unwrap_or_default();
    let now = blocked.join(" | ");
    if said != now {
        let value = if now.is_empty() { json!(null) } else { json!(now) };
        tracing::warn!(node = name, blocked = now, "pods that cannot leave yet");
        patch(client, &name, &json!({"metadata": {"annotations": {BLOCKED: value}}})).await?;
    }
    Ok(())
}

async fn done(client: &Client, node: &Node, wanted: &str, unschedulable: bool) -> Result<(), kube::Error> {
    let change = json!({
        "metadata": {"annotations": {LAST_APPLIED_DRAIN: wanted, BLOCKED: null, BEGAN: null}},
        "spec": {"unschedulable": if unschedulable { json!(true) } else { json!(null) }},
    });
    patch(client, &node.name_any(), &change).await
}

async fn patch(client: &Client, node: &str, change: &serde_json::Value) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    api.patch(node, &PatchParams::default(), &Patch::Merge(change)).await.map(drop)
}

/// All but those that belong to the node itself, and those that have ended.
pub(crate) fn must_leave(pod: &Pod) -> bool {
    let of_node = pod.annotations().contains_key(MIRROR)
        || pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node");
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !of_node && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// A pod that tolerates every taint is put on a node that takes none: it was made since, and would be again.
fn came_back(pod: &Pod, began: Option<Timestamp>) -> bool {
    let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    matches!((made, began), (Some(made), Some(began)) if made > began)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_was_made_since_is_not_waited_for() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:10Z"}}))
                .expect("a pod");
        let at = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
        assert!(came_back(&pod, at("2026-01-01T00:00:05Z")));
        assert!(!came_back(&pod, at("2026-01-01T00:00:15Z")));
        assert!(!came_back(&pod, None));
    }

    #[test]
    fn pods_of_the_node_itself_stay() {
        let pod = |value: serde_json::Value| must_leave(&serde_json::from_value(value).expect("a pod"));
        let owned = |kind: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": "x", "uid": "u"}]}});
        assert!(pod(owned("ReplicaSet")));
        assert!(!pod(owned("DaemonSet")));
        assert!(!pod(json!({"metadata": {"annotations": {MIRROR: "x"}}})));
        assert!(!pod(json!({"metadata": {}, "status": {"phase": "Succeeded"}})));
        assert!(pod(json!({"metadata": {}})), "one of nobody's as well");
    }
}
