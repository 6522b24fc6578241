//! Hosts as cluster objects: the `Host` resource for people and controllers, and a Secret with what only the
//! configuration server may know.

use crate::directory::Directory;
use ashlar_model::bootstrap_api::{HostRecord, Role};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, CustomResource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub const NAMESPACE: &str = "ashlar-system";
pub const FIELD_MANAGER: &str = "ashlar";
const HOST_LABEL: &str = "ashlar.dev/host";
const RECORD: &str = "record.json";

/// A server that this installation knows.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ashlar.dev",
    version = "v1alpha1",
    kind = "Host",
    printcolumn = r#"{"name":"Role","type":"string","jsonPath":".spec.role"}"#,
    printcolumn = r#"{"name":"Address","type":"string","jsonPath":".spec.address"}"#,
    printcolumn = r#"{"name":"Boot MAC","type":"string","jsonPath":".spec.bootMACAddress"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// `master` or `worker`.
    pub role: String,
    /// MAC address that the host boots with.
    #[serde(rename = "bootMACAddress")]
    pub boot_mac_address: String,
    /// Address in the machine network, once known.
    pub address: Option<Ipv4Addr>,
    /// Counts installations of this host.
    pub generation: u32,
}

/// Writes the objects of every host; safe to repeat.
pub async fn store(client: &Client, hosts: &[HostRecord]) -> Result<(), kube::Error> {
    let objects: Api<Host> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let tokens: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    for host in hosts.iter().filter(|host| host.role != Role::Bootstrap) {
        objects.patch(&host.name, &parameters, &Patch::Apply(&object(host))).await?;
        let record = record_secret(host)?;
        secrets
            .patch(record.metadata.name.as_deref().unwrap_or_default(), &parameters, &Patch::Apply(&record))
            .await?;
        let token = token_secret(host);
        tokens
            .patch(token.metadata.name.as_deref().unwrap_or_default(), &parameters, &Patch::Apply(&token))
            .await?;
    }
    Ok(())
}

/// Reads the records back into `directory`.
pub async fn load(client: &Client, directory: &Directory) -> Result<(), kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let found = secrets.list(&ListParams::default().labels(HOST_LABEL)).await?;
    let hosts = found
        .items
        .iter()
        .filter_map(|secret| secret.data.as_ref()?.get(RECORD))
        .filter_map(|bytes| serde_json::from_slice(&bytes.0).ok())
        .collect();
    directory.replace(hosts);
    Ok(())
}

fn object(host: &HostRecord) -> Host {
    Host::new(
        &host.name,
        HostSpec {
            role: host.role.as_str().into(),
            boot_mac_address: host.boot_mac.clone(),
            address: host.address,
            generation: host.generation,
        },
    )
}

fn record_secret(host: &HostRecord) -> Result<Secret, kube::Error> {
    let bytes = serde_json::to_vec(host).map_err(kube::Error::SerdeError)?;
    let mut secret = Secret::default();
    secret.metadata.name = Some(format!("host-{}", host.name));
    secret.metadata.namespace = Some(NAMESPACE.into());
    secret.metadata.labels = Some(BTreeMap::from([(HOST_LABEL.into(), host.name.clone())]));
    secret.data = Some(BTreeMap::from([(RECORD.into(), ByteString(bytes))]));
    Ok(secret)
}

/// A bootstrap token in the form that Kubernetes' authenticator reads.
fn token_secret(host: &HostRecord) -> Secret {
    let (id, secret) = host.kubelet_token.split_once('.').unwrap_or((&host.kubelet_token, ""));
    let text = |value: &str| value.to_owned();
    let mut object = Secret::default();
    object.metadata.name = Some(format!("bootstrap-token-{id}"));
    object.metadata.namespace = Some("kube-system".into());
    object.type_ = Some("bootstrap.kubernetes.io/token".into());
    object.string_data = Some(BTreeMap::from([
        (text("description"), format!("kubelet of host {}", host.name)),
        (text("token-id"), text(id)),
        (text("token-secret"), text(secret)),
        (text("usage-bootstrap-authentication"), text("true")),
        (text("auth-extra-groups"), text(ashlar_model::node::BOOTSTRAP_GROUP)),
    ]));
    object
}
