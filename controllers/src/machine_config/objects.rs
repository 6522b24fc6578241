//! `MachineConfig` and `MachineConfigPool` as kinds of the API, with OpenShift's names, columns and short names.
//!
//! Fields that have no effect yet are in the schema, so that OpenShift's objects are taken, and rules refuse values of
//! them that ask for something.

use std::collections::BTreeMap;

use ashlar_model::bootstrap_api::Role;
use ashlar_model::machine_config::{self, POOLS, ROLE_LABEL};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, CustomResource, CustomResourceExt, KubeSchema, Resource};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::host_object::FIELD_MANAGER;

const POOL_LABEL: &str = "pools.operator.machineconfiguration.openshift.io/";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The API takes 256 KiB of annotations; the rest is the user's own.
const LONGEST_ANNOTATION: usize = 200 << 10;

/// What every node of a pool has: files, units, users, disks (Ignition) and kernel arguments. A host gets it at its
/// first boot, and running nodes get what changes, one after the other; disks and accounts only an install changes.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "MachineConfig",
    shortname = "mc",
    validation = Rule::new("!self.metadata.name.startsWith('00-') && !self.metadata.name.startsWith('01-') && !self.metadata.name.startsWith('rendered-')")
        .message("names that begin with 00-, 01- or rendered- are the release's own"),
    printcolumn = r#"{"name":"GeneratedByController","type":"string","jsonPath":".metadata.annotations.machineconfiguration\\.openshift\\.io/generated-by-controller-version","description":"Version of the controller that generated the machine config; none for a user's."}"#,
    printcolumn = r#"{"name":"IgnitionVersion","type":"string","jsonPath":".spec.config.ignition.version","description":"Version of the Ignition specification."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("!has(self.fips) || !self.fips").message("spec.fips is not supported: the operating system has no FIPS mode"),
    validation = Rule::new("!has(self.kernelType) || self.kernelType in ['', 'default']").message("spec.kernelType is not supported: the operating system has one kernel"),
    validation = Rule::new("!has(self.osImageURL) || self.osImageURL == ''").message("spec.osImageURL is not supported: the image is the release's"),
    validation = Rule::new("!has(self.baseOSExtensionsContainerImage) || self.baseOSExtensionsContainerImage == ''").message("spec.baseOSExtensionsContainerImage is not supported yet"),
    validation = Rule::new("!has(self.extensions) || self.extensions.size() == 0").message("spec.extensions is not supported yet")
)]
#[serde(rename_all = "camelCase")]
pub struct MachineConfigSpec {
    /// Ignition 3.0 to 3.5, and Butane's `contents.inline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub config: Option<Value>,
    /// Arguments of the kernel, one each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_arguments: Option<Vec<String>>,
    /// Not supported: must be empty.
    #[serde(rename = "osImageURL", default, skip_serializing_if = "Option::is_none")]
    pub os_image_url: Option<String>,
    /// Not supported: must be empty.
    #[serde(rename = "baseOSExtensionsContainerImage", default, skip_serializing_if = "Option::is_none")]
    pub base_os_extensions_container_image: Option<String>,
    /// Not supported: must be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Vec<String>>,
    /// Not supported: must be false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fips: Option<bool>,
    /// Not supported: must be empty or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_type: Option<String>,
}

/// Nodes that have the same machine configs: `master`, `worker`, and pools of your own. A node of a pool of your own has
/// the workers' configs and the pool's.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "MachineConfigPool",
    shortname = "mcp",
    status = "PoolStatus",
    validation = Rule::new("!self.metadata.name.startsWith('rendered-') && self.metadata.name != 'bootstrap'").message("such names are the release's own"),
    printcolumn = r#"{"name":"Config","type":"string","jsonPath":".status.configuration.name"}"#,
    printcolumn = r#"{"name":"Updated","type":"string","jsonPath":".status.conditions[?(@.type==\"Updated\")].status","description":"Every node of the pool has this config."}"#,
    printcolumn = r#"{"name":"Updating","type":"string","jsonPath":".status.conditions[?(@.type==\"Updating\")].status","description":"Nodes are being changed to this config."}"#,
    printcolumn = r#"{"name":"Degraded","type":"string","jsonPath":".status.conditions[?(@.type==\"Degraded\")].status"}"#,
    printcolumn = r#"{"name":"MachineCount","type":"integer","jsonPath":".status.machineCount"}"#,
    printcolumn = r#"{"name":"ReadyMachineCount","type":"integer","jsonPath":".status.readyMachineCount"}"#,
    printcolumn = r#"{"name":"UpdatedMachineCount","type":"integer","jsonPath":".status.updatedMachineCount"}"#,
    printcolumn = r#"{"name":"DegradedMachineCount","type":"integer","jsonPath":".status.degradedMachineCount"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MachineConfigPoolSpec {
    /// Which machine configs are the pool's. A pool of your own has the workers' as well; one that says nothing selects
    /// nothing.
    pub machine_config_selector: Selector,
    /// Which nodes are the pool's. A worker that no pool of your own selects is of `worker`, one that two of them select
    /// stays as it is, and masters are always of `master`.
    pub node_selector: Selector,
    /// No node is changed while it is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How many nodes may be away at the same time, as a number or as a share of the pool (`20%`, rounded down, at
    /// least one); 1 when it is absent. Masters are always changed one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "number_or_share")]
    pub max_unavailable: Option<Value>,
}

