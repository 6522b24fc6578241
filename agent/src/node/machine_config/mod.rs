//! Keeps a node at the rendered config that it shall have: fetches it, changes what differs, sees that the node is
//! healthy, and goes back when it is not. What is being done is noted before it is done, so that a daemon or a machine
//! that stops anywhere goes on.
//!
//! A change is: ask for a drain (when the machine restarts) → files and units → restart of what reads them, or of the
//! machine → health → done. The way back is the same with the configs changed over.

pub(super) mod cluster;
mod drift;
mod heal;
mod health;
mod history;
pub(super) mod journal;
mod originals;
mod paths;
pub(super) mod perform;
mod preflight;
pub mod show;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ashlar_ignition::parse_value;
use ashlar_ignition::running::{Change, Demand, Kept, changes};
use ashlar_model::config::Problem;
use ashlar_model::machine_config::{Applied, NodeState};
use ashlar_model::node::NodeFile;

use cluster::{Cluster, Wish};
use journal::{Journal, Stage, Store};
use perform::Performer;

/// The wish is read from the API server's cache; a file that was changed by hand is found in the same rhythm.
const INTERVAL: Duration = Duration::from_secs(5);
/// Restarted units and the kubelet are healthy by then, or the config is not.
const HEALTHY_AFTER_RESTART: Duration = Duration::from_secs(90);
const HEALTHY_AFTER_REBOOT: Duration = Duration::from_secs(300);

pub struct Daemon {
    root: PathBuf,
    cluster: Cluster,
    store: Store,
    performer: Performer,
    drift: drift::Watch,
    /// When units and kernel were looked at last.
    units_seen: Option<Instant>,
    /// What was last said of us, so that it is said once.
    told: Option<(NodeState, String)>,
}

