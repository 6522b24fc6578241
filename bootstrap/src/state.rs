//! What the bootstrap knows, shared between its server and its loop; the durable part survives a power cut.

use ashlar_controllers::directory::Directory;
use ashlar_controllers::machine_config::Pools;
use ashlar_model::bootstrap_api::{BootstrapStatus, Bundle, HostRecord, NodeReport, NodeStatus, Phase};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

pub const BUNDLE: &str = "/var/lib/ashlar/bootstrap/bundle.json";
const STATE: &str = "/var/lib/ashlar/bootstrap/state.json";

/// Durable: what must not be forgotten over a power cut.
#[derive(Clone, Serialize, Deserialize)]
struct Durable {
    version: u32,
    hosts: Vec<HostRecord>,
    /// The engine has asked the bootstrap to go away.
    finish: bool,
    finished: bool,
    /// Hosts that were given a config and whose node does not say so yet, with the name of the rendered config.
    #[serde(default)]
    given: BTreeMap<String, String>,
}

pub struct State {
    pub bundle: Bundle,
    pub directory: Directory,
    /// What the hosts of each pool have in common: the bundle says all of it.
    pub pools: Pools,
    started: Instant,
    path: PathBuf,
    inner: Mutex<Inner>,
}

pub struct Inner {
    durable: Durable,
    pub phase: Phase,
    waiting_for: Option<(String, Instant)>,
    pub fetched: BTreeSet<String>,
    pub reports: BTreeMap<String, (NodeReport, Instant)>,
    /// Hosts that have been told that their enrolment is over.
    pub told: BTreeSet<String>,
    pub nodes: BTreeMap<String, NodeStatus>,
    pub orders: BTreeMap<String, ashlar_model::bootstrap_api::NodeOrder>,
    milestones: Vec<(f64, String)>,
}

impl State {
    /// Reads the bundle and, after a restart, what was remembered.
    pub fn open() -> io::Result<Self> {
        let bundle: Bundle = serde_json::from_slice(&std::fs::read(BUNDLE)?)?;
        Self::with(bundle, Path::new(STATE))
    }

