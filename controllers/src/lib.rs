//! In-cluster controllers, and the parts of them that the bootstrap machine runs before there is a cluster.
//!
//! They configure and approve; they never touch a Linux machine (that is the node daemon's).

pub mod admission;
pub mod apply;
pub mod cluster_object;
pub mod config_server;
pub mod directory;
pub mod drain;
pub mod first_boot;
pub mod host_object;
pub mod lease;
pub mod machine_config;
pub mod manifests;
pub mod nodes;
pub mod preview;
pub mod signing;
pub mod update;

/// The kinds that we add to the API.
pub fn definitions()
-> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use kube::CustomResourceExt;
    let mut definitions = vec![host_object::Host::crd(), update::ClusterUpdate::crd()];
    definitions.extend(machine_config::objects::definitions());
    definitions
}

/// RFC 3339, in whole seconds.
pub(crate) fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
