//! What a pool goes through: what changes, what that asks of each node, in which order, and what is in the way. Pure.

use std::collections::BTreeMap;

use ashlar_ignition::running::{Change, Demand, Kept, changes};
use ashlar_ignition::{Config, diff};
use ashlar_model::config::Problem;
use serde::Serialize;

use super::order::{RHYTHM, Told, order};
use crate::machine_config::rollout::Next;
use crate::machine_config::{Pool, PoolNode, Rendered};

/// From the word to the node until its daemon has heard it, seconds: the daemon asks every five.
const HEARD: u64 = 5;
/// Files and units, seconds.
const APPLIED: u64 = 2;
const RESTARTED: u64 = 10;
/// Self-test of a server and its boot, seconds; the lab takes twenty.
const BOOTED: u64 = 330;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolPlan {
    pub pool: String,
    /// What it has now; none while its machine configs are invalid, or it is not there yet.
    pub from: Option<String>,
    pub to: String,
    /// What is merged, in this order.
    pub parts: Vec<String>,
    /// Entries that differ. Contents and secrets are not in it.
    pub diff: Vec<String>,
    /// What the change replaces, one sentence each.
    pub remarks: Vec<String>,
    /// Nodes that do not have it, in the order in which they will.
    pub nodes: Vec<NodePlan>,
    /// What is in the way now.
    pub blockers: Vec<String>,
    /// Until the last node has it, roughly; of those that can have it.
    pub seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePlan {
    pub node: String,
    #[serde(flatten)]
    pub action: Action,
    /// Each thing that changes, in the order in which it does.
    pub changes: Vec<String>,
    /// Seconds from now; none: it is not told as long as the blockers are there, or has been told already.
    pub begins: Option<u64>,
    /// That it takes, roughly.
    pub seconds: u64,
}

/// What the change asks of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Nothing restarts.
    Nothing,
    Units {
        reload: Vec<String>,
        restart: Vec<String>,
    },
    /// Pods leave, the machine restarts.
    Reboot,
    /// It has a config that nobody but its daemon knows any more: at most a restart.
    Unknown,
    /// Only an install could make the change.
    Refused {
        problems: Vec<String>,
    },
}

/// What is known of the pods of a node.
#[derive(Debug, Clone, Default)]
pub struct Leaving {
    /// The longest that one of them may take to end, seconds.
    pub grace: u64,
    /// Pods that a budget holds back now, with the budget.
    pub held: Vec<String>,
}

/// What the rollout has to do with.
pub struct Facts<'a> {
    pub pool: &'a Pool,
    pub nodes: &'a [PoolNode],
    /// A config that nodes may have, by its name.
    pub known: &'a dyn Fn(&str) -> Option<Config>,
    pub leaving: &'a dyn Fn(&str) -> Leaving,
}

struct Step {
    action: Action,
    changes: Vec<String>,
}

/// `from`: what the pool has now. Nodes that have what they shall are not in it.
pub fn of_pool(facts: &Facts<'_>, from: Option<&Rendered>, to: &Rendered) -> PoolPlan {
    let mut steps: BTreeMap<Option<&str>, Step> = BTreeMap::new();
    for node in facts.nodes {
        let has = node.current.as_deref();
        steps.entry(has).or_insert_with(|| step(has, to, facts.known));
    }
    let behind: Vec<&PoolNode> =
        facts.nodes.iter().filter(|node| node.current.as_ref() != Some(&to.name)).collect();
    let leaving: BTreeMap<&str, Leaving> =
        behind.iter().map(|node| (node.name.as_str(), (facts.leaving)(&node.name))).collect();
    let lasts = |node: &PoolNode| {
        let grace = leaving.get(node.name.as_str()).map_or(0, |leaving| leaving.grace);
        let has = node.current.as_deref();
        // One that is on its way to yet another config will have that when its turn comes.
        let action =
            steps.get(&has).map_or_else(|| step(has, to, facts.known).action, |step| step.action.clone());
        HEARD + seconds(&action, grace)
    };
    let (told, end) = order(&to.name, facts.nodes, facts.pool.pace(facts.nodes.len()), &lasts);
    let refused =
        behind.iter().any(|node| matches!(steps[&node.current.as_deref()].action, Action::Refused { .. }));
    let plan = |node: &&PoolNode| {
        let step = &steps[&node.current.as_deref()];
        let begins = told.iter().find(|told| told.node == node.name).map(|told| told.begins);
        NodePlan {
            node: node.name.clone(),
            action: step.action.clone(),
            changes: step.changes.clone(),
            // The first that is refused stops its pool.
            begins: begins.filter(|_| !refused),
            seconds: lasts(node),
        }
    };
    let mut nodes: Vec<NodePlan> = behind.iter().map(plan).collect();
    let changing =
        |plan: &NodePlan| facts.nodes.iter().any(|node| node.name == plan.node && node.is_changing());
    nodes.sort_by_cached_key(|plan| (!changing(plan), plan.begins.is_none(), plan.begins, plan.node.clone()));
    let before = from.map(|from| from.remarks.as_slice()).unwrap_or_default();
    PoolPlan {
        pool: facts.pool.name.clone(),
        from: from.map(|from| from.name.clone()),
        to: to.name.clone(),
        parts: to.parts.clone(),
        diff: from.map(|from| shown(&from.config, &to.config)).unwrap_or_default(),
        remarks: to.remarks.iter().filter(|remark| !before.contains(remark)).cloned().collect(),
        blockers: blockers(facts.nodes, &nodes, &leaving, &end),
        seconds: told.iter().map(|told: &Told| told.ends).max().unwrap_or_default(),
        nodes,
    }
}

