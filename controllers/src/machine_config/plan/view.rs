//! Asks the API for what a plan needs.

use std::collections::BTreeMap;

use ashlar_model::bootstrap_api::Role;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::View;
use crate::cluster_object;
use crate::host_object::Host;
use crate::machine_config::objects::MachineConfig;

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
        let configs: Vec<MachineConfig> = list(client, "the machine configs").await?;
        let role = |host: &Host| match host.spec.role.as_str() {
            "master" => Some((host.name_any(), Role::Master)),
            "worker" => Some((host.name_any(), Role::Worker)),
            _ => None,
        };
        let object =
            |config: &MachineConfig| (config.name_any(), serde_json::to_value(config).unwrap_or_default());
        Ok(Self {
            cluster,
            roles: hosts.iter().filter_map(role).collect(),
            nodes: list(client, "the nodes").await?,
            pools: list(client, "the machine config pools").await?,
            configs: configs.iter().map(object).collect::<BTreeMap<_, _>>(),
            pods: list(client, "the pods").await?,
            budgets: list(client, "the pod disruption budgets").await?,
        })
    }
}

async fn list<K>(client: &Client, what: &'static str) -> Result<Vec<K>, NoView>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await.map_err(|error| NoView::List(what, error))?.items)
}
