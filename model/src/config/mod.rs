//! What the user asks for: `install-config.yaml` (OpenShift's field names for bare metal) and `agent-config.yaml`.
//!
//! `parse` reads text into validated types or returns *every* problem, each with its field path. The text is first
//! compared with a table of fields (`fields`, also the source of `explain`, the reference page and the JSON
//! Schema), then read into `raw` types, then checked by rules (`networking`, `hosts`, ...). Nothing outside this
//! folder sees `raw`.

pub mod agent_config;
mod bmc;
mod explain;
mod field;
mod fields;
pub mod hints;
mod hosts;
mod names;
pub mod network;
mod networking;
mod problem;
mod raw;
mod rules;
mod walk;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use secrecy::SecretString;

pub use agent_config::AgentConfig;
pub use bmc::{BmcAccess, BmcAddress, BmcScheme, BmcTrust};
pub use explain::{UnknownField, explain, json_schema, reference};
pub use hints::{NoDisk, RootDeviceHints, choose};
pub use problem::Problem;

/// A cluster to install. Every rule of this module holds for it.
#[derive(Debug, Clone)]
pub struct InstallConfig {
    pub name: String,
    pub base_domain: String,
    pub machine_network: Ipv4Net,
    pub cluster_network: ClusterNetwork,
    pub service_network: Ipv4Net,
    /// As written; the network that is built may be another one (see `remarks`).
    pub network_type: String,
    pub api_vip: Ipv4Addr,
    pub ingress_vip: Ipv4Addr,
    pub hosts: Vec<Host>,
    pub control_plane_replicas: u32,
    pub compute_replicas: u32,
    pub ssh_key: Option<String>,
    pub pull_secret: Option<SecretString>,
    /// PEM certificates that nodes trust in addition to the system's.
    pub additional_trust_bundle: Option<String>,
    pub additional_ntp_servers: Vec<String>,
    /// What the plan must tell the operator about this configuration, one sentence each.
    pub remarks: Vec<String>,
}

impl InstallConfig {
    /// `NAME.BASEDOMAIN`, the parent of `api.` and `*.apps.`.
    pub fn cluster_domain(&self) -> String {
        format!("{}.{}", self.name, self.base_domain)
    }

    pub fn masters(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.role == Role::Master)
    }

    pub fn workers(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.role == Role::Worker)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterNetwork {
    pub cidr: Ipv4Net,
    /// Length of the prefix that each node gets for its pods.
    pub host_prefix: u8,
}

#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    pub role: Role,
    pub bmc: BmcAccess,
    /// Lower case, colons.
    pub boot_mac: String,
    pub boot_mode: BootMode,
    pub root_device_hints: RootDeviceHints,
    /// Desired network state in nmstate's form.
    pub network_config: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Master,
    Worker,
    Bootstrap,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Worker => "worker",
            Role::Bootstrap => "bootstrap",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum BootMode {
    #[default]
    #[serde(rename = "UEFI")]
    Uefi,
    #[serde(rename = "UEFISecureBoot")]
    UefiSecureBoot,
    #[serde(rename = "legacy")]
    Legacy,
}

/// Reads an `install-config.yaml`.
///
/// # Errors
/// All problems that the text has, in the order of the file's fields where that is known.
pub fn parse(text: &str) -> Result<InstallConfig, Vec<Problem>> {
    let (raw, mut problems) = walk::read::<raw::InstallConfig>(text, fields::INSTALL_CONFIG)?;
    let config = rules::install_config(&raw, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problem::sorted(problems)),
    }
}

#[cfg(test)]
mod tests;
