//! Does a node's part of a cluster update: fetches the release, runs new static pods, restarts into the new system, and
//! says how it went. What was asked and how far it is are kept, so that a daemon or a machine that stops goes on.
//!
//! A static pod that is not healthy in time is what it was before; a system that is not is left by the boot counter.

mod state;
mod system;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ashlar_host::cmd::Cmd;
use ashlar_model::node::NodeFile;
use ashlar_model::release::references;
use ashlar_model::update::{ANSWER, Answer, CONTROL_PLANE_FILE, ControlPlane, Outcome, Step, WISH, Wish};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::apply;
use super::machine_config::cluster::Cluster;
use crate::os::{AUTHORITY, FETCHED_IMAGES};
use crate::{durable, images};
use state::{State, Store};

const INTERVAL: Duration = Duration::from_secs(3);
/// Ours, which also runs on its own: changing deployments needs a process without threads.
const AGENT: &str = "/usr/bin/ashlar-agent";
/// A system of a gigabyte from a busy master.
const FETCHING: Duration = Duration::from_secs(1800);
const TRIES: u32 = 5;
/// Of new static pods; an API server starts in half a minute on a busy machine.
const HEALTHY: Duration = Duration::from_secs(300);
/// The revision that an install makes.
const FIRST_REVISION: u32 = 1;
const PRIVATE: u32 = 0o600;

/// How a step ended, or that it goes on in the next round.
enum Progress {
    Done(String),
    /// What is waited for.
    Waits(String),
    Failed(String),
}

pub struct Updater {
    cluster: Cluster,
    store: Store,
    /// The daemon looks at the static pods again.
    changed: Arc<Notify>,
    told: Option<Answer>,
    /// Fetches that failed.
    tries: u32,
}

