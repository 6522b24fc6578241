//! Which nodes of a pool are told to have its rendered config now. Pure.

use super::PoolNode;
use ashlar_model::machine_config::NodeState;

/// How a pool goes from config to config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// No node is told anything.
    pub paused: bool,
    /// Nodes that may be away at the same time.
    pub max_unavailable: usize,
    /// None is begun unless all others are well: masters, of which a majority must stay.
    pub all_others_well: bool,
}

/// Why no further node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Tell(Vec<String>),
    Paused,
    /// Every node that can be changed is.
    Nothing,
    /// As many as may be are being changed or away: these.
    Waiting(Vec<String>),
    /// A node could not have this config: the others are not tried.
    Stopped {
        node: String,
        reason: String,
    },
}

/// In the order of zones, then names: one failure domain after the other.
pub fn next(wanted: &str, nodes: &[PoolNode], pace: Pace) -> Next {
    if pace.paused {
        return Next::Paused;
    }
    // A node that could not have another config, and has the one before, comes back first.
    let recovering: Vec<String> = nodes
        .iter()
        .filter(|node| node.state == Some(NodeState::Degraded) && node.desired() != Some(wanted))
        .map(|node| node.name.clone())
        .collect();
    if !recovering.is_empty() {
        return Next::Tell(recovering);
    }
    let failed =
        nodes.iter().find(|node| node.state == Some(NodeState::Degraded) && node.desired() == Some(wanted));
    if let Some(node) = failed {
        return Next::Stopped { node: node.name.clone(), reason: node.reason.clone() };
    }
    let mut behind: Vec<&PoolNode> = nodes.iter().filter(|node| node.desired() != Some(wanted)).collect();
    if behind.is_empty() {
        return Next::Nothing;
    }
    let away: Vec<String> =
        nodes.iter().filter(|node| node.is_away()).map(|node| node.name.clone()).collect();
    let room = if pace.all_others_well && !away.is_empty() {
        0
    } else {
        pace.max_unavailable.max(1).saturating_sub(away.len())
    };
    if room == 0 {
        return Next::Waiting(away);
    }
    behind.retain(|node| !node.is_away());
    // All that are behind are away: nobody can be told.
    if behind.is_empty() {
        return Next::Waiting(away);
    }
    behind.sort_by(|left, right| (&left.zone, &left.name).cmp(&(&right.zone, &right.name)));
    Next::Tell(behind.into_iter().take(room).map(|node| node.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { paused: false, max_unavailable: 1, all_others_well: false };

    fn node(name: &str, current: &str, desired: &str, state: NodeState) -> PoolNode {
        PoolNode {
            name: name.into(),
            zone: String::new(),
            ready: true,
            schedulable: true,
            current: Some(current.into()),
            asked: Some(desired.into()),
            state: Some(state),
            reason: "because".into(),
        }
    }

    fn tell(names: &[&str]) -> Next {
        Next::Tell(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn nodes_are_told_one_by_one_and_zone_by_zone() {
        use NodeState::{Done, Working};
        let mut nodes = vec![node("c", "1", "1", Done), node("b", "1", "1", Done), node("a", "1", "1", Done)];
        nodes[2].zone = "z".into();
        assert_eq!(next("2", &nodes, PACE), tell(&["b"]));
        nodes[1] = node("b", "1", "2", Working);
        assert_eq!(next("2", &nodes, PACE), Next::Waiting(vec!["b".into()]));
        assert_eq!(next("2", &nodes, Pace { max_unavailable: 2, ..PACE }), tell(&["c"]));
        nodes[1] = node("b", "2", "2", Done);
        assert_eq!(next("2", &nodes, PACE), tell(&["c"]));
        assert_eq!(next("2", &nodes, Pace { paused: true, ..PACE }), Next::Paused);
        let done = vec![node("a", "2", "2", Done)];
        assert_eq!(next("2", &done, PACE), Next::Nothing);
    }

    #[test]
    fn a_node_that_is_away_for_another_reason_takes_its_place_and_masters_wait_for_all() {
        use NodeState::Done;
        let mut nodes = vec![node("a", "1", "1", Done), node("b", "1", "1", Done), node("c", "1", "1", Done)];
        nodes[1].ready = false;
        assert_eq!(next("2", &nodes, PACE), Next::Waiting(vec!["b".into()]));
        assert_eq!(next("2", &nodes, Pace { max_unavailable: 2, ..PACE }), tell(&["a"]));
        let masters = Pace { max_unavailable: 2, all_others_well: true, ..PACE };
        assert_eq!(next("2", &nodes, masters), Next::Waiting(vec!["b".into()]));
    }

    #[test]
    fn a_config_that_a_node_could_not_have_stops_the_pool_and_another_one_frees_it() {
        use NodeState::{Degraded, Done};
        let nodes = [node("a", "1", "2", Degraded), node("b", "1", "1", Done)];
        let stopped = Next::Stopped { node: "a".into(), reason: "because".into() };
        assert_eq!(next("2", &nodes, PACE), stopped);
        assert_eq!(next("1", &nodes, PACE), tell(&["a"]), "the bad one was deleted");
        assert_eq!(next("3", &nodes, PACE), tell(&["a"]), "it was corrected");
    }
}
