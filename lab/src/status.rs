//! What a rack is and does now.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bmc;
use crate::control::{self, Answer, Request, ServerNow};
use crate::rack::{self, Rack};
use crate::spec::{RackSpec, Role, ServerSpec};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error(transparent)]
    Control(#[from] control::Error),
    #[error("reading the BMC certificate of `{server}`")]
    Bmc { server: String, source: bmc::Error },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    pub directory: PathBuf,
    pub domain: String,
    /// OpenSSH public key of the rack's administrator.
    pub ssh_public_key: String,
    pub api_address: Ipv4Addr,
    pub ingress_address: Ipv4Addr,
    /// Addresses of the administrator's namespace, where `exec` runs.
    pub machine_network_address: Ipv4Addr,
    pub bmc_network_address: Ipv4Addr,
    pub servers: Vec<ServerStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub name: String,
    pub role: Role,
    pub on: bool,
    pub medium: Option<String>,
    /// Serial numbers of its disks.
    pub disks: Vec<String>,
    pub boot_override: Option<String>,
    pub machine_address: Ipv4Addr,
    pub mac: String,
    pub bmc_address: Ipv4Addr,
    pub bmc_user: String,
    pub bmc_password: String,
    /// SHA-256 of the BMC's TLS certificate, pairs of hexadecimal digits with colons.
    pub certificate_sha256: String,
}

/// Asks a rack's daemon.
///
/// # Errors
/// There is no such rack, or its daemon does not answer.
pub async fn status(name: &str) -> Result<Status, Error> {
    let rack = Rack::named(name);
    let spec = rack.spec()?;
    let now = match control::ask(&rack, &Request::Status).await? {
        Answer::Servers { servers } => servers,
        Answer::Done | Answer::Refused { .. } => Vec::new(),
    };
    let servers = spec.servers.iter().map(|server| {
        let certificate_sha256 = bmc::fingerprint(&rack, server)
            .map_err(|source| Error::Bmc { server: server.name.clone(), source })?;
        Ok(server_status(server, now.iter().find(|now| now.name == server.name), certificate_sha256))
    });
    let servers = servers.collect::<Result<_, Error>>()?;
    Ok(of(&rack, &spec, servers))
}

/// Every rack of this computer, by name.
///
/// # Errors
/// The directory of racks cannot be read.
pub fn racks() -> Result<Vec<String>, rack::Error> {
    let directory = rack::racks_directory();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| rack::Error::Read { path: directory, source })?,
    };
    let racks = entries.flatten().filter(|entry| entry.path().join("rack.json").exists());
    let mut names: Vec<String> =
        racks.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn of(rack: &Rack, spec: &RackSpec, servers: Vec<ServerStatus>) -> Status {
    Status {
        name: rack.name.clone(),
        directory: rack.directory.clone(),
        domain: spec.domain.clone(),
        ssh_public_key: ssh_public_key(rack),
        api_address: spec.api_address,
        ingress_address: spec.ingress_address,
        machine_network_address: spec.machine_network.administrator(),
        bmc_network_address: spec.bmc_network.administrator(),
        servers,
    }
}

/// Empty for a rack that has none.
fn ssh_public_key(rack: &Rack) -> String {
    let key = std::fs::read_to_string(rack.ssh_key().with_extension("pub"));
    key.unwrap_or_default().trim().to_owned()
}

fn server_status(server: &ServerSpec, now: Option<&ServerNow>, certificate_sha256: String) -> ServerStatus {
    ServerStatus {
        name: server.name.clone(),
        role: server.role,
        on: now.is_some_and(|now| now.on),
        medium: now.and_then(|now| now.medium.clone()),
        disks: server.disks.iter().map(|disk| disk.serial.clone()).collect(),
        boot_override: now.and_then(|now| now.boot_override.clone()),
        machine_address: server.machine_address,
        mac: server.mac.clone(),
        bmc_address: server.bmc_address,
        bmc_user: server.bmc_user.clone(),
        bmc_password: server.bmc_password.clone(),
        certificate_sha256,
    }
}
