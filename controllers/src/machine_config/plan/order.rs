//! Which node is told when: the rollout decides, step by step, on nodes that take the time they are expected to. Pure.

use std::collections::BTreeMap;

use ashlar_model::machine_config::NodeState;

use crate::machine_config::PoolNode;
use crate::machine_config::rollout::{self, Next, Pace};

/// How often the controllers look at the nodes, seconds.
pub const RHYTHM: u64 = 5;

/// Seconds count from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub node: String,
    pub begins: u64,
    pub ends: u64,
}

/// Who is told, in this order, and why nobody is told any more. `lasts`: the seconds that a node takes for its change.
pub fn order(
    wanted: &str,
    nodes: &[PoolNode],
    pace: Pace,
    lasts: &dyn Fn(&PoolNode) -> u64,
) -> (Vec<Told>, Next) {
    let mut nodes = nodes.to_vec();
    // What is being done already is done before long.
    let changing = nodes.iter().filter(|node| node.is_changing());
    let mut ends: BTreeMap<String, u64> = changing.map(|node| (node.name.clone(), lasts(node))).collect();
    let (mut told, mut now) = (Vec::new(), 0);
    loop {
        for node in &mut nodes {
            if ends.get(&node.name).is_some_and(|end| *end <= now) {
                ends.remove(&node.name);
                finish(node);
            }
        }
        match (rollout::next(wanted, &nodes, pace), ends.values().min()) {
            (Next::Tell(names), _) => {
                for node in nodes.iter_mut().filter(|node| names.contains(&node.name)) {
                    let end = now + lasts(node);
                    told.push(Told { node: node.name.clone(), begins: now, ends: end });
                    ends.insert(node.name.clone(), end);
                    node.asked = Some(wanted.to_owned());
                    node.state = Some(NodeState::Working);
                }
                now += RHYTHM;
            }
            (_, Some(end)) => now = end.next_multiple_of(RHYTHM).max(now + RHYTHM),
            (end, None) => return (told, end),
        }
    }
}

fn finish(node: &mut PoolNode) {
    node.current.clone_from(&node.asked);
    node.state = Some(NodeState::Done);
    node.ready = true;
    node.schedulable = true;
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
