//! One round: sees, decides, tells, says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use ashlar_model::bootstrap_api::{Cluster, Role};
use ashlar_model::keys::{ClusterKeys, KeyPair};
use ashlar_model::node::{IDENTITY_CERTIFICATE, IDENTITY_KEY};
use ashlar_model::update::{
    ANSWER, AddOns, Answer, Decision, NodeSeen, Outcome, Pace, Phase, STORED, Seen, Step, WISH, Wish, next,
};
use ashlar_pki::{Leaf, issue};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::objects::{ClusterUpdate, NAME, NodeProgress, PhaseBegan, UpdateStatus, phase_name};
use super::{Releases, add_ons, peers};
use crate::directory::Directory;
use crate::drain;
use crate::machine_config::objects::{Condition, MachineConfigPool};
use crate::machine_config::{at_once, control_plane_is_well};
use crate::nodes::is_ready;
use crate::now;

const ZONE: &str = "topology.kubernetes.io/zone";

/// What a round needs besides the API.
#[derive(Clone)]
pub struct Updater {
    pub cluster: Arc<Cluster>,
    pub keys: Arc<ClusterKeys>,
    /// Of the node that this program runs on.
    pub host: String,
    pub releases: Releases,
    /// A release is being fetched from another master.
    filling: Arc<AtomicBool>,
}

impl Updater {
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, keys: Arc<ClusterKeys>, host: &str, releases: Releases) -> Self {
        Self { cluster, keys, host: host.to_owned(), releases, filling: Arc::default() }
    }
}

/// Goes on with the update, if there is one. Returns whether nodes are being changed by it: nothing else changes them
/// then. `acting`: this controller, and no other, tells nodes.
pub async fn go_on(updater: &Updater, client: &Client, nodes: &[Node], acting: bool) -> anyhow::Result<bool> {
    let api: Api<ClusterUpdate> = Api::all(client.clone());
    let update = api.get_opt(NAME).await.context("reading the cluster's update")?;
    let allowed =
        update.as_ref().map(|update| (update.spec.commit.clone(), update.spec.upload_key_sha256.clone()));
    *updater.releases.allowed.write().unwrap_or_else(PoisonError::into_inner) = allowed;
    let Some(update) = update else { return Ok(false) };
    let active = update.is_active();
    if active {
        keep_files(updater, client, nodes, &update).await?;
    }
    // Hosts that are not read yet are not hosts that are not there.
    if acting && (active || !update.is_seen()) && !updater.releases.directory.all().is_empty() {
        act(updater, client, &api, nodes, &update).await?;
    }
    Ok(active)
}

/// Brings the release to this master from another one, and says on the own node that it is here.
async fn keep_files(
    updater: &Updater,
    client: &Client,
    nodes: &[Node],
    update: &ClusterUpdate,
) -> anyhow::Result<()> {
    let commit = &update.spec.commit;
    if updater.releases.store.index(commit).is_none() {
        fill(updater, commit);
        return Ok(());
    }
    let Some(own) = nodes.iter().find(|node| node.name_any() == updater.host) else { return Ok(()) };
    if own.annotations().get(STORED) != Some(commit) {
        annotate(client, &updater.host, STORED, commit).await?;
    }
    Ok(())
}

fn fill(updater: &Updater, commit: &str) {
    if updater.filling.swap(true, Ordering::SeqCst) {
        return;
    }
    let (updater, commit) = (updater.clone(), commit.to_owned());
    tokio::spawn(async move {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let fetched = async {
            let identity = KeyPair {
                certificate_pem: read(IDENTITY_CERTIFICATE)?,
                private_key_pem: read(IDENTITY_KEY)?,
            };
            let authority = &updater.keys.install_ca.certificate_pem;
            let releases = &updater.releases;
            peers::fill(&releases.store, &releases.directory, &updater.host, &commit, authority, &identity)
                .await
                .context("fetching the release from another master")
        };
        if let Err(error) = fetched.await {
            tracing::warn!(error = format!("{error:#}"), "the release is not here");
        }
        updater.filling.store(false, Ordering::SeqCst);
    });
}

