//! Brings what every cluster has on top of its control plane to the images of the release: first these controllers,
//! then, by the new ones, all objects that they know.

use std::collections::BTreeMap;

use ashlar_model::bootstrap_api::Cluster;
use ashlar_model::update::AddOns;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use kube::{Api, Client};
use serde::Deserialize;

use crate::{apply, definitions, manifests};

/// In our own pod: the image that it was started from.
pub const OWN_IMAGE: &str = "ASHLAR_IMAGE";
const CONTROLLERS: &str = "controllers.yaml";

/// Does what is to be done and says what is missing. `client` may do everything.
pub async fn go_on(
    client: &Client,
    cluster: &Cluster,
    images: &BTreeMap<String, String>,
) -> anyhow::Result<AddOns> {
    // An image that the release does not have stays what the object says: it is then missed by its name.
    let image = |name: &str| images.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let all = manifests::base(cluster, &image);
    let own = std::env::var(OWN_IMAGE).unwrap_or_default();
    if own != image("ashlar-controllers") {
        for (name, text) in all.iter().filter(|(name, _)| *name == CONTROLLERS) {
            apply::apply(client, name, text).await?;
        }
        return Ok(AddOns::Behind("these controllers are replaced by the release's".into()));
    }
    for definition in definitions() {
        let name = format!("the definition of {}", definition.spec.names.kind);
        apply::apply(client, &name, &serde_norway::to_string(&definition)?).await?;
    }
    let mut behind = Vec::new();
    for (name, text) in &all {
        apply::apply(client, name, text).await?;
        behind.extend(rolling(client, text).await?);
    }
    Ok(if behind.is_empty() { AddOns::Done } else { AddOns::Behind(behind.join(", ")) })
}

/// Those of a manifest that are not rolled out.
async fn rolling(client: &Client, text: &str) -> anyhow::Result<Vec<String>> {
    let mut rolling = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let object = serde_json::Value::deserialize(document)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        let there = match object["kind"].as_str() {
            Some("DaemonSet") => daemon_set(&Api::namespaced(client.clone(), namespace).get(name).await?),
            Some("Deployment") => deployment(&Api::namespaced(client.clone(), namespace).get(name).await?),
            _ => continue,
        };
        if !there {
            rolling.push(format!("{namespace}/{name}"));
        }
    }
    Ok(rolling)
}

fn daemon_set(object: &DaemonSet) -> bool {
    let Some(status) = &object.status else { return false };
    status.observed_generation >= object.metadata.generation
        && status.updated_number_scheduled == Some(status.desired_number_scheduled)
        && status.number_available == Some(status.desired_number_scheduled)
}

fn deployment(object: &Deployment) -> bool {
    let Some(status) = &object.status else { return false };
    let wanted = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    status.observed_generation >= object.metadata.generation
        && status.updated_replicas == Some(wanted)
        && status.available_replicas == Some(wanted)
        && status.replicas == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_daemon_set_is_rolled_out_when_every_pod_is_new_and_available() {
        let object = |generation: i64, updated: i32, available: i32| -> bool {
            let value = json!({
                "metadata": {"generation": 2},
                "status": {"observedGeneration": generation, "desiredNumberScheduled": 5, "currentNumberScheduled": 5,
                    "numberMisscheduled": 0, "numberReady": 5, "updatedNumberScheduled": updated, "numberAvailable": available},
            });
            daemon_set(&serde_json::from_value(value).expect("a daemon set"))
        };
        assert!(object(2, 5, 5));
        assert!(!object(1, 5, 5) && !object(2, 4, 5) && !object(2, 5, 4));
    }

    #[test]
    fn a_deployment_is_rolled_out_when_no_old_pod_is_left() {
        let object = |replicas: i32| {
            let value = json!({
                "metadata": {"generation": 1},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2, "replicas": replicas},
            });
            deployment(&serde_json::from_value(value).expect("a deployment"))
        };
        assert!(object(2) && !object(3));
    }
}