/// Settings of the kubelets of pools: fields of the kubelet's own configuration, which win over the release's.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "KubeletConfig",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct KubeletConfigSpec {
    /// The pools, by their labels.
    pub machine_config_pool_selector: Selector,
    /// Fields of `KubeletConfiguration` (`kubelet.config.k8s.io/v1beta1`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub kubelet_config: Option<Value>,
    /// How much the kubelet logs, from 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<i32>,
    /// What the kubelet's server takes; its `type` is Intermediate or Modern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub tls_security_profile: Option<Value>,
    /// Not supported: must be false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_sizing_reserved: Option<bool>,
}

/// Settings of the container runtimes of pools.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "ContainerRuntimeConfig",
    shortname = "ctrcfg",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRuntimeConfigSpec {
    /// The pools, by their labels.
    pub machine_config_pool_selector: Selector,
    /// `logLevel` of containerd, `logSizeMax` of a container's log, `pidsLimit` of a pod, `defaultRuntime` (runc).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub container_runtime_config: Option<Value>,
}

fn number_or_share(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "nullable": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
}

/// Of labels; all that it says must be true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expression {
    pub key: String,
    pub operator: Operator,
    /// Of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    pub fn into_api(self) -> LabelSelector {
        let expressions = self.match_expressions.into_iter().map(|one| LabelSelectorRequirement {
            key: one.key,
            operator: format!("{:?}", one.operator),
            values: Some(one.values),
        });
        LabelSelector {
            match_labels: Some(self.match_labels),
            match_expressions: Some(expressions.collect()),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Generation of the pool that this status is of.
    pub observed_generation: i64,
    /// What nodes of the pool shall have now; absent while a machine config is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// Nodes of the pool.
    pub machine_count: u32,
    /// Nodes that are Ready and have this config.
    pub ready_machine_count: u32,
    /// Nodes that have this config.
    pub updated_machine_count: u32,
    /// Nodes that are not Ready, take no pods, or are being changed.
    pub unavailable_machine_count: u32,
    /// Nodes that could not have the config that they shall have; they have the one before.
    pub degraded_machine_count: u32,
    /// Nodes that do not have this config yet, in the order in which they get it.
    #[serde(default)]
    pub plan: Vec<PlannedNode>,
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedNode {
    pub node: String,
    /// What the change asks of it.
    pub action: String,
}

/// A rendered config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// `rendered-POOL-SHA256`: the SHA-256 of the config's canonical form.
    pub name: String,
    /// What was merged, in this order.
    pub source: Vec<Source>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    pub reason: String,
    pub message: String,
    /// Since when the status is what it is (RFC 3339).
    pub last_transition_time: String,
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true})
}

pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![MachineConfig::crd(), MachineConfigPool::crd(), KubeletConfig::crd(), ContainerRuntimeConfig::crd()]
}

/// What the pools of the roles are selected by, as on OpenShift.
pub fn pool_labels(name: &str) -> BTreeMap<String, String> {
    [(format!("{POOL_LABEL}{name}"), String::new())].into()
}

/// The pool of a role.
pub fn pool(role: Role) -> MachineConfigPool {
    let node = match role {
        Role::Master => "node-role.kubernetes.io/control-plane",
        Role::Worker | Role::Bootstrap => "node-role.kubernetes.io/worker",
    };
    let labels = |name: &str, value: &str| Selector {
        match_labels: [(name.into(), value.into())].into(),
        match_expressions: Vec::new(),
    };
    let mut pool = MachineConfigPool::new(
        role.as_str(),
        MachineConfigPoolSpec {
            machine_config_selector: labels(ROLE_LABEL, role.as_str()),
            node_selector: labels(node, ""),
            paused: None,
            max_unavailable: None,
        },
    );
    pool.metadata.labels = Some(pool_labels(role.as_str()));
    pool
}

/// Makes the pools, and the user's machine configs unless they are there: what was changed in the cluster since stays.
pub async fn store(client: &Client, configs: &[machine_config::MachineConfig]) -> Result<(), kube::Error> {
    let pools: Api<MachineConfigPool> = Api::all(client.clone());
    for role in POOLS {
        let mut object = json!(pool(*role));
        // The status is the controllers'.
        object.as_object_mut().map(|object| object.remove("status"));
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        pools.patch(role.as_str(), &parameters, &Patch::Apply(&object)).await?;
    }
    for config in configs {
        let object = as_applied(config);
        let made = match object["kind"].as_str() {
            Some(machine_config::KUBELET) => create::<KubeletConfig>(client, object).await,
            Some(machine_config::RUNTIME) => create::<ContainerRuntimeConfig>(client, object).await,
            _ => create::<MachineConfig>(client, object).await,
        };
        match made {
            Ok(()) => tracing::info!(name = config.name, "machine config made"),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn create<K>(client: &Client, object: Value) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    Api::<K>::all(client.clone()).create(&parameters, &object).await.map(drop)
}

/// The object as `kubectl apply` leaves it: with its own text, so that a field that is left out of the next apply goes
/// away.
fn as_applied(config: &machine_config::MachineConfig) -> Value {
    let mut object = config.to_object();
    let text = format!("{object}\n");
    if text.len() <= LONGEST_ANNOTATION {
        object["metadata"]["annotations"][LAST_APPLIED] = text.into();
    }
    object
}