/// Runs as long as the node does. What fails is tried again.
pub async fn run(file: NodeFile) {
    let mut daemon = match Daemon::new(&file) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "machine configs are not followed");
            return;
        }
    };
    loop {
        if let Err(error) = daemon.step().await {
            tracing::info!(error = format!("{error:#}"), "machine config");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

impl Daemon {
    fn new(file: &NodeFile) -> anyhow::Result<Self> {
        let root = PathBuf::from("/");
        let store = Store::open(&root)?;
        Ok(Self {
            cluster: Cluster::new(file),
            performer: Performer::new(&root, store.originals()),
            drift: drift::Watch::new(&root),
            root,
            store,
            units_seen: None,
            told: None,
        })
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let Some(current) = self.store.current()? else { bail!("it is not known what config this node has") };
        match self.store.journal()? {
            Some(journal) if journal.is_over(&current.name) => self.store.end()?,
            Some(journal) => return self.go_on(journal).await,
            None => {}
        }
        self.heal(&current).await?;
        let wish = self.cluster.wish().await?;
        self.uncordon(&wish, &current).await?;
        let wanted = match &wish.desired {
            Some(name) if *name != current.name => name.clone(),
            _ => {
                self.store.forget_failure()?;
                return self.tell(&current.name, NodeState::Done, "").await;
            }
        };
        if let Some(failure) = self.store.failure()?
            && failure.name == wanted
        {
            return self.tell(&current.name, NodeState::Degraded, &failure.reason).await;
        }
        self.begin(&current, &wanted, &wish).await
    }

    /// Nothing of the node is changed before all that can be known beforehand is.
    async fn begin(&mut self, current: &Applied, wanted: &str, wish: &Wish) -> anyhow::Result<()> {
        let new = self.cluster.fetch(wanted).await?;
        let steps = match difference(current, &new) {
            Ok(steps) => steps,
            Err(problems) => {
                let reason = format!("{wanted} cannot be had by a node that runs: {}", list(&problems));
                self.store.fail(wanted, &reason)?;
                return self.tell(&current.name, NodeState::Degraded, &reason).await;
            }
        };
        // Not kept as a failure: whoever makes room need not change the config.
        let obstacles = preflight::obstacles(&self.root, &steps);
        if !obstacles.is_empty() {
            let reason = format!("{wanted} cannot be applied: {}", obstacles.join("; "));
            return self.tell(&current.name, NodeState::Degraded, &reason).await;
        }
        if Demand::of(&steps) == Demand::Reboot && !wish.drained(wanted) {
            self.cluster.ask_for_drain(wanted).await?;
            let reason = format!("waits for its pods to leave: {wanted} restarts the machine");
            return self.tell(&current.name, NodeState::Working, &reason).await;
        }
        if !health::kubelet_is_healthy().await {
            bail!("the kubelet is not healthy: {wanted} waits until it is");
        }
        self.tell(&current.name, NodeState::Working, &format!("changes to {wanted}")).await?;
        self.store.keep(&new)?;
        let journal = Journal {
            from: current.name.clone(),
            to: new.name.clone(),
            stage: Stage::Apply,
            failure: None,
            began: now(),
        };
        self.store.note(&journal)?;
        self.go_on(journal).await
    }

    /// From wherever the last run stopped.
    async fn go_on(&mut self, journal: Journal) -> anyhow::Result<()> {
        let (from, to) = (self.store.config(&journal.from)?, self.store.config(&journal.to)?);
        let steps = difference(&from, &to).map_err(|problems| anyhow::anyhow!(list(&problems)))?;
        match &journal.stage {
            Stage::Apply => self.apply(journal, &steps, &to).await,
            Stage::Reboot { boot } if *boot == journal::boot_id()? => {
                // The restart was asked for, and did not come.
                perform::reboot().await
            }
            Stage::Reboot { .. } => self.judge(journal, &steps, &to, HEALTHY_AFTER_REBOOT).await,
        }
    }

    async fn apply(&mut self, mut journal: Journal, steps: &[Change], to: &Applied) -> anyhow::Result<()> {
        tracing::info!(from = journal.from, to = journal.to, back = journal.failure.is_some(), "changing");
        if let Err(error) = self.performer.perform(steps).await {
            return self.turn_back(journal, format!("{error:#}")).await;
        }
        if Demand::of(steps) == Demand::Reboot {
            journal.stage = Stage::Reboot { boot: journal::boot_id()? };
            self.store.note(&journal)?;
            // Whether or not anybody hears it.
            let told =
                self.tell(&journal.from, NodeState::Working, &format!("restarts for {}", to.name)).await;
            told.unwrap_or_else(|error| tracing::info!(error = format!("{error:#}"), "not told"));
            return perform::reboot().await;
        }
        if let Err(error) = self.performer.restart_readers(steps).await {
            return self.turn_back(journal, format!("{error:#}")).await;
        }
        self.judge(journal, steps, to, HEALTHY_AFTER_RESTART).await
    }

    /// The config is kept when the node is healthy with it in time.
    async fn judge(
        &mut self,
        journal: Journal,
        steps: &[Change],
        to: &Applied,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let units = perform::units_that_must_run(steps);
        let began = Instant::now();
        let unhealthy = loop {
            match health::unhealthy(&units, steps).await {
                None => break None,
                Some(_) if began.elapsed() < patience => tokio::time::sleep(Duration::from_secs(2)).await,
                Some(why) => break Some(why),
            }
        };
        match unhealthy {
            Some(why) if journal.failure.is_none() => {
                self.turn_back(journal, format!("{why} {} s after the change", patience.as_secs())).await
            }
            // The way back has no other way: it is kept, and said.
            unhealthy => {
                self.store.history().add(&record(&journal))?;
                self.store.become_current(to)?;
                if let Some(why) = unhealthy {
                    tracing::error!(why, "not healthy after going back either");
                }
                if let Some(failure) = &journal.failure {
                    self.store.fail(&failure.name, &failure.reason)?;
                    self.cluster.event("MachineConfigFailed", &failure.reason).await;
                } else {
                    self.cluster
                        .event("MachineConfigApplied", &format!("this node has {} now", to.name))
                        .await;
                }
                self.store.end()?;
                tracing::info!(config = to.name, "this node has its config");
                Ok(())
            }
        }
    }

    async fn turn_back(&mut self, journal: Journal, why: String) -> anyhow::Result<()> {
        if let Some(failure) = journal.failure {
            bail!("going back from {}: {why}", failure.name);
        }
        let reason = format!("{} was left again: {why}; the node has {}", journal.to, journal.from);
        tracing::error!(reason, "going back");
        let failure = journal::Failure { name: journal.to.clone(), reason };
        let back = Journal {
            from: journal.to,
            to: journal.from,
            stage: Stage::Apply,
            failure: Some(failure),
            began: journal.began,
        };
        self.store.note(&back)?;
        Box::pin(self.go_on(back)).await
    }

    /// Of what was drained for a config: an update of the system ends its own.
    async fn uncordon(&mut self, wish: &Wish, current: &Applied) -> anyhow::Result<()> {
        let done = wish.desired.as_ref().is_none_or(|desired| *desired == current.name);
        let left = wish.drain.as_deref().is_some_and(|drain| drain.starts_with("drain-rendered-"));
        let failed = self.store.failure()?.is_some_and(|failure| Some(failure.name) == wish.desired);
        if left && (done || failed) {
            self.cluster.ask_for_uncordon(&current.name).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, current: &str, state: NodeState, reason: &str) -> anyhow::Result<()> {
        let told = (state, format!("{current} {reason}"));
        if self.told.as_ref() != Some(&told) {
            self.cluster.tell(current, state, reason).await.context("saying so on the node's object")?;
            self.told = Some(told);
        }
        Ok(())
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Of a change that is over.
fn record(journal: &Journal) -> history::Record {
    let (from, to) = match &journal.failure {
        None => (&journal.from, &journal.to),
        Some(_) => (&journal.to, &journal.from),
    };
    history::Record {
        began: journal.began.clone(),
        ended: now(),
        from: from.clone(),
        to: to.clone(),
        left: journal.failure.as_ref().map(|failure| failure.reason.clone()),
    }
}

fn kept(applied: &Applied) -> Result<Kept, Vec<Problem>> {
    let parsed = parse_value(applied.config.clone());
    let parsed = parsed.map_err(|error| vec![Problem::new("$", error, "must be an Ignition config")])?;
    Kept::of(&parsed.config)
}

fn difference(from: &Applied, to: &Applied) -> Result<Vec<Change>, Vec<Problem>> {
    changes(&kept(from)?, &kept(to)?)
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Below `root`; `path` is absolute.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
