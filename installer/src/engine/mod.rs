//! The engine: runs an install (or its end) as steps over a journal. Everything durable is in `journal`, every
//! decision about a host in `host`, everything it says in `events`. It prints nothing.

pub mod agent_api;
pub mod bmc;
pub mod bootstrap;
pub mod cluster;
pub mod disk;
pub mod drive;
pub mod events;
pub mod handle;
pub mod host;
pub mod journal;
pub mod media;
pub mod release;
pub mod report;
pub mod secrets;
pub mod serve_address;
pub mod status_file;
pub mod steps;
pub mod task;
pub mod tokens;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ashlar_model::bootstrap_api::{Cluster, HostRecord};
use ashlar_model::config::Role;
use ashlar_model::keys::ClusterKeys;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::directory::{Configuration, InstallDirectory};
use crate::failure::{Fails, Failure};
use disk::Consent;
use events::Events;
use handle::Handle;
use host::Purpose;
use journal::Journal;

/// What the command line decides about a run.
#[derive(Debug, Clone)]
pub struct Options {
    pub consent: Consent,
    pub serve_address: Option<IpAddr>,
    pub release: Option<PathBuf>,
    pub release_key: Option<PathBuf>,
    /// Hosts that boot the minimal medium and fetch the rest.
    pub minimal_media: Consent,
    /// How long a host may take from reset to its agent's first word.
    pub boot_timeout: Duration,
    /// How long an installed host may take to become a Ready node.
    pub join_timeout: Duration,
    /// How long the control plane may go without any progress.
    pub pivot_timeout: Duration,
    /// Hold the masters' disks back until the bootstrap serves, for machines that share processors.
    pub write_after_serving: bool,
    /// Read every disk back after writing.
    pub verify_disks: bool,
}

/// One run. Shared by all its tasks.
pub struct Engine {
    pub directory: InstallDirectory,
    pub configuration: Configuration,
    pub options: Options,
    pub journal: Journal,
    pub events: Events,
    /// By name; masters, workers and the bootstrap.
    pub hosts: BTreeMap<String, Arc<Handle>>,
    pub release: OnceLock<release::OpenRelease>,
    pub keys: OnceLock<ClusterKeys>,
    pub served: OnceLock<steps::serve::Served>,
    /// Counts changes of any host; who waits for something looks again when it moves.
    pub changed: watch::Sender<u64>,
    pub stop: CancellationToken,
}

impl Engine {
    /// Opens the journal and reads what it knows of every host. `wipe`: the run is a `destroy`.
    ///
    /// # Errors
    /// The journal is held, damaged or without its key.
    pub fn open(
        directory: InstallDirectory,
        configuration: Configuration,
        options: Options,
        command: &str,
        wipe: bool,
    ) -> Result<Arc<Self>, Failure> {
        let cluster = &configuration.install.name;
        let journal =
            Journal::open(&directory.journal_folder(), cluster, &secrets::default_folder(), command);
        let journal = journal.map_err(journal_failure)?;
        let mut hosts = BTreeMap::new();
        for host in configuration.hosts() {
            let purpose = match (wipe, host.role) {
                (true, _) => Purpose::Wipe,
                (false, Role::Bootstrap) => Purpose::Bootstrap,
                (false, Role::Master | Role::Worker) => Purpose::Install,
            };
            let handle = Handle::load(host.clone(), purpose, &journal)
                .failing(|| format!("reading what the journal knows of {}", host.name))?;
            hosts.insert(host.name.clone(), Arc::new(handle));
        }
        Ok(Arc::new(Self {
            directory,
            configuration,
            options,
            events: Events::new(journal.clone()),
            journal,
            hosts,
            release: OnceLock::new(),
            keys: OnceLock::new(),
            served: OnceLock::new(),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
        }))
    }

    /// # Errors
    /// The step that checks the release has not run.
    pub fn release(&self) -> Result<&release::OpenRelease, Failure> {
        self.release.get().ok_or_else(|| Failure::environment("the release is not open yet"))
    }

    /// # Errors
    /// The step that makes the keys has not run.
    pub fn keys(&self) -> Result<&ClusterKeys, Failure> {
        self.keys.get().ok_or_else(|| Failure::environment("the cluster's keys are not made yet"))
    }

    pub fn masters(&self) -> impl Iterator<Item = &Arc<Handle>> {
        self.hosts.values().filter(|handle| handle.config.role == Role::Master)
    }

    /// Everything that becomes a node.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Handle>> {
        self.hosts.values().filter(|handle| handle.config.role != Role::Bootstrap)
    }

    pub fn bootstrap(&self) -> Option<&Arc<Handle>> {
        self.hosts.values().find(|handle| handle.config.role == Role::Bootstrap)
    }

    /// The facts that every part of the cluster shares.
    ///
    /// # Errors
    /// The release is not open.
    pub fn cluster(&self) -> Result<Cluster, Failure> {
        Ok(self.configuration.cluster(&self.release()?.release.kubernetes_version))
    }

    /// The nodes as bootstrap and cluster are to know them now.
    pub fn host_records(&self) -> Vec<HostRecord> {
        self.nodes().map(|handle| handle.host_record()).collect()
    }

    /// Tells everybody who waits that something changed.
    pub fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// A journal's error with its exit code and the next command.
pub fn journal_failure(error: journal::Error) -> Failure {
    match &error {
        journal::Error::Held { .. } => Failure::user("another run works on this install").because(error).hint(
            "wait for it to end, or stop it; `ashlar status` says what it does. The same command goes on afterwards",
        ),
        journal::Error::Secret { .. } => Failure::user("opening the install's journal").because(error).hint(
            "bring the key file back from the computer that began this install (ASHLAR_KEYS names its folder), or \
             remove .ashlar to begin again from nothing",
        ),
        _ => Failure::environment("opening the install's journal").because(error),
    }
}
