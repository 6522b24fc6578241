//! The files as written, before any rule. Everything is optional: `walk` has reported what is missing or mistyped.

use secrecy::SecretString;
use serde::Deserialize;
use serde_norway::Value;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct InstallConfig {
    #[allow(dead_code, reason = "the table has checked it")]
    api_version: Option<String>,
    pub base_domain: Option<String>,
    pub metadata: Metadata,
    pub networking: Networking,
    pub platform: Platform,
    pub control_plane: Pool,
    pub compute: Vec<Pool>,
    pub ssh_key: Option<String>,
    pub pull_secret: Option<SecretString>,
    pub additional_trust_bundle: Option<String>,
    pub additional_trust_bundle_policy: Option<String>,
    #[allow(dead_code, reason = "the table has checked it")]
    publish: Option<String>,
    pub fips: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metadata {
    pub name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Networking {
    pub network_type: Option<String>,
    pub machine_network: Option<Vec<Network>>,
    pub cluster_network: Option<Vec<Network>>,
    pub service_network: Option<Vec<Option<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Network {
    pub cidr: Option<String>,
    pub host_prefix: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Platform {
    pub baremetal: BareMetal,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct BareMetal {
    #[serde(rename = "apiVIPs")]
    pub api_vips: Option<Vec<Option<String>>>,
    #[serde(rename = "ingressVIPs")]
    pub ingress_vips: Option<Vec<Option<String>>>,
    pub hosts: Vec<Host>,
    #[serde(rename = "additionalNTPServers")]
    pub additional_ntp_servers: Vec<Option<String>>,
    pub provisioning_network: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Host {
    pub name: Option<String>,
    pub role: Option<String>,
    pub bmc: Bmc,
    #[serde(rename = "bootMACAddress")]
    pub boot_mac_address: Option<String>,
    pub boot_mode: super::BootMode,
    #[allow(dead_code, reason = "accepted, has no effect")]
    hardware_profile: Option<String>,
    pub root_device_hints: RootDeviceHints,
    pub network_config: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Bmc {
    pub address: Option<String>,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub disable_certificate_verification: bool,
    pub certificate_fingerprint: Option<String>,
    pub certificate_authority: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RootDeviceHints {
    pub device_name: Option<String>,
    pub hctl: Option<String>,
    pub model: Option<String>,
    pub vendor: Option<String>,
    pub serial_number: Option<String>,
    pub min_size_gigabytes: Option<i64>,
    pub wwn: Option<String>,
    pub rotational: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pool {
    #[allow(dead_code, reason = "the table has checked it")]
    name: Option<String>,
    pub replicas: Option<i64>,
    #[allow(dead_code, reason = "the table has checked it")]
    architecture: Option<String>,
    #[allow(dead_code, reason = "the table has checked it")]
    hyperthreading: Option<String>,
    #[allow(dead_code, reason = "accepted, has no effect")]
    platform: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct AgentConfig {
    #[allow(dead_code, reason = "the table has checked it")]
    api_version: Option<String>,
    #[allow(dead_code, reason = "the table has checked it")]
    kind: Option<String>,
    pub metadata: Metadata,
    pub bootstrap: Option<Host>,
    #[serde(rename = "additionalNTPSources")]
    pub additional_ntp_sources: Vec<Option<String>>,
}
