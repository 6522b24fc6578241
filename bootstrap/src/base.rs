//! The objects that make an API server a cluster, applied from the bundle.

use crate::machine::Images;
use crate::run::TICK;
use crate::state::State;
use anyhow::Context;
use ashlar_controllers::machine_config::objects;
use ashlar_controllers::{apply, host_object, manifests};
use kube::Client;

/// Applies the base objects until it has worked once.
pub async fn prepare(state: &State, client: &Client, images: &Images) {
    loop {
        match apply_base(state, client, images).await {
            Ok(()) => return state.wait_for(None),
            Err(error) => {
                tracing::info!(error = format!("{error:#}"), "applying the base objects");
                state.wait_for(Some(format!("the API to take the base objects ({error:#})")));
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn apply_base(state: &State, client: &Client, images: &Images) -> anyhow::Result<()> {
    let image = |name: &str| images.reference(name);
    let manifests = manifests::base(&state.bundle.cluster, &image);
    for definition in ashlar_controllers::definitions() {
        let name = format!("the definition of {}", definition.spec.names.kind);
        apply::apply(client, &name, &serde_norway::to_string(&definition)?).await?;
    }
    for (name, yaml) in &manifests[..1] {
        apply::apply(client, name, yaml).await?;
    }
    host_object::store(client, &state.directory.all()).await.context("writing the hosts")?;
    for (name, yaml) in &manifests[1..] {
        apply::apply(client, name, yaml).await?;
    }
    objects::store(client, &state.bundle.machine_configs).await.context("writing the machine configs")
}