async fn act(
    updater: &Updater,
    client: &Client,
    api: &Api<ClusterUpdate>,
    nodes: &[Node],
    update: &ClusterUpdate,
) -> anyhow::Result<()> {
    let seen: Vec<NodeSeen> =
        nodes.iter().filter_map(|node| see(node, update, &updater.releases.directory)).collect();
    let pace = pace(client, &seen).await?;
    let well = control_plane_is_well(client).await.context("looking at the control plane")?;
    let look = |add_ons: AddOns| {
        next(&Seen { nodes: &seen, control_plane_is_well: well, add_ons, pace, stop: update.spec.stop })
    };
    let mut decision = look(AddOns::Unknown);
    // They are looked at when it is their turn, and known to be done afterwards by the phase that was reached.
    if decision.phase == Phase::AddOns {
        let reached = update.status.as_ref().is_some_and(|status| {
            status.commit == update.spec.commit
                && status.phases.iter().any(|one| one.phase == phase_name(Phase::Masters))
        });
        decision = if reached {
            look(AddOns::Done)
        } else if decision.stopped.is_some() {
            decision
        } else {
            let admin = administrator(updater).await?;
            look(add_ons::go_on(&admin, &updater.cluster, &update.spec.images).await?)
        };
    }
    write(updater, api, nodes, &seen, update, &decision).await?;
    for (name, step) in &decision.tell {
        let wish = Wish {
            version: update.spec.version.clone(),
            commit: update.spec.commit.clone(),
            step: *step,
            attempt: update.spec.attempt,
        };
        tracing::info!(node = name, ?step, version = wish.version, "is told");
        annotate(client, name, WISH, &serde_json::to_string(&wish)?).await?;
    }
    Ok(())
}

fn see(node: &Node, update: &ClusterUpdate, directory: &Directory) -> Option<NodeSeen> {
    let host = directory.by_name(&node.name_any())?;
    let (commit, attempt) = (&update.spec.commit, update.spec.attempt);
    let wish: Option<Wish> = read(node, WISH).filter(|wish: &Wish| wish.commit == *commit);
    let mut answer: Option<Answer> = read(node, ANSWER).filter(|answer: &Answer| answer.commit == *commit);
    let blocked = node.annotations().get(drain::BLOCKED);
    if let (Some(answer), Some(blocked)) = (&mut answer, blocked)
        && answer.outcome == Outcome::Working
    {
        answer.message = format!("{}; pods that cannot leave yet: {blocked}", answer.message);
    }
    Some(NodeSeen {
        name: host.name,
        role: host.role,
        zone: node.labels().get(ZONE).cloned().unwrap_or_default(),
        ready: is_ready(node),
        schedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true),
        stored: node.annotations().get(STORED) == Some(commit),
        told: wish.filter(|wish| wish.attempt == attempt).map(|wish| wish.step),
        answer: answer.and_then(|answer| of_attempt(answer, attempt)),
    })
}

/// What failed in an earlier attempt is to be done again; what came before it is done.
fn of_attempt(answer: Answer, attempt: u32) -> Option<Answer> {
    if answer.outcome != Outcome::Failed || answer.attempt >= attempt {
        return Some(answer);
    }
    let before = match answer.step {
        Step::Fetch => return None,
        Step::ApiServer => Step::Fetch,
        Step::ControlPlane => Step::ApiServer,
        Step::System => Step::ControlPlane,
    };
    Some(Answer { step: before, outcome: Outcome::Done, ..answer })
}

fn read<T: DeserializeOwned>(node: &Node, annotation: &str) -> Option<T> {
    serde_json::from_str(node.annotations().get(annotation)?).ok()
}

async fn pace(client: &Client, seen: &[NodeSeen]) -> anyhow::Result<Pace> {
    let api: Api<MachineConfigPool> = Api::all(client.clone());
    let masters = api.get_opt(Role::Master.as_str()).await.context("reading the pools")?;
    let workers = api.get_opt(Role::Worker.as_str()).await.context("reading the pools")?;
    let paused =
        |pool: &Option<MachineConfigPool>| pool.as_ref().is_some_and(|pool| pool.spec.paused == Some(true));
    let count = seen.iter().filter(|node| node.role == Role::Worker).count();
    Ok(Pace {
        masters_paused: paused(&masters),
        workers_paused: paused(&workers),
        max_unavailable: at_once(workers.as_ref().and_then(|pool| pool.spec.max_unavailable.as_ref()), count),
    })
}

