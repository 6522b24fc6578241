//! What a plan is made from, as the cluster's API says it now.

use ashlar_controllers::machine_config::objects::MachineConfigPool;
use ashlar_controllers::machine_config::pool;
use ashlar_controllers::nodes;
use ashlar_controllers::update::ClusterUpdate;
use ashlar_model::update::Version;
use axum::http::Request;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::object;
use crate::failure::{Fails, Failure};

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub kubernetes: Option<Version>,
    pub nodes: Vec<NodeFact>,
    /// Name, and why its nodes are not to be changed now.
    pub pools: Vec<(String, Option<String>)>,
    /// etcd members that are ready.
    pub etcd: usize,
    /// Pods of the control plane that are not ready.
    pub unready: Vec<String>,
    /// `namespace/name` of budgets that let no pod go.
    pub budgets: Vec<String>,
    /// Names of custom resource definitions.
    pub definitions: Vec<String>,
    /// `resource.version.group`, and the release that removes it.
    pub deprecated: Vec<(String, String)>,
    pub update: Option<ClusterUpdate>,
}

#[derive(Debug, Clone)]
pub struct NodeFact {
    pub name: String,
    pub master: bool,
    pub ready: bool,
    pub schedulable: bool,
    pub kubelet: Option<Version>,
    /// Bytes free in `/var`; none when the kubelet does not say.
    pub free: Option<u64>,
}

/// # Errors
/// The API does not answer.
pub async fn collect(client: &Client) -> Result<Facts, Failure> {
    let version =
        client.apiserver_version().await.failing(|| "asking the API server for its version".into())?;
    let every = ListParams::default();
    let all: Api<Node> = Api::all(client.clone());
    let all = all.list(&every).await.failing(|| "listing the nodes".into())?.items;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let pods = pods.list(&every.clone().labels("tier=control-plane")).await;
    let pods = pods.failing(|| "listing the pods of the control plane".into())?.items;
    let budgets: Api<PodDisruptionBudget> = Api::all(client.clone());
    let budgets = budgets.list(&every).await.failing(|| "listing the budgets of pods".into())?.items;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definitions = definitions.list_metadata(&every).await.failing(|| "listing the definitions".into())?;
    let facts = futures::stream::iter(all).map(|node| node_fact(client, node)).buffered(8);
    Ok(Facts {
        kubernetes: version.git_version.parse().ok(),
        nodes: facts.collect().await,
        pools: pools(client).await?,
        etcd: pods
            .iter()
            .filter(|pod| pod.labels().get("component").is_some_and(|of| of == "etcd") && pool::is_ready(pod))
            .count(),
        unready: pods.iter().filter(|pod| !pool::is_ready(pod)).map(ResourceExt::name_any).collect(),
        budgets: budgets.iter().filter(|budget| holds(budget)).map(full_name).collect(),
        definitions: definitions.items.iter().map(ResourceExt::name_any).collect(),
        deprecated: deprecated(&text(client, "/metrics").await.unwrap_or_default()),
        update: object::read(client).await?,
    })
}

fn holds(budget: &PodDisruptionBudget) -> bool {
    budget.status.as_ref().is_some_and(|status| status.expected_pods > 0 && status.disruptions_allowed == 0)
}

fn full_name(budget: &PodDisruptionBudget) -> String {
    format!("{}/{}", budget.namespace().unwrap_or_default(), budget.name_any())
}

async fn node_fact(client: &Client, node: Node) -> NodeFact {
    let name = node.name_any();
    let stats = text(client, &format!("/api/v1/nodes/{name}/proxy/stats/summary")).await;
    let stats: serde_json::Value =
        stats.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    NodeFact {
        master: node.labels().contains_key(CONTROL_PLANE),
        ready: nodes::is_ready(&node),
        schedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true),
        kubelet: status.node_info.and_then(|info| info.kubelet_version.parse().ok()),
        free: stats["node"]["fs"]["availableBytes"].as_u64(),
        name,
    }
}

async fn text(client: &Client, path: &str) -> Option<String> {
    let request = Request::get(path).body(Vec::new()).ok()?;
    client.request_text(request).await.ok()
}

async fn pools(client: &Client) -> Result<Vec<(String, Option<String>)>, Failure> {
    let api: Api<MachineConfigPool> = Api::all(client.clone());
    let all = api.list(&ListParams::default()).await.failing(|| "listing the pools".into())?;
    Ok(all.items.iter().map(|pool| (pool.name_any(), why_not(pool))).collect())
}

fn why_not(pool: &MachineConfigPool) -> Option<String> {
    if pool.spec.paused == Some(true) {
        return Some("it is paused (spec.paused)".into());
    }
    let updated = pool.status.as_ref()?.conditions.iter().find(|one| one.kind == "Updated")?;
    let message = &updated.message;
    (updated.status != "True").then(|| format!("not all its nodes have their machine config: {message}"))
}

/// From the API server's metrics: `apiserver_requested_deprecated_apis{…} 1`.
fn deprecated(metrics: &str) -> Vec<(String, String)> {
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_requested_deprecated_apis{"));
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next().unwrap_or_default().to_owned())
    };
    lines
        .filter_map(|line| {
            let name =
                format!("{}.{}.{}", label(line, "resource")?, label(line, "version")?, label(line, "group")?);
            Some((name, label(line, "removed_release")?))
        })
        .filter(|(_, removed)| !removed.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_controllers::machine_config::objects;
    use ashlar_model::bootstrap_api::Role;

    #[test]
    fn removed_apis_in_use_are_read_from_the_metrics() {
        let metrics = "# HELP x\napiserver_requested_deprecated_apis{group=\"policy\",removed_release=\"1.36\",resource=\"podsecuritypolicies\",subresource=\"\",version=\"v1beta1\"} 1\n\
            apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",version=\"v1\"} 1\n";
        assert_eq!(
            deprecated(metrics),
            [("podsecuritypolicies.v1beta1.policy".to_owned(), "1.36".to_owned())]
        );
    }

    #[test]
    fn a_pool_that_is_paused_or_behind_says_why() {
        let pool = |paused: bool, updated: &str| -> MachineConfigPool {
            let mut pool = objects::pool(Role::Worker);
            pool.spec.paused = Some(paused);
            let condition = serde_json::json!({"type": "Updated", "status": updated, "reason": "",
                "message": "worker-1 next", "lastTransitionTime": ""});
            let conditions = vec![serde_json::from_value(condition).expect("a condition")];
            pool.status = Some(objects::PoolStatus { conditions, ..objects::PoolStatus::default() });
            pool
        };
        assert_eq!(why_not(&pool(false, "True")), None);
        assert!(why_not(&pool(true, "True")).expect("paused").contains("spec.paused"));
        assert!(why_not(&pool(false, "False")).expect("behind").contains("worker-1 next"));
    }
}
