//! Server-side apply of plain manifests.

use crate::host_object::FIELD_MANAGER;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{self, Scope};
use kube::{Client, ResourceExt};
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading manifest {0}")]
    Yaml(String, #[source] serde_norway::Error),
    #[error("a manifest in {0} has no apiVersion and kind")]
    NoKind(String),
    #[error("finding kind {0} in the API")]
    Discovery(String, #[source] kube::Error),
    #[error("applying {0}")]
    Apply(String, #[source] kube::Error),
}

/// Applies every document of `yaml`, in order.
pub async fn apply(client: &Client, file: &str, yaml: &str) -> Result<(), Error> {
    for document in serde_norway::Deserializer::from_str(yaml) {
        let object = Option::<DynamicObject>::deserialize(document)
            .map_err(|source| Error::Yaml(file.into(), source))?;
        if let Some(object) = object {
            apply_one(client, file, object).await?;
        }
    }
    Ok(())
}

async fn apply_one(client: &Client, file: &str, object: DynamicObject) -> Result<(), Error> {
    let types: TypeMeta = object.types.clone().ok_or_else(|| Error::NoKind(file.into()))?;
    let kind = GroupVersionKind::try_from(types).map_err(|_| Error::NoKind(file.into()))?;
    let name = format!("{} {}", kind.kind, object.name_any());
    let (resource, capabilities) = discovery::pinned_kind(client, &kind)
        .await
        .map_err(|source| Error::Discovery(kind.kind.clone(), source))?;
    let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
        (Scope::Namespaced, namespace) => {
            Api::namespaced_with(client.clone(), namespace.as_deref().unwrap_or("default"), &resource)
        }
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
    };
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&object.name_any(), &parameters, &Patch::Apply(&object))
        .await
        .map_err(|source| Error::Apply(name, source))?;
    Ok(())
}
