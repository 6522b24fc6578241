//! Goes on with every pool, and says in its status what is true of it.

use ashlar_model::bootstrap_api::Role;
use ashlar_model::machine_config::{DESIRED_CONFIG, NodeState, POOLS};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::objects::{Condition, Configuration, MachineConfigPool, PoolStatus, Source};
use super::rollout::{self, Next, Pace};
use super::{NotRendered, PoolNode, Pools, Rendered};
use crate::directory::Directory;
use crate::drain;

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
    for role in POOLS {
        let rendered = pools.rendered(*role);
        if matches!(rendered, Err(NotRendered::NotRead)) {
            continue;
        }
        // A cluster of an earlier release has no pools.
        let Some(pool) = api.get_opt(role.as_str()).await? else { continue };
        let of_role =
            |node: &&Node| directory.by_name(&node.name_any()).is_some_and(|host| host.role == *role);
        let own: Vec<&Node> = nodes.iter().filter(of_role).collect();
        let seen: Vec<PoolNode> = own.iter().map(|node| PoolNode::of(node)).collect();
        let next = match &rendered {
            Ok(rendered) => rollout::next(&rendered.name, &seen, pace(&pool, *role, seen.len())),
            Err(_) => Next::Nothing,
        };
        if let (true, Ok(rendered), Next::Tell(names)) = (acting, &rendered, &next)
            && (*role != Role::Master || control_plane_is_well(client).await?)
        {
            tell(client, names, &rendered.name).await?;
        }
        let blocked: Vec<&str> = own
            .iter()
            .filter_map(|node| node.annotations().get(drain::BLOCKED))
            .map(String::as_str)
            .collect();
        let before = pool.status.clone().unwrap_or_default();
        let mut status = status(rendered.as_deref(), &seen, &next, &blocked, &before, &now());
        status.observed_generation = pool.metadata.generation.unwrap_or_default();
        if status != before {
            write(&api, *role, &status).await?;
        }
    }
    Ok(())
}

async fn write(api: &Api<MachineConfigPool>, role: Role, status: &PoolStatus) -> Result<(), kube::Error> {
    let mut patch = json!({"status": status});
    // A merge leaves alone what is not named: a pool without a config is not to show its last one.
    if status.configuration.is_none() {
        patch["status"]["configuration"] = json!(null);
    }
    api.patch_status(role.as_str(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
    let config = status.configuration.as_ref().map(|config| &config.name);
    tracing::info!(pool = role.as_str(), config, "the pool's status has changed");
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
async fn control_plane_is_well(client: &Client) -> Result<bool, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let pods = api.list(&ListParams::default().labels("tier=control-plane")).await?;
    let ready = |pod: &Pod| {
        let conditions =
            pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    Ok(!pods.items.is_empty() && pods.items.iter().all(ready))
}

fn pace(pool: &MachineConfigPool, role: Role, nodes: usize) -> Pace {
    let master = role == Role::Master;
    Pace {
        paused: pool.spec.paused == Some(true),
        max_unavailable: if master { 1 } else { at_once(pool.spec.max_unavailable.as_ref(), nodes) },
        all_others_well: master,
    }
}

/// `2`, `"2"` or `"20%"`.
fn at_once(value: Option<&Value>, nodes: usize) -> usize {
    let text = match value {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => return 1,
    };
    let number = match text.strip_suffix('%') {
        Some(share) => share.parse::<usize>().ok().map(|share| nodes * share.min(100) / 100),
        None => text.parse().ok(),
    };
    number.unwrap_or(1).max(1)
}

fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn status(
    rendered: Result<&Rendered, &NotRendered>,
    nodes: &[PoolNode],
    next: &Next,
    blocked: &[&str],
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
        conditions: Vec::new(),
    };
    status.conditions = conditions(rendered, nodes, next, blocked, &status);
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
    next: &Next,
    blocked: &[&str],
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
        .collect();
    let updated = invalid.is_none() && status.updated_machine_count == status.machine_count;
    let (reason, doing) = doing(nodes, next, blocked);
    let updating = matches!(reason, "Updating");
    let why = if invalid.is_some() {
        "InvalidMachineConfig"
    } else if updated {
        "AsExpected"
    } else {
        reason
    };
    let (node_reason, render_reason) =
        (reason_of(&failed, "NodeFailed"), reason_of(&invalid, "InvalidMachineConfig"));
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
