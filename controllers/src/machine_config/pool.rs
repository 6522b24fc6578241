//! What is true of a pool: its rendered config, its nodes, and which of them were given that config.
//!
//! Nothing here changes a node, and the status says so: a node that was given another config keeps it.

use ashlar_model::machine_config::{CURRENT_CONFIG, POOLS};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::objects::{Condition, Configuration, MachineConfigPool, PoolStatus, Source};
use super::{NotRendered, Pools, Rendered};
use crate::directory::Directory;
use crate::nodes::is_ready;

/// Writes the status of every pool that has changed.
pub async fn report(
    client: &Client,
    pools: &Pools,
    directory: &Directory,
    nodes: &[Node],
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
        let own = nodes
            .iter()
            .filter(|node| directory.by_name(&node.name_any()).is_some_and(|host| host.role == *role));
        let before = pool.status.clone().unwrap_or_default();
        let mut status = status(rendered.as_deref(), &own.collect::<Vec<_>>(), &before, &now());
        status.observed_generation = pool.metadata.generation.unwrap_or_default();
        if status != before {
            let mut patch = json!({"status": status});
            // A merge leaves alone what is not named: a pool without a config is not to show its last one.
            if status.configuration.is_none() {
                patch["status"]["configuration"] = json!(null);
            }
            api.patch_status(role.as_str(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
            let config = status.configuration.map(|config| config.name);
            tracing::info!(pool = role.as_str(), config, "the pool's status has changed");
        }
    }
    Ok(())
}

fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn status(
    rendered: Result<&Rendered, &NotRendered>,
    nodes: &[&Node],
    before: &PoolStatus,
    now: &str,
) -> PoolStatus {
    let given = |node: &&&Node| {
        let config = node.annotations().get(CURRENT_CONFIG);
        rendered.is_ok_and(|rendered| config == Some(&rendered.name))
    };
    let count =
        |is: &dyn Fn(&&&Node) -> bool| u32::try_from(nodes.iter().filter(is).count()).unwrap_or(u32::MAX);
    let source =
        |rendered: &Rendered| rendered.parts.iter().map(|name| Source { name: name.clone() }).collect();
    let mut status = PoolStatus {
        observed_generation: before.observed_generation,
        configuration: rendered
            .ok()
            .map(|rendered| Configuration { name: rendered.name.clone(), source: source(rendered) }),
        machine_count: count(&|_| true),
        ready_machine_count: count(&|node| given(node) && is_ready(node)),
        updated_machine_count: count(&given),
        unavailable_machine_count: count(&|node| !is_ready(node)),
        degraded_machine_count: 0,
        conditions: Vec::new(),
    };
    status.conditions = conditions(rendered, nodes, &status);
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
    nodes: &[&Node],
    status: &PoolStatus,
) -> Vec<Condition> {
    let condition = |kind: &str, status: bool, reason: &str, message: String| Condition {
        kind: kind.into(),
        status: if status { "True" } else { "False" }.into(),
        reason: reason.into(),
        message,
        last_transition_time: String::new(),
    };
    let (degraded, why, cause) = match rendered {
        Ok(_) => (false, "AsExpected", String::new()),
        Err(cause) => (
            true,
            "InvalidMachineConfig",
            format!("{cause}; hosts of this pool get no config until it is corrected or deleted"),
        ),
    };
    let updated = !degraded && status.updated_machine_count == status.machine_count;
    let (reason, message) = match rendered {
        Ok(rendered) if !updated => ("NotAppliedToRunningNodes", behind(rendered, nodes)),
        Ok(rendered) => ("AsExpected", format!("every node was given {} at its first boot", rendered.name)),
        Err(_) => ("InvalidMachineConfig", cause.clone()),
    };
    vec![
        condition("Updated", updated, reason, message),
        condition(
            "Updating",
            false,
            "NotSupported",
            "this release gives a host its config at its first boot and does not change running nodes".into(),
        ),
        condition("RenderDegraded", degraded, why, cause.clone()),
        condition("NodeDegraded", false, "AsExpected", String::new()),
        condition("Degraded", degraded, why, cause),
    ]
}

fn behind(rendered: &Rendered, nodes: &[&Node]) -> String {
    let others: Vec<String> = nodes
        .iter()
        .filter(|node| node.annotations().get(CURRENT_CONFIG) != Some(&rendered.name))
        .map(|node| node.name_any())
        .collect();
    format!(
        "changes are not applied to running nodes yet: {} of {} nodes were not given {} at their first boot and stay as \
         they are until they are installed again ({})",
        others.len(),
        nodes.len(),
        rendered.name,
        others.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_config::{render, tests::cluster};
    use ashlar_model::bootstrap_api::Role;

    fn node(name: &str, config: Option<&str>) -> Node {
        let mut node: Node = serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .expect("a node");
        node.metadata.annotations =
            config.map(|config| [(CURRENT_CONFIG.to_owned(), config.to_owned())].into());
        node
    }

    fn of<'a>(status: &'a PoolStatus, kind: &str) -> &'a Condition {
        status.conditions.iter().find(|condition| condition.kind == kind).expect("the condition")
    }

    #[test]
    fn a_node_with_another_config_is_counted_and_named_and_never_said_to_be_updating() {
        let rendered = render(&cluster(), Role::Worker, &[]).expect("valid");
        let (same, other, unknown) =
            (node("a", Some(&rendered.name)), node("b", Some("rendered-worker-0")), node("c", None));
        let status = status(Ok(&rendered), &[&same, &other, &unknown], &PoolStatus::default(), "then");
        assert_eq!(
            (status.machine_count, status.updated_machine_count, status.ready_machine_count),
            (3, 1, 1)
        );
        let updated = of(&status, "Updated");
        assert_eq!((updated.status.as_str(), updated.reason.as_str()), ("False", "NotAppliedToRunningNodes"));
        assert!(
            updated.message.contains("2 of 3 nodes") && updated.message.ends_with("(b, c)"),
            "{}",
            updated.message
        );
        assert_eq!(of(&status, "Updating").status, "False");
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let rendered = render(&cluster(), Role::Worker, &[]).expect("valid");
        let same = node("a", Some(&rendered.name));
        let first = status(Ok(&rendered), &[&same], &PoolStatus::default(), "then");
        assert_eq!(status(Ok(&rendered), &[&same], &first, "later"), first);
        let bad = NotRendered::Invalid(Vec::new());
        let second = status(Err(&bad), &[&same], &first, "later");
        assert_eq!(of(&second, "Degraded").last_transition_time, "later");
        assert_eq!(of(&second, "NodeDegraded").last_transition_time, "then");
        assert!(second.configuration.is_none() && of(&second, "Updated").status == "False");
    }
}
