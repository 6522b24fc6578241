//! The `ClusterUpdate` of the cluster, as this program reads and writes it.

use ashlar_controllers::update::objects::ClusterUpdateSpec;
use ashlar_controllers::update::{ClusterUpdate, NAME};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::failure::{Fails, Failure};

const FIELD_MANAGER: &str = "ashlar-update";

/// None: no update was ever begun.
///
/// # Errors
/// The API does not answer.
pub async fn read(client: &Client) -> Result<Option<ClusterUpdate>, Failure> {
    let api: Api<ClusterUpdate> = Api::all(client.clone());
    match api.get_opt(NAME).await {
        // A cluster of a release without updates does not know the kind.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        found => found.failing(|| "reading the cluster's update".into()),
    }
}

/// # Errors
/// The API does not take it.
pub async fn write(client: &Client, spec: ClusterUpdateSpec) -> Result<(), Failure> {
    let api: Api<ClusterUpdate> = Api::all(client.clone());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let done = api.patch(NAME, &parameters, &Patch::Apply(&ClusterUpdate::new(NAME, spec))).await;
    done.map(drop).map_err(|error| {
        Failure::environment("writing the cluster's update").because(error).hint(
            "a cluster of a release without updates has no ClusterUpdate; install it anew with a newer one",
        )
    })
}

/// # Errors
/// The API does not take it.
pub async fn stop(client: &Client) -> Result<(), Failure> {
    let api: Api<ClusterUpdate> = Api::all(client.clone());
    let patch = json!({"spec": {"stop": true}});
    let done = api.patch(NAME, &PatchParams::default(), &Patch::Merge(&patch)).await;
    done.map(drop).failing(|| "stopping the update".into())
}