fn step(has: Option<&str>, to: &Rendered, known: &dyn Fn(&str) -> Option<Config>) -> Step {
    let Some(old) = has.and_then(known) else {
        return Step { action: Action::Unknown, changes: Vec::new() };
    };
    match difference(&old, &to.config) {
        Ok(changes) => Step {
            action: match Demand::of(&changes) {
                Demand::Nothing => Action::Nothing,
                Demand::Units { reload, restart } => Action::Units { reload, restart },
                Demand::Reboot => Action::Reboot,
            },
            changes: changes.iter().map(ToString::to_string).collect(),
        },
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect();
            Step { action: Action::Refused { problems }, changes: Vec::new() }
        }
    }
}

/// What a node's daemon does that has `old` and shall have `new`.
///
/// # Errors
/// What a running node cannot be given.
pub fn difference(old: &Config, new: &Config) -> Result<Vec<Change>, Vec<Problem>> {
    changes(&Kept::of(old)?, &Kept::of(new)?)
}

fn shown(old: &Config, new: &Config) -> Vec<String> {
    diff(old, new).iter().map(ToString::to_string).collect()
}

fn seconds(action: &Action, grace: u64) -> u64 {
    match action {
        Action::Nothing => APPLIED,
        Action::Units { .. } => APPLIED + RESTARTED,
        // Two looks at the pods at least.
        Action::Reboot | Action::Unknown => APPLIED + 2 * RHYTHM + grace + BOOTED,
        Action::Refused { .. } => 0,
    }
}

fn blockers(
    nodes: &[PoolNode],
    plans: &[NodePlan],
    leaving: &BTreeMap<&str, Leaving>,
    end: &Next,
) -> Vec<String> {
    let mut all = Vec::new();
    match end {
        Next::Paused if !plans.is_empty() => {
            all.push("the pool is paused: no node is told; set spec.paused to false".to_owned());
        }
        Next::Stopped { node, reason } => {
            all.push(format!("{node} could not have this config, and no other node is tried: {reason}"));
        }
        Next::Waiting(names) => all.extend(names.iter().map(|name| {
            let node = nodes.iter().find(|node| node.name == *name);
            format!("{name} {}: as many as may be are away", node.map_or("is away", why_away))
        })),
        Next::Tell(_) | Next::Nothing | Next::Paused => {}
    }
    for plan in plans {
        if let Action::Refused { problems } = &plan.action {
            all.push(format!("{} cannot have it: {}", plan.node, problems.join("; ")));
        }
        if matches!(plan.action, Action::Reboot | Action::Unknown) {
            let held = leaving.get(plan.node.as_str()).map(|leaving| leaving.held.as_slice());
            all.extend(held.unwrap_or_default().iter().map(|pod| format!("{}: {pod}", plan.node)));
        }
    }
    all
}

fn why_away(node: &PoolNode) -> &'static str {
    if node.current.is_none() {
        "has not said yet what config it has"
    } else if !node.ready {
        "is not Ready"
    } else if !node.schedulable {
        "takes no pods (it is cordoned)"
    } else {
        "is being changed"
    }
}
