//! Watches the temporary control plane over its API: feeds what it says of nodes to their state machines, tells it
//! what the engine knows of hosts, and ends it when every node is Ready.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ashlar_model::bootstrap_api::{BootstrapStatus, HostRecord, NodeStatus, Phase};
use ashlar_model::event::What;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::drive::controller;
use super::handle::Handle;
use super::host::{Input, State};
use super::{cluster, status_file};
use crate::failure::{Fails, Failure};

const POLL: Duration = Duration::from_millis(300);
const REQUEST: Duration = Duration::from_secs(5);
/// Journal key: the bootstrap was told to end.
const FINISH: &str = "finish-ordered";
/// Journal key: how many milestones were told on.
const TOLD: &str = "milestones-told";

/// Until every node is Ready and the bootstrap is gone, or `stop`.
///
/// # Errors
/// Nothing moves any more, or the journal cannot be written.
pub async fn watch(engine: Arc<Engine>, stop: CancellationToken) -> Result<(), Failure> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        end = run(&engine) => end,
    }
}

async fn run(engine: &Engine) -> Result<(), Failure> {
    let mut watch = Watch::new(engine)?;
    let mut reader = None;
    loop {
        let bootstrap = engine.bootstrap().map(|handle| (handle.clone(), handle.state()));
        match bootstrap {
            Some((handle, State::Starting { .. } | State::Serving { .. })) => {
                watch.look(engine, &handle).await?
            }
            Some((_, State::Removed)) | None => {
                if engine.nodes().all(|node| node.state() == State::Ready) {
                    return Ok(());
                }
                look_at_cluster(engine, &mut reader).await?;
            }
            Some(_) => {}
        }
        tokio::time::sleep(POLL).await;
    }
}

struct Watch {
    client: reqwest::Client,
    /// What the bootstrap was told of hosts last.
    told: Option<Vec<HostRecord>>,
    phase: Option<Phase>,
    milestones: usize,
    /// When anything moved last.
    moved: Instant,
    silent_since: Option<Instant>,
}

impl Watch {
    fn new(engine: &Engine) -> Result<Self, Failure> {
        let doing = || "preparing the connection to the bootstrap".to_owned();
        let authority = &engine.keys()?.install_ca;
        let identity =
            ashlar_pki::issue(authority, &ashlar_pki::Leaf::client("engine", &[])).failing(doing)?;
        let client = ashlar_pki::tls::http_client(&authority.certificate_pem, Some(&identity), REQUEST);
        Ok(Self {
            client: client.failing(doing)?,
            told: None,
            phase: None,
            milestones: engine.journal.get(TOLD).failing(|| "reading the journal".into())?.unwrap_or(0),
            moved: Instant::now(),
            silent_since: None,
        })
    }

    /// One look: hosts there, status back, what follows from it.
    async fn look(&mut self, engine: &Engine, bootstrap: &Handle) -> Result<(), Failure> {
        let Some(address) = bootstrap.record().address else { return Ok(()) };
        match self.status(address).await {
            Ok(status) => {
                self.silent_since = None;
                if matches!(bootstrap.state(), State::Starting { .. }) {
                    bootstrap.apply(engine, &Input::BootstrapStarted)?;
                }
                self.tell_hosts(engine, address).await;
                self.take_in(engine, bootstrap, &status)?;
                self.finish(engine, bootstrap, address, &status).await
            }
            Err(error) => self.silence(engine, bootstrap, &error).await,
        }
    }

    async fn status(&self, address: Ipv4Addr) -> Result<BootstrapStatus, reqwest::Error> {
        let url = format!("https://{address}:22623/v1/status");
        self.client.get(url).send().await?.error_for_status()?.json().await
    }

    /// Keys, tokens and addresses that have changed. A failure is tried again with the next look.
    async fn tell_hosts(&mut self, engine: &Engine, address: Ipv4Addr) {
        let hosts = engine.host_records();
        if self.told.as_ref() == Some(&hosts) {
            return;
        }
        let url = format!("https://{address}:22623/v1/hosts");
        let sent =
            self.client.put(url).json(&hosts).send().await.and_then(reqwest::Response::error_for_status);
        match sent {
            Ok(_) => self.told = Some(hosts),
            Err(error) => {
                tracing::warn!(error = crate::failure::chain(&error), "telling the bootstrap of hosts")
            }
        }
    }

    fn take_in(
        &mut self,
        engine: &Engine,
        bootstrap: &Handle,
        status: &BootstrapStatus,
    ) -> Result<(), Failure> {
        if self.phase != Some(status.phase) {
            self.moved = Instant::now();
            say_phase(engine, self.phase, status.phase);
            self.phase = Some(status.phase);
        }
        if status.milestones.len() != self.milestones {
            // A bootstrap that was started again begins its list anew.
            let known = if status.milestones.len() < self.milestones { 0 } else { self.milestones };
            for (at, what) in status.milestones.iter().skip(known) {
                engine.events.note(Some(bootstrap.name()), format!("{what} (at {at:.1} s)"));
            }
            self.moved = Instant::now();
            self.milestones = status.milestones.len();
            engine.journal.put(TOLD, &self.milestones).failing(|| "writing the journal".into())?;
        }
        if let Some((what, seconds)) = &status.waiting_for {
            engine.events.waiting(Some(bootstrap.name()), what, *seconds);
        }
        apply_nodes(engine, &status.nodes)?;
        status_file::write(engine, Some(status));
        // The control plane is there and waits for nodes, which have limits of their own.
        if status.phase == Phase::Pivoted && !engine.nodes().all(|node| node.state() == State::Ready) {
            self.moved = Instant::now();
        }
        if self.moved.elapsed() < engine.options.pivot_timeout {
            return Ok(());
        }
        let waited = status.waiting_for.as_ref().map_or("nothing it names", |(what, _)| what.as_str());
        let minutes = engine.options.pivot_timeout.as_secs() / 60;
        Err(Failure::timed_out(format!(
            "the control plane made no progress for {minutes} minutes; it waits for {waited}"
        ))
        .hint(format!("look at the console of {}, then run the same command again", bootstrap.name())))
    }

