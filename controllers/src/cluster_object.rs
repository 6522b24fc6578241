//! The facts that every part of the cluster shares, as an object: with them, whoever may read it makes the base configs
//! of the pools. It holds no secret.

use ashlar_model::bootstrap_api::Cluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::host_object::{FIELD_MANAGER, NAMESPACE};

const NAME: &str = "cluster";
const KEY: &str = "cluster.json";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading ConfigMap {NAMESPACE}/{NAME}")]
    Read(#[source] kube::Error),
    #[error(
        "there is no ConfigMap {NAMESPACE}/{NAME}: the cluster is not of this program, or its controllers do not run"
    )]
    NotThere,
    #[error("understanding {KEY} of ConfigMap {NAMESPACE}/{NAME}")]
    Form(#[source] serde_json::Error),
}

/// Safe to repeat.
pub async fn store(client: &Client, cluster: &Cluster) -> Result<(), kube::Error> {
    let text = serde_json::to_string(cluster).map_err(kube::Error::SerdeError)?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {KEY: text},
    });
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    api.patch(NAME, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await.map(drop)
}

/// # Errors
/// It is not there or cannot be read.
pub async fn load(client: &Client) -> Result<Cluster, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let object = api.get_opt(NAME).await.map_err(Error::Read)?;
    let text = object.and_then(|object| object.data).and_then(|mut data| data.remove(KEY));
    serde_json::from_str(&text.ok_or(Error::NotThere)?).map_err(Error::Form)
}
