//! Asks the API for what a plan needs.

use std::collections::BTreeMap;

use ashlar_model::bootstrap_api::Role;
use ashlar_model::machine_config::name_of;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::View;
use crate::cluster_object;
use crate::host_object::Host;
use crate::machine_config::objects::{ContainerRuntimeConfig, KubeletConfig, MachineConfig};

#[derive(Debug, thiserror::Error)]
pub enum NoView {
    #[error("listing {0}")]
    List(&'static str, #[source] kube::Error),
    #[error(transparent)]
    Cluster(#[from] cluster_object::Error),
}

impl View {
    /// # Errors
    /// The API does not answer, or its cluster is not of this program.
    pub async fn read(client: &Client) -> Result<Self, NoView> {
        let cluster = cluster_object::load(client).await?;
        let hosts: Vec<Host> = list(client, "the hosts").await?;
        let mut configs = objects::<MachineConfig>(client, "the machine configs").await?;
        configs.extend(objects::<KubeletConfig>(client, "the kubelet configs").await?);
        configs.extend(objects::<ContainerRuntimeConfig>(client, "the container runtime configs").await?);
        let role = |host: &Host| match host.spec.role.as_str() {
            "master" => Some((host.name_any(), Role::Master)),
            "worker" => Some((host.name_any(), Role::Worker)),
            _ => None,
        };
        Ok(Self {
            cluster,
            roles: hosts.iter().filter_map(role).collect(),
            nodes: list(client, "the nodes").await?,
            pools: list(client, "the machine config pools").await?,
            configs,
            pods: list(client, "the pods").await?,
            budgets: list(client, "the pod disruption budgets").await?,
        })
    }
}

/// By what they are called among machine configs.
async fn objects<K>(client: &Client, what: &'static str) -> Result<BTreeMap<String, Value>, NoView>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let all: Vec<K> = list(client, what).await?;
    let values = all.iter().map(|object| serde_json::to_value(object).unwrap_or_default());
    Ok(values.map(|object| (name_of(&object), object)).collect())
}

async fn list<K>(client: &Client, what: &'static str) -> Result<Vec<K>, NoView>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await.map_err(|error| NoView::List(what, error))?.items)
}
