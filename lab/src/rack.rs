//! Where a rack keeps its things, and what its things are called. All of a rack can be found by its name alone.

use std::io;
use std::path::{Path, PathBuf};

use crate::spec::RackSpec;

const DEFAULT_DIRECTORY: &str = "/var/lib/ashlar/lab";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no rack `{name}`\nhint: `ashlar lab up --name {name}` starts one")]
    Missing { name: String },
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("understanding {}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
}

/// A rack's directory.
#[derive(Debug, Clone)]
pub struct Rack {
    pub name: String,
    pub directory: PathBuf,
}

/// Directory of all racks: `$ASHLAR_LAB_DIR` or `/var/lib/ashlar/lab`.
#[must_use]
pub fn racks_directory() -> PathBuf {
    std::env::var_os("ASHLAR_LAB_DIR").map_or_else(|| PathBuf::from(DEFAULT_DIRECTORY), PathBuf::from)
}

impl Rack {
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), directory: racks_directory().join(name) }
    }

    #[must_use]
    pub fn at(directory: &Path) -> Self {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, directory: directory.to_owned() }
    }

    /// # Errors
    /// There is no such rack, or its description cannot be read.
    pub fn spec(&self) -> Result<RackSpec, Error> {
        let path = self.spec_file();
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing { name: self.name.clone() });
            }
            text => text.map_err(|source| Error::Read { path: path.clone(), source })?,
        };
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })
    }

    #[must_use]
    pub fn spec_file(&self) -> PathBuf {
        self.directory.join("rack.json")
    }

    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.directory.join("daemon.log")
    }

    #[must_use]
    pub fn network_directory(&self) -> PathBuf {
        self.directory.join("network")
    }

    #[must_use]
    pub fn machine_directory(&self, server: &str) -> PathBuf {
        self.directory.join("machines").join(server)
    }

    #[must_use]
    pub fn console_log(&self, server: &str) -> PathBuf {
        self.machine_directory(server).join("console.log")
    }

    #[must_use]
    pub fn disk(&self, server: &str, number: usize) -> PathBuf {
        self.machine_directory(server).join(format!("disk{number}.img"))
    }

    #[must_use]
    pub fn bmc_directory(&self, server: &str) -> PathBuf {
        self.directory.join("bmc").join(server)
    }

    /// Where `ashlar create cluster` is told to keep its files; `exec` looks here for a kubeconfig.
    #[must_use]
    pub fn cluster_directory(&self) -> PathBuf {
        self.directory.join("cluster")
    }

    /// Private key that `core` on every node of the rack's cluster accepts; the public one is beside it.
    #[must_use]
    pub fn ssh_key(&self) -> PathBuf {
        self.directory.join("ssh/id_ed25519")
    }

    /// Pid files of everything that was started for the rack.
    #[must_use]
    pub fn pid_directory(&self) -> PathBuf {
        self.directory.join("pids")
    }

    #[must_use]
    pub fn pid_file(&self, of: &str) -> PathBuf {
        self.pid_directory().join(of)
    }

    /// Network namespace of the administrator: both networks, no route out.
    #[must_use]
    pub fn administrator_namespace(&self) -> String {
        format!("ashlar-{}", self.name)
    }

    /// Network namespace with the addresses of all BMCs.
    #[must_use]
    pub fn bmc_namespace(&self) -> String {
        format!("ashlar-{}-bmc", self.name)
    }

    /// Network namespace and control group of a server.
    #[must_use]
    pub fn machine_namespace(&self, server: &str) -> String {
        format!("ashlar-{}-{server}", self.name)
    }

    /// All namespaces of the rack.
    #[must_use]
    pub fn namespaces(&self, spec: &RackSpec) -> Vec<String> {
        let machines = spec.servers.iter().map(|server| self.machine_namespace(&server.name));
        machines.chain([self.bmc_namespace(), self.administrator_namespace()]).collect()
    }
}

/// Writes a file of the rack, with the folders above it.
///
/// # Errors
/// The disk is full or not writable.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(path, contents).map_err(failed)
}
