//! Goes on with every pool, and says in its status what is true of it.

use ashlar_model::bootstrap_api::Role;
use ashlar_model::machine_config::{DESIRED_CONFIG, NodeState};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeMap;

use super::objects::{Condition, Configuration, MachineConfigPool, PlannedNode, PoolStatus, Source};
use super::rollout::{self, Next};
use super::{NotRendered, Pool, PoolNode, Pools, Rendered, membership, plan, pool_of};
use crate::directory::Directory;
use crate::{drain, now};

/// Tells nodes what they shall have, when `acting`, and writes the status of every pool that has changed.
pub async fn go_on(
    client: &Client,
    pools: &Pools,
    directory: &Directory,
    nodes: &[Node],
    acting: bool,
) -> Result<(), kube::Error> {
    // Hosts that are not read yet are not hosts that are not there.
    if directory.all().is_empty() {
        return Ok(());
    }
    let api: Api<MachineConfigPool> = Api::all(client.clone());
    // A cluster of an earlier release has none.
    let objects = api.list(&ListParams::default()).await?.items;
    let all = Pool::all(&objects);
    let members = Members::of(directory, nodes, &all);
    pools.replace(all.clone(), members.by_host());
    for object in &objects {
        let Some(pool) = all.iter().find(|pool| pool.name == object.name_any()) else {
            tracing::warn!(pool = object.name_any(), "the pool's selectors cannot be understood");
            continue;
        };
        let rendered = pools.rendered(&pool.name);
        if matches!(rendered, Err(NotRendered::NotRead)) {
            continue;
        }
        let own = members.of_pool(&pool.name);
        let seen: Vec<PoolNode> = own.iter().map(|node| PoolNode::of(node)).collect();
        let next = match &rendered {
            Ok(rendered) => rollout::next(&rendered.name, &seen, pool.pace(seen.len())),
            Err(_) => Next::Nothing,
        };
        if !acting {
            continue;
        }
        if let (Ok(rendered), Next::Tell(names)) = (&rendered, &next)
            && (pool.role != Role::Master || control_plane_is_well(client).await?)
        {
            tell(client, names, &rendered.name).await?;
        }
        let blocked: Vec<&str> = own
            .iter()
            .filter_map(|node| node.annotations().get(drain::BLOCKED))
            .map(String::as_str)
            .collect();
        let before = object.status.clone().unwrap_or_default();
        let said = Said { next: &next, blocked: &blocked, conflicts: members.conflicts_of(&pool.name) };
        let mut status = status(rendered.as_deref(), &seen, &said, &before, &now());
        status.plan = rendered.as_ref().map(|to| planned(pools, pool, &seen, to)).unwrap_or_default();
        status.observed_generation = object.metadata.generation.unwrap_or_default();
        if status != before {
            write(&api, &pool.name, &status).await?;
        }
    }
    Ok(())
}

/// The nodes of each pool.
struct Members<'a> {
    of: BTreeMap<String, Vec<&'a Node>>,
    /// Nodes that several pools take, and these.
    conflicts: Vec<(String, Vec<String>)>,
}

impl<'a> Members<'a> {
    fn of(directory: &Directory, nodes: &'a [Node], pools: &[Pool]) -> Self {
        let mut members = Self { of: BTreeMap::new(), conflicts: Vec::new() };
        for node in nodes {
            let Some(host) = directory.by_name(&node.name_any()) else { continue };
            match pool_of(host.role, node.labels(), pools) {
                Ok(pool) => members.of.entry(pool.to_owned()).or_default().push(node),
                Err(several) => members.conflicts.push((host.name, several)),
            }
        }
        members
    }

    fn of_pool(&self, pool: &str) -> &[&'a Node] {
        self.of.get(pool).map(Vec::as_slice).unwrap_or_default()
    }

    fn by_host(&self) -> BTreeMap<String, String> {
        let of = |(pool, nodes): (&String, &Vec<&Node>)| {
            nodes.iter().map(|node| (node.name_any(), pool.clone())).collect::<Vec<_>>()
        };
        self.of.iter().flat_map(of).collect()
    }

    fn conflicts_of(&self, pool: &str) -> Vec<String> {
        let here = self.conflicts.iter().filter(|(_, pools)| pools.iter().any(|one| one == pool));
        here.map(|(node, pools)| membership::conflict(node, pools)).collect()
    }
}

/// What is still to be done, by the functions of the preview.
fn planned(pools: &Pools, pool: &Pool, nodes: &[PoolNode], to: &Rendered) -> Vec<PlannedNode> {
    let known = |name: &str| pools.by_name(name).map(|rendered| rendered.config.clone());
    let facts = plan::Facts { pool, nodes, known: &known, leaving: &|_| plan::Leaving::default() };
    let lines = plan::lines(&plan::of_pool(&facts, None, to));
    lines.into_iter().map(|(node, action)| PlannedNode { node, action }).collect()
}

