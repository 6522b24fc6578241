//! What a pool's status says.

use super::*;
use crate::machine_config::rollout::Pace;
use crate::machine_config::{render, tests::cluster};
use ashlar_model::machine_config::CURRENT_CONFIG;

fn node(name: &str, current: Option<&str>, state: NodeState) -> PoolNode {
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {
            CURRENT_CONFIG: current,
            "machineconfiguration.openshift.io/state": state.as_str(),
            "machineconfiguration.openshift.io/reason": "its reason",
        }},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .expect("a node");
    PoolNode::of(&node)
}

fn of<'a>(status: &'a PoolStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.kind == kind).expect("the condition")
}

const PACE: Pace = Pace { paused: false, max_unavailable: 1, all_others_well: false };

fn said(next: &Next) -> Said<'_> {
    Said { next, blocked: &[], conflicts: Vec::new() }
}

fn status_of(rendered: &Rendered, nodes: &[PoolNode], before: &PoolStatus, now: &str) -> PoolStatus {
    let next = rollout::next(&rendered.name, nodes, PACE);
    status(Ok(rendered), nodes, &said(&next), before, now)
}

#[test]
fn nodes_with_another_config_are_counted_and_the_next_one_is_named() {
    let rendered = render(&cluster(), &Pool::of_role(Role::Worker), &[]).expect("valid");
    let nodes = [
        node("a", Some(&rendered.name), NodeState::Done),
        node("b", Some("rendered-worker-0"), NodeState::Done),
    ];
    let status = status_of(&rendered, &nodes, &PoolStatus::default(), "then");
    assert_eq!((status.machine_count, status.updated_machine_count, status.ready_machine_count), (2, 1, 1));
    let updating = of(&status, "Updating");
    assert_eq!(updating.status, "True");
    assert!(updating.message.starts_with("b next"), "{}", updating.message);
    assert_eq!(of(&status, "Updated").status, "False");
}

#[test]
fn a_node_that_failed_stops_its_pool_by_name_and_with_its_reason() {
    let rendered = render(&cluster(), &Pool::of_role(Role::Worker), &[]).expect("valid");
    let mut bad = node("a", Some("rendered-worker-0"), NodeState::Degraded);
    bad.asked = Some(rendered.name.clone());
    let status = status_of(&rendered, &[bad], &PoolStatus::default(), "then");
    assert_eq!(
        (of(&status, "Degraded").status.as_str(), of(&status, "Updating").status.as_str()),
        ("True", "False")
    );
    assert_eq!(of(&status, "Degraded").message, "a: its reason");
    assert_eq!(of(&status, "Updated").reason, "Stopped");
    assert_eq!(status.degraded_machine_count, 1);
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let rendered = render(&cluster(), &Pool::of_role(Role::Worker), &[]).expect("valid");
    let same = [node("a", Some(&rendered.name), NodeState::Done)];
    let first = status_of(&rendered, &same, &PoolStatus::default(), "then");
    assert_eq!(of(&first, "Updated").status, "True");
    assert_eq!(status_of(&rendered, &same, &first, "later"), first);
    let bad = NotRendered::Invalid(Vec::new());
    let second = status(Err(&bad), &same, &said(&Next::Nothing), &first, "later");
    assert_eq!(of(&second, "Degraded").last_transition_time, "later");
    assert_eq!(of(&second, "NodeDegraded").last_transition_time, "then");
    assert!(second.configuration.is_none() && of(&second, "Updated").status == "False");
}