async fn annotate(client: &Client, node: &str, name: &str, value: &str) -> anyhow::Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let patch = json!({"metadata": {"annotations": {name: value}}});
    let done = api.patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await;
    done.map(drop).with_context(|| format!("writing {name} on node {node}"))
}

/// As the bootstrap had it when it made these objects.
async fn administrator(updater: &Updater) -> anyhow::Result<Client> {
    let (cluster, keys) = (&updater.cluster, &updater.keys);
    let identity = issue(&keys.kubernetes_ca, &Leaf::client("ashlar-controllers", &["system:masters"]))?;
    let authority = &keys.kubernetes_ca.certificate_pem;
    let text =
        ashlar_pki::kubeconfig(&cluster.api_url(), authority, &identity, "ashlar-controllers", &cluster.name);
    let config = Kubeconfig::from_yaml(&text)?;
    let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    config.read_timeout = Some(Duration::from_secs(20));
    Ok(Client::try_from(config)?)
}

async fn write(
    updater: &Updater,
    api: &Api<ClusterUpdate>,
    nodes: &[Node],
    seen: &[NodeSeen],
    update: &ClusterUpdate,
    decision: &Decision,
) -> anyhow::Result<()> {
    let kubelets: BTreeMap<String, String> = nodes
        .iter()
        .map(|node| {
            let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
            (node.name_any(), info.map(|info| info.kubelet_version.clone()).unwrap_or_default())
        })
        .collect();
    let before = update.status.clone().unwrap_or_default();
    let mut new = status(update, seen, &kubelets, decision, &before, &now());
    new.authority.clone_from(&updater.keys.install_ca.certificate_pem);
    if new != before {
        tracing::info!(phase = new.phase, waiting = new.waiting, "update");
        let patch = json!({"status": new});
        api.patch_status(NAME, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .context("writing the status of the update")?;
    }
    Ok(())
}

fn status(
    update: &ClusterUpdate,
    seen: &[NodeSeen],
    kubelets: &BTreeMap<String, String>,
    decision: &Decision,
    before: &UpdateStatus,
    now: &str,
) -> UpdateStatus {
    let since =
        |same: bool, known: &str| if same && !known.is_empty() { known.to_owned() } else { now.to_owned() };
    let of_another = before.commit != update.spec.commit;
    let phase = phase_name(decision.phase);
    let mut phases = if of_another { Vec::new() } else { before.phases.clone() };
    if phases.iter().all(|one| one.phase != phase) {
        phases.push(PhaseBegan { phase: phase.clone(), began: now.to_owned() });
    }
    let progress = |node: &NodeSeen| {
        let text = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let answer = node.answer.as_ref();
        let mut progress = NodeProgress {
            name: node.name.clone(),
            role: node.role.as_str().into(),
            kubelet: kubelets.get(&node.name).cloned().unwrap_or_default(),
            step: answer.map(|answer| text(json!(answer.step))).unwrap_or_default(),
            outcome: answer.map(|answer| text(json!(answer.outcome))).unwrap_or_default(),
            message: answer.map(|answer| answer.message.clone()).unwrap_or_default(),
            since: String::new(),
        };
        let known = before.nodes.iter().find(|known| known.name == progress.name);
        let same = known.filter(|known| known.step == progress.step && known.outcome == progress.outcome);
        progress.since = since(same.is_some(), same.map_or("", |known| &known.since));
        progress
    };
    let mut status = UpdateStatus {
        observed_generation: update.metadata.generation.unwrap_or_default(),
        commit: update.spec.commit.clone(),
        phase_since: since(before.phase == phase && !of_another, &before.phase_since),
        waiting_since: since(before.waiting == decision.waiting, &before.waiting_since),
        waiting: decision.waiting.clone(),
        authority: before.authority.clone(),
        phases,
        nodes: seen.iter().map(progress).collect(),
        conditions: conditions(decision),
        phase,
    };
    for condition in &mut status.conditions {
        let known = before.conditions.iter().find(|known| known.kind == condition.kind);
        let same = known.filter(|known| known.status == condition.status && !of_another);
        condition.last_transition_time =
            since(same.is_some(), same.map_or("", |known| &known.last_transition_time));
    }
    status
}

fn conditions(decision: &Decision) -> Vec<Condition> {
    let finished = decision.phase == Phase::Finished;
    let condition = |kind: &str, status: bool, reason: &str, message: &str| Condition {
        kind: kind.into(),
        status: if status { "True" } else { "False" }.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: String::new(),
    };
    let stopped = decision.stopped.as_deref();
    let going = !finished && stopped.is_none();
    let reason = if finished {
        "Finished"
    } else if stopped.is_some() {
        "Stopped"
    } else {
        "Progressing"
    };
    vec![
        condition("Progressing", going, reason, if going { &decision.waiting } else { "" }),
        condition("Stopped", stopped.is_some(), reason, stopped.unwrap_or_default()),
        condition("Finished", finished, reason, ""),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::objects::ClusterUpdateSpec;

    fn update(attempt: u32) -> ClusterUpdate {
        let spec = ClusterUpdateSpec {
            version: "2".into(),
            kubernetes_version: "1.36.4".into(),
            commit: "c".into(),
            images: BTreeMap::new(),
            upload_key_sha256: "k".into(),
            attempt,
            stop: false,
        };
        let mut update = ClusterUpdate::new(NAME, spec);
        update.metadata.generation = Some(1);
        update
    }

    fn decision(phase: Phase, stopped: Option<&str>) -> Decision {
        Decision { phase, tell: vec![], waiting: "for it".into(), stopped: stopped.map(ToOwned::to_owned) }
    }

    #[test]
    fn what_failed_is_done_again_in_the_next_attempt_and_what_was_done_is_not() {
        let answer =
            |step, outcome| Answer { commit: "c".into(), step, attempt: 1, outcome, message: String::new() };
        let failed = answer(Step::System, Outcome::Failed);
        assert_eq!(of_attempt(failed.clone(), 1), Some(failed.clone()));
        let again = of_attempt(failed, 2).expect("what came before");
        assert_eq!((again.step, again.outcome), (Step::ControlPlane, Outcome::Done));
        assert_eq!(of_attempt(answer(Step::Fetch, Outcome::Failed), 2), None);
        let done = answer(Step::System, Outcome::Done);
        assert_eq!(of_attempt(done.clone(), 2), Some(done));
    }

    #[test]
    fn a_pod_that_cannot_leave_is_named() {
        let answer = Answer {
            commit: "c".into(),
            step: Step::System,
            attempt: 1,
            outcome: Outcome::Working,
            message: "waits for its pods to leave".into(),
        };
        let annotations = json!({ANSWER: serde_json::to_string(&answer).expect("json"), drain::BLOCKED: "default/a: budget b"});
        let node = json!({"metadata": {"name": "worker-1", "annotations": annotations}});
        let host = ashlar_model::bootstrap_api::HostRecord {
            name: "worker-1".into(),
            role: Role::Worker,
            boot_mac: String::new(),
            address: None,
            token_sha256: String::new(),
            key_sha256: None,
            generation: 1,
            kubelet_token: String::new(),
        };
        let node: Node = serde_json::from_value(node).expect("a node");
        let seen = see(&node, &update(1), &Directory::new(vec![host])).expect("a known host");
        let message = seen.answer.expect("an answer").message;
        assert!(message.ends_with("pods that cannot leave yet: default/a: budget b"), "{message}");
    }

    #[test]
    fn times_stay_while_nothing_changes_and_a_stop_ends_the_rollout() {
        let mut object = update(1);
        let say = |object: &ClusterUpdate, decision: &Decision, now: &str| {
            status(object, &[], &BTreeMap::new(), decision, &object.status.clone().unwrap_or_default(), now)
        };
        assert!(object.is_active(), "nobody has looked at it yet");
        object.status = Some(say(&object, &decision(Phase::Fetch, None), "t1"));
        let later = say(&object, &decision(Phase::Fetch, None), "t2");
        assert_eq!(Some(&later), object.status.as_ref());
        object.status = Some(say(&object, &decision(Phase::Masters, Some("m1: because")), "t3"));
        let status = object.status.as_ref().expect("set");
        assert_eq!((status.phase_since.as_str(), status.phases.len()), ("t3", 2));
        assert!(!object.is_active());
        object.metadata.generation = Some(2);
        assert!(object.is_active(), "the administrator wants something else");
        object.status = Some(say(&object, &decision(Phase::Finished, None), "t4"));
        assert!(!object.is_active());
    }
}