    pub(crate) fn with(bundle: Bundle, path: &Path) -> io::Result<Self> {
        let durable = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let hosts = bundle.hosts.clone();
                Durable { version: 1, hosts, finish: false, finished: false, given: BTreeMap::new() }
            }
            Err(error) => return Err(error),
        };
        let directory = Directory::new(durable.hosts.clone());
        let phase = if durable.finished { Phase::Finished } else { Phase::Starting };
        let inner = Inner {
            durable,
            phase,
            waiting_for: None,
            fetched: BTreeSet::new(),
            reports: BTreeMap::new(),
            told: BTreeSet::new(),
            nodes: BTreeMap::new(),
            orders: BTreeMap::new(),
            milestones: Vec::new(),
        };
        let pools = Pools::of(&bundle.cluster, &bundle.machine_configs);
        let (started, path) = (Instant::now(), path.into());
        Ok(Self { bundle, directory, pools, started, path, inner: Mutex::new(inner) })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes what the engine now knows of the hosts; durable before it returns.
    pub fn replace_hosts(&self, hosts: Vec<HostRecord>) -> io::Result<()> {
        let mut inner = self.lock();
        inner.durable.hosts = hosts.clone();
        self.save(&inner.durable)?;
        self.directory.replace(hosts);
        Ok(())
    }

    /// Remembers which rendered config a host was given, until its node says so.
    pub fn set_given(&self, host: &str, rendered: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.fetched.insert(host.to_owned());
        inner.durable.given.insert(host.to_owned(), rendered.to_owned());
        self.save(&inner.durable)
    }

    pub fn given(&self) -> BTreeMap<String, String> {
        self.lock().durable.given.clone()
    }

    /// The nodes of these hosts say which config they were given.
    pub fn forget_given(&self, told: &BTreeMap<String, String>, hosts: &[String]) -> io::Result<()> {
        if hosts.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        inner
            .durable
            .given
            .retain(|host, rendered| !hosts.contains(host) || told.get(host) != Some(rendered));
        self.save(&inner.durable)
    }

    pub fn ask_to_finish(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.durable.finish = true;
        self.save(&inner.durable)
    }

    pub fn asked_to_finish(&self) -> bool {
        self.lock().durable.finish
    }

    pub fn set_finished(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.durable.finished = true;
        self.save(&inner.durable)?;
        inner.phase = Phase::Finished;
        inner.waiting_for = None;
        Ok(())
    }

    /// A milestone the first time it is reached.
    pub fn milestone(&self, text: impl Into<String>) {
        let text = text.into();
        let mut inner = self.lock();
        if inner.milestones.iter().all(|(_, known)| *known != text) {
            tracing::info!(milestone = text);
            inner.milestones.push((self.started.elapsed().as_secs_f64(), text));
        }
    }

    pub fn set_phase(&self, phase: Phase) {
        let mut inner = self.lock();
        inner.phase = inner.phase.max(phase);
    }

    /// Says what is waited for; the clock starts when it changes.
    pub fn wait_for(&self, what: Option<String>) {
        let mut inner = self.lock();
        if inner.waiting_for.as_ref().map(|(known, _)| known) != what.as_ref() {
            if let Some(what) = &what {
                tracing::info!(waiting_for = what);
            }
            inner.waiting_for = what.map(|what| (what, Instant::now()));
        }
    }

    pub fn status(&self) -> BootstrapStatus {
        let inner = self.lock();
        BootstrapStatus {
            phase: inner.phase,
            waiting_for: inner
                .waiting_for
                .as_ref()
                .map(|(what, since)| (what.clone(), since.elapsed().as_secs())),
            nodes: inner.nodes.clone(),
            milestones: inner.milestones.clone(),
        }
    }

    fn save(&self, durable: &Durable) -> io::Result<()> {
        write_private(&self.path, &serde_json::to_vec(durable)?)
    }
}

/// Writes a file for root alone: a reader sees the old or the new contents, also after a power cut.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    if let Some(parent) = path.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::bootstrap_api::Cluster;

    fn bundle() -> Bundle {
        let cluster = Cluster {
            name: "lab".into(),
            base_domain: "example.test".into(),
            kubernetes_version: "1.35.8".into(),
            machine_network: "192.0.2.0/24".parse().expect("a network"),
            cluster_network: "10.128.0.0/14".parse().expect("a network"),
            host_prefix: 23,
            service_network: "172.30.0.0/16".parse().expect("a network"),
            api_vip: [192, 0, 2, 10].into(),
            ingress_vip: [192, 0, 2, 11].into(),
            ssh_key: None,
            ntp_servers: vec![],
            additional_trust_bundle: None,
            masters: 3,
        };
        Bundle {
            cluster,
            bootstrap_host: "bootstrap".into(),
            hosts: vec![],
            keys: ashlar_pki::cluster_keys("lab").expect("keys"),
            machine_configs: vec![],
        }
    }

    #[test]
    fn which_config_a_host_was_given_outlives_a_power_cut_until_its_node_says_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        State::with(bundle(), &path).expect("opened").set_given("a", "rendered-worker-1").expect("written");
        let state = State::with(bundle(), &path).expect("opened again");
        let given = state.given();
        assert_eq!(given.get("a").map(String::as_str), Some("rendered-worker-1"));
        // It was given another one while its node was told the first.
        state.set_given("a", "rendered-worker-2").expect("written");
        state.forget_given(&given, &["a".into()]).expect("written");
        assert_eq!(state.given().get("a").map(String::as_str), Some("rendered-worker-2"));
        state.forget_given(&state.given(), &["a".into()]).expect("written");
        assert!(State::with(bundle(), &path).expect("opened again").given().is_empty());
    }
}
