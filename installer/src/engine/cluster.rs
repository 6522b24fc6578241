//! The finished cluster as its API shows it at the VIP.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

use crate::failure::{Fails, Failure};

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NodeRow {
    pub name: String,
    pub roles: String,
    pub ready: bool,
    pub address: String,
    pub version: String,
}

/// A client for the kubeconfig in `text`.
///
/// # Errors
/// The kubeconfig cannot be used.
pub async fn client(text: &str) -> Result<Client, Failure> {
    let doing = || "using the kubeconfig".to_owned();
    let kubeconfig = Kubeconfig::from_yaml(text).failing(doing)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.failing(doing)?;
    config.connect_timeout = Some(Duration::from_secs(3));
    config.read_timeout = Some(Duration::from_secs(10));
    Client::try_from(config).failing(doing)
}

/// All nodes by name.
///
/// # Errors
/// The API does not answer.
pub async fn nodes(client: &Client) -> Result<Vec<NodeRow>, Failure> {
    let api: Api<Node> = Api::all(client.clone());
    let list = tokio::time::timeout(Duration::from_secs(10), api.list(&ListParams::default())).await;
    let list = list.failing(|| "listing the nodes".into())?.failing(|| "listing the nodes".into())?;
    let mut rows: Vec<NodeRow> = list.items.iter().map(row).collect();
    rows.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(rows)
}

/// The first of `names` whose kubelet does not answer through the API server, and why. Until it does, neither logs
/// nor `exec` work there: the kubelet itself asks the API whether the caller may, on a connection that has to
/// find the masters again after the API address left the bootstrap.
pub async fn unanswered(client: &Client, names: &[String]) -> Option<(String, String)> {
    let asked = names.iter().map(|name| async move {
        let request =
            axum::http::Request::get(format!("/api/v1/nodes/{name}/proxy/healthz")).body(Vec::new());
        let answer = match request {
            Ok(request) => tokio::time::timeout(Duration::from_secs(10), client.request_text(request)).await,
            Err(error) => return Some((name.clone(), error.to_string())),
        };
        match answer {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some((name.clone(), error.to_string())),
            Err(_) => Some((name.clone(), "no answer in 10 s".to_owned())),
        }
    });
    futures::future::join_all(asked).await.into_iter().flatten().next()
}

fn row(node: &Node) -> NodeRow {
    const ROLE: &str = "node-role.kubernetes.io/";
    let labels = node.metadata.labels.iter().flatten();
    let roles: Vec<&str> = labels.filter_map(|(key, _)| key.strip_prefix(ROLE)).collect();
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let version =
        status.and_then(|status| status.node_info.as_ref()).map(|info| info.kubelet_version.clone());
    NodeRow {
        name: node.metadata.name.clone().unwrap_or_default(),
        roles: roles.join(","),
        ready: conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        address: addresses
            .into_iter()
            .find(|address| address.type_ == "InternalIP")
            .map(|address| address.address.clone())
            .unwrap_or_default(),
        version: version.unwrap_or_default(),
    }
}