async fn write(api: &Api<MachineConfigPool>, pool: &str, status: &PoolStatus) -> Result<(), kube::Error> {
    let mut patch = json!({"status": status});
    // A merge leaves alone what is not named: a pool without a config is not to show its last one.
    if status.configuration.is_none() {
        patch["status"]["configuration"] = json!(null);
    }
    api.patch_status(pool, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    let config = status.configuration.as_ref().map(|config| &config.name);
    tracing::info!(pool, config, "the pool's status has changed");
    Ok(())
}

async fn tell(client: &Client, names: &[String], config: &str) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    for name in names {
        tracing::info!(node = name, config, "is told its config");
        let patch = json!({"metadata": {"annotations": {DESIRED_CONFIG: config}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    Ok(())
}

/// Every etcd member and every server of the control plane is ready: one may go.
pub async fn control_plane_is_well(client: &Client) -> Result<bool, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let pods = api.list(&ListParams::default().labels("tier=control-plane")).await?;
    Ok(!pods.items.is_empty() && pods.items.iter().all(is_ready))
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What the status says besides what the nodes do.
struct Said<'a> {
    next: &'a Next,
    /// Pods that cannot leave.
    blocked: &'a [&'a str],
    /// Nodes that are in another pool as well.
    conflicts: Vec<String>,
}

fn status(
    rendered: Result<&Rendered, &NotRendered>,
    nodes: &[PoolNode],
    said: &Said<'_>,
    before: &PoolStatus,
    now: &str,
) -> PoolStatus {
    let has = |node: &PoolNode| rendered.is_ok_and(|rendered| node.current.as_ref() == Some(&rendered.name));
    let count = |is: &dyn Fn(&PoolNode) -> bool| {
        u32::try_from(nodes.iter().filter(|node| is(node)).count()).unwrap_or(u32::MAX)
    };
    let source =
        |rendered: &Rendered| rendered.parts.iter().map(|name| Source { name: name.clone() }).collect();
    let mut status = PoolStatus {
        observed_generation: before.observed_generation,
        configuration: rendered
            .ok()
            .map(|rendered| Configuration { name: rendered.name.clone(), source: source(rendered) }),
        machine_count: count(&|_| true),
        ready_machine_count: count(&|node| has(node) && node.ready),
        updated_machine_count: count(&has),
        unavailable_machine_count: count(&PoolNode::is_away),
        degraded_machine_count: count(&|node| node.state == Some(NodeState::Degraded)),
        plan: before.plan.clone(),
        conditions: Vec::new(),
    };
    status.conditions = conditions(rendered, nodes, said, &status);
    for condition in &mut status.conditions {
        let known = before.conditions.iter().find(|known| known.kind == condition.kind);
        let since = known.filter(|known| known.status == condition.status);
        condition.last_transition_time =
            since.map_or_else(|| now.to_owned(), |known| known.last_transition_time.clone());
    }
    status
}

fn conditions(
    rendered: Result<&Rendered, &NotRendered>,
    nodes: &[PoolNode],
    said: &Said<'_>,
    status: &PoolStatus,
) -> Vec<Condition> {
    let condition = |kind: &str, status: bool, reason: &str, message: String| Condition {
        kind: kind.into(),
        status: if status { "True" } else { "False" }.into(),
        reason: reason.into(),
        message,
        last_transition_time: String::new(),
    };
    let invalid = rendered.err().map(|cause| {
        format!(
            "{cause}; nodes stay as they are, and new hosts get no config, until it is corrected or deleted"
        )
    });
    let failed: Vec<String> = nodes
        .iter()
        .filter(|node| node.state == Some(NodeState::Degraded))
        .map(|node| format!("{}: {}", node.name, node.reason))
        .chain(said.conflicts.iter().cloned())
        .collect();
    let updated = invalid.is_none() && status.updated_machine_count == status.machine_count;
    let (reason, doing) = doing(nodes, said.next, said.blocked);
    let updating = matches!(reason, "Updating");
    let why = if invalid.is_some() {
        "InvalidMachineConfig"
    } else if updated {
        "AsExpected"
    } else {
        reason
    };
    let node_reason = if failed.len() == said.conflicts.len() { "NodeInSeveralPools" } else { "NodeFailed" };
    let (node_reason, render_reason) =
        (reason_of(&failed, node_reason), reason_of(&invalid, "InvalidMachineConfig"));
    let all = invalid.iter().cloned().chain(failed.iter().cloned()).collect::<Vec<_>>().join("; ");
    let degraded = if invalid.is_some() { render_reason } else { node_reason };
    vec![
        condition("Updated", updated, why, if updated { String::new() } else { doing.clone() }),
        condition(
            "Updating",
            updating,
            if updating { "Updating" } else { why },
            if updating { doing } else { String::new() },
        ),
        condition("RenderDegraded", invalid.is_some(), render_reason, invalid.unwrap_or_default()),
        condition("NodeDegraded", !failed.is_empty(), node_reason, failed.join("; ")),
        condition("Degraded", !all.is_empty(), degraded, all),
    ]
}

fn reason_of<T>(problems: impl IntoIterator<Item = T>, reason: &'static str) -> &'static str {
    if problems.into_iter().next().is_some() { reason } else { "AsExpected" }
}

/// A reason, and the message.
fn doing(nodes: &[PoolNode], next: &Next, blocked: &[&str]) -> (&'static str, String) {
    let changing: Vec<String> = nodes
        .iter()
        .filter(|node| node.state == Some(NodeState::Working))
        .map(|node| format!("{}: {}", node.name, node.reason))
        .collect();
    let mut message = changing.join("; ");
    if !blocked.is_empty() {
        message = format!("{message}; pods that cannot leave yet: {}", blocked.join("; "));
    }
    match next {
        Next::Paused => ("Paused", "spec.paused is true: no node is changed".to_owned()),
        Next::Stopped { node, reason } => {
            ("Stopped", format!("{node} could not have this config, and no other node is tried: {reason}"))
        }
        Next::Tell(names) => ("Updating", format!("{} next; {message}", names.join(", "))),
        Next::Waiting(names) => ("Updating", format!("waits for {}; {message}", names.join(", "))),
        Next::Nothing if changing.is_empty() => ("AsExpected", String::new()),
        Next::Nothing => ("Updating", message),
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