/// Runs as long as the node does. What fails for a moment is tried again.
pub async fn run(file: NodeFile, changed: Arc<Notify>) {
    if let Err(error) =
        durable::write_if_changed(Path::new(AUTHORITY), file.server_ca_pem.as_bytes(), PRIVATE)
    {
        tracing::error!(%error, "releases cannot be fetched from the cluster");
    }
    let mut updater = Updater {
        cluster: Cluster::new(&file),
        store: Store::new(Path::new("/")),
        changed,
        told: None,
        tries: 0,
    };
    loop {
        if let Err(error) = updater.step().await {
            tracing::debug!(error = format!("{error:#}"), "update");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

impl Updater {
    async fn step(&mut self) -> anyhow::Result<()> {
        let node = self.cluster.node().await?;
        let Some(text) = node["metadata"]["annotations"][WISH].as_str() else { return Ok(()) };
        let wish: Wish = serde_json::from_str(text).with_context(|| format!("understanding {WISH}"))?;
        let mut state = self.store.read()?.filter(|state| state.wish == wish).unwrap_or(State::of(&wish));
        if let Some(answer) = &state.answer {
            return self.tell(answer.clone()).await;
        }
        if !self.told.as_ref().is_some_and(|told| is_to(told, &wish)) {
            self.tell(answer(&wish, Outcome::Working, "begins")).await?;
        }
        let progress = match wish.step {
            Step::Fetch => self.fetch(&wish).await,
            Step::ApiServer | Step::ControlPlane => self.control_plane(&wish, &mut state).await,
            Step::System => system::go_on(self, &wish, &mut state).await,
        };
        let (outcome, message) = match progress {
            Ok(Progress::Waits(why)) => return self.tell(answer(&wish, Outcome::Working, &why)).await,
            Ok(Progress::Done(what)) => (Outcome::Done, what),
            Ok(Progress::Failed(why)) => (Outcome::Failed, why),
            Err(error) => (Outcome::Failed, format!("{error:#}")),
        };
        tracing::info!(step = ?wish.step, ?outcome, message, "a step of the update has ended");
        self.tries = 0;
        let ended = answer(&wish, outcome, &message);
        state.answer = Some(ended.clone());
        self.store.write(&state)?;
        self.tell(ended).await
    }

    /// Nothing that runs is changed by it.
    async fn fetch(&mut self, wish: &Wish) -> anyhow::Result<Progress> {
        let url = self.cluster.release_url(&wish.commit);
        self.tell(answer(wish, Outcome::Working, "fetches the system")).await?;
        let fetch = Cmd::new(AGENT).args(["node", "os", "fetch", &url, &wish.commit]).timeout(FETCHING);
        if let Err(error) = fetch.run().await.context("fetching the system") {
            // Masters restart API servers and networks now and then; what came is not fetched again.
            self.tries += 1;
            let why = format!("{error:#}");
            return Ok(if self.tries < TRIES { Progress::Waits(why) } else { Progress::Failed(why) });
        }
        self.tell(answer(wish, Outcome::Working, "imports the images")).await?;
        let folder = Path::new(FETCHED_IMAGES);
        room_for(folder)?;
        images::import_from(folder).await.context("importing the images")?;
        Ok(Progress::Done(format!("has the system and the images of {}", wish.version)))
    }

    async fn control_plane(&mut self, wish: &Wish, state: &mut State) -> anyhow::Result<Progress> {
        let root = Path::new("/");
        let have = apply::revisions(root)?;
        // What was there before is known from the first time, however often this begins.
        let before = match &state.before {
            Some(before) => before.clone(),
            None => have.clone(),
        };
        let running = references(&images::list()?);
        let wanted = references(&images::list_in(Path::new(FETCHED_IMAGES))?);
        let new = before.with(&changing(wish.step, &before, &running, &wanted), &wanted, FIRST_REVISION);
        if new == before {
            return Ok(Progress::Done("has them already".into()));
        }
        state.before = Some(before.clone());
        self.store.write(state)?;
        if have != new {
            self.change(&new)?;
        }
        let Err(why) = self.until_healthy(wish.step.pods(), &new).await else {
            return Ok(Progress::Done(format!("runs those of {}", wish.version)));
        };
        tracing::error!(why, "going back to the revision before");
        self.change(&before)?;
        let back = self.until_healthy(wish.step.pods(), &before).await;
        let now = match back {
            Ok(()) => "it runs the revision before again".to_owned(),
            Err(why) => format!("the revision before is not healthy either: {why}"),
        };
        Ok(Progress::Failed(format!(
            "{why} {} s after the change; {now}; see `crictl logs` on the node",
            HEALTHY.as_secs()
        )))
    }

    fn change(&self, pods: &ControlPlane) -> anyhow::Result<()> {
        durable::write(Path::new(CONTROL_PLANE_FILE), &serde_json::to_vec_pretty(pods)?, PRIVATE)?;
        self.changed.notify_one();
        Ok(())
    }

    /// The API says that these pods run as wanted and are ready.
    async fn until_healthy(&mut self, pods: &[&str], wanted: &ControlPlane) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let mut unhealthy = None;
            for name in pods {
                match self.cluster.own_pod(name).await {
                    Ok(pod) => unhealthy = unhealthy.or_else(|| lacking(name, &pod, wanted)),
                    Err(error) => unhealthy = Some(format!("{name} is not known: {error:#}")),
                }
            }
            match unhealthy {
                None => return Ok(()),
                Some(why) if began.elapsed() > HEALTHY => return Err(why),
                Some(why) => tracing::debug!(why, "not yet"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn tell(&mut self, answer: Answer) -> anyhow::Result<()> {
        if self.told.as_ref() != Some(&answer) {
            self.cluster.annotate(&json!({ANSWER: serde_json::to_string(&answer)?})).await?;
            self.told = Some(answer);
        }
        Ok(())
    }
}

fn is_to(answer: &Answer, wish: &Wish) -> bool {
    (answer.step, answer.attempt, &answer.commit) == (wish.step, wish.attempt, &wish.commit)
}

fn answer(wish: &Wish, outcome: Outcome, message: &str) -> Answer {
    Answer {
        commit: wish.commit.clone(),
        step: wish.step,
        attempt: wish.attempt,
        outcome,
        message: message.chars().take(1000).collect(),
    }
}

/// Pods of the step whose image is another one in the release.
fn changing(
    step: Step,
    have: &ControlPlane,
    running: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Vec<&'static str> {
    let current = |pod: &str| have.pods.get(pod).map(|revision| &revision.image).or(running.get(pod));
    step.pods().iter().copied().filter(|pod| current(pod) != wanted.get(*pod)).collect()
}

/// What a pod lacks to be what is wanted.
fn lacking(name: &str, pod: &Value, wanted: &ControlPlane) -> Option<String> {
    if let Some(revision) = wanted.pods.get(name) {
        let image = pod["spec"]["containers"][0]["image"].as_str();
        let number = pod["metadata"]["annotations"]["ashlar.dev/revision"].as_str();
        if image != Some(&revision.image) || number != Some(&revision.revision.to_string()) {
            return Some(format!("{name} is not of revision {} yet", revision.revision));
        }
    }
    let status = &pod["status"]["containerStatuses"][0];
    if status["ready"] == true {
        return None;
    }
    let waiting = status["state"]["waiting"]["reason"].as_str();
    Some(format!("{name} was not ready ({})", waiting.unwrap_or("it runs and does not answer")))
}

/// Imported images take about what their archives do; twice that leaves room for both.
fn room_for(images: &Path) -> anyhow::Result<()> {
    let mut needed = 0;
    for entry in std::fs::read_dir(images).with_context(|| format!("reading {}", images.display()))? {
        needed += entry?.metadata()?.len() * 2;
    }
    let about = rustix::fs::statvfs("/var/lib/containerd").context("looking at /var/lib/containerd")?;
    let free = about.f_bavail * about.f_frsize;
    ensure!(
        free > needed,
        "/var has {} MiB free, and the images of the release need {} MiB: make room there",
        free >> 20,
        needed >> 20
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::update::Revision;

    fn wanted() -> ControlPlane {
        let revision = Revision { revision: 2, image: "r/kube-scheduler:v2".into() };
        ControlPlane { pods: [("kube-scheduler".to_owned(), revision)].into() }
    }

    #[test]
    fn a_pod_is_what_is_wanted_when_its_revision_is_and_its_container_is_ready() {
        let pod = |revision: &str, ready: bool| {
            json!({
                "metadata": {"annotations": {"ashlar.dev/revision": revision}},
                "spec": {"containers": [{"image": "r/kube-scheduler:v2"}]},
                "status": {"containerStatuses": [{"ready": ready, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            })
        };
        assert_eq!(lacking("kube-scheduler", &pod("2", true), &wanted()), None);
        let old = lacking("kube-scheduler", &pod("1", true), &wanted()).expect("the old one is ready");
        assert!(old.contains("revision 2"), "{old}");
        let broken = lacking("kube-scheduler", &pod("2", false), &wanted()).expect("it does not run");
        assert!(broken.contains("CrashLoopBackOff"), "{broken}");
    }

    #[test]
    fn only_pods_with_another_image_change() {
        let images = |version: &str| {
            let one = |name: &str| (name.to_owned(), format!("r/{name}:{version}"));
            BTreeMap::from(["kube-scheduler", "kube-controller-manager"].map(one))
        };
        let none = ControlPlane::default();
        assert!(changing(Step::ControlPlane, &none, &images("v1"), &images("v1")).is_empty());
        assert_eq!(changing(Step::ControlPlane, &none, &images("v1"), &images("v2")).len(), 2);
        let left = changing(Step::ControlPlane, &wanted(), &images("v1"), &images("v2"));
        assert_eq!(left, ["kube-controller-manager"]);
    }
}