    /// Ends the bootstrap when it may end, and records that it has.
    async fn finish(
        &self,
        engine: &Engine,
        bootstrap: &Handle,
        address: Ipv4Addr,
        status: &BootstrapStatus,
    ) -> Result<(), Failure> {
        let ready = engine.nodes().all(|node| node.state() == State::Ready);
        match status.phase {
            Phase::Finished => {
                bootstrap.apply(engine, &Input::BootstrapFinished)?;
            }
            Phase::Pivoted if ready => {
                engine.journal.put(FINISH, &true).failing(|| "recording the end of the bootstrap".into())?;
                let url = format!("https://{address}:22623/v1/finish");
                let sent = self.client.post(url).send().await.and_then(reqwest::Response::error_for_status);
                if let Err(error) = sent {
                    tracing::warn!(error = crate::failure::chain(&error), "ending the bootstrap");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// It does not answer: it is still starting, has lost power, or is gone because it was told to.
    async fn silence(
        &mut self,
        engine: &Engine,
        bootstrap: &Handle,
        error: &reqwest::Error,
    ) -> Result<(), Failure> {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        engine.events.waiting(
            Some(bootstrap.name()),
            "the bootstrap's API to answer",
            since.elapsed().as_secs(),
        );
        let ordered: Option<bool> = engine.journal.get(FINISH).failing(|| "reading the journal".into())?;
        if ordered == Some(true) && !controller(bootstrap).await?.is_on().await? {
            bootstrap.apply(engine, &Input::BootstrapFinished)?;
            return Ok(());
        }
        if since.elapsed() < engine.options.pivot_timeout {
            return Ok(());
        }
        Err(Failure::timed_out(format!("the bootstrap on {} does not answer", bootstrap.name()))
            .because(crate::failure::chain(error))
            .hint(format!("look at the console of {}, then run the same command again", bootstrap.name())))
    }
}

/// Level-triggered: what is true now is said again with each look, and changes nothing twice.
fn apply_nodes(engine: &Engine, nodes: &BTreeMap<String, NodeStatus>) -> Result<(), Failure> {
    for (name, node) in nodes {
        let Some(handle) = engine.hosts.get(name) else { continue };
        if node.config_fetched {
            handle.apply(engine, &Input::ConfigFetched)?;
        }
        if node.registered {
            handle.apply(engine, &Input::NodeJoined)?;
        }
        if node.ready {
            handle.apply(engine, &Input::NodeReady)?;
        }
    }
    Ok(())
}

/// After the bootstrap is gone the cluster itself says which nodes are Ready.
async fn look_at_cluster(engine: &Engine, reader: &mut Option<kube::Client>) -> Result<(), Failure> {
    if reader.is_none() {
        let path = engine.directory.kubeconfig();
        let text = std::fs::read_to_string(&path).failing(|| format!("reading {}", path.display()))?;
        *reader = Some(cluster::client(&text).await?);
    }
    let Some(client) = reader else { return Ok(()) };
    match cluster::nodes(client).await {
        Ok(rows) => {
            let status =
                |ready| NodeStatus { config_fetched: true, registered: true, ready, ..NodeStatus::default() };
            apply_nodes(engine, &rows.into_iter().map(|row| (row.name, status(row.ready))).collect())
        }
        Err(failure) => {
            tracing::debug!(cause = failure.cause(), "the cluster does not answer");
            Ok(())
        }
    }
}

/// The phase's id and what happens in it.
fn words(phase: Phase) -> Option<(&'static str, &'static str)> {
    Some(match phase {
        Phase::Starting => ("etcd", "Starting the bootstrap's etcd"),
        Phase::EtcdUp => ("api", "Starting the bootstrap's API server"),
        Phase::ApiUp => ("base", "Applying the base objects"),
        Phase::Serving => ("masters", "Waiting for the masters to join"),
        Phase::Growing => ("pivot", "Moving etcd and the control plane to the masters"),
        Phase::Pivoted => ("retire", "Removing the bootstrap from the cluster"),
        Phase::Finished => return None,
    })
}

fn say_phase(engine: &Engine, before: Option<Phase>, now: Phase) {
    if let Some((step, _)) = before.filter(|before| *before != now).and_then(words) {
        engine.events.emit(None, What::StepFinished { step: step.into(), seconds: 0.0 });
    }
    if let Some((step, title)) = words(now) {
        engine.events.emit(None, What::StepStarted { step: step.into(), title: title.into() });
    }
}
