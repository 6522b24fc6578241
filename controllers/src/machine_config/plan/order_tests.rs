//! What is planned is what a pool of nodes does that are told by the rollout, one look after the other.

use std::collections::BTreeMap;

use ashlar_model::machine_config::{CURRENT_CONFIG, DESIRED_CONFIG, STATE};
use k8s_openapi::api::core::v1::Node;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const WANTED: &str = "rendered-worker-new";

/// A node as the API has it, and its daemon: after so many looks it has what it was told.
#[derive(Debug, Clone)]
struct Server {
    object: Value,
    takes: u64,
    left: Option<u64>,
}

impl Server {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][name].as_str()
    }

    fn seen(&self) -> PoolNode {
        let node: Node = serde_json::from_value(self.object.clone()).expect("a node");
        PoolNode::of(&node)
    }

    fn tell(&mut self, config: &str) {
        self.object["metadata"]["annotations"][DESIRED_CONFIG] = config.into();
        self.object["metadata"]["annotations"][STATE] = "Working".into();
        self.left = Some(self.takes);
    }

    /// One look later.
    fn go_on(&mut self) {
        let Some(left) = &mut self.left else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        self.left = None;
        let desired = self.annotation(DESIRED_CONFIG).map(ToOwned::to_owned);
        self.object["metadata"]["annotations"][CURRENT_CONFIG] = json!(desired);
        self.object["metadata"]["annotations"][STATE] = "Done".into();
        self.object["status"]["conditions"][0]["status"] = "True".into();
        self.object["spec"]["unschedulable"] = false.into();
    }
}

fn server(index: usize) -> impl Strategy<Value = Server> {
    let config = prop::sample::select(vec!["rendered-worker-old", "rendered-worker-odd", WANTED]);
    let state = prop::sample::select(vec!["Done", "Done", "Done", "Working", "Degraded"]);
    let mostly = || prop::sample::select(vec![true, true, true, true, false]);
    (config.clone(), prop::option::of(config), state, mostly(), mostly(), "[ab]?", 1_u64..9).prop_map(
        move |(current, asked, state, ready, schedulable, zone, takes)| {
            let mut annotations = json!({CURRENT_CONFIG: current, STATE: state});
            if let Some(asked) = asked {
                annotations[DESIRED_CONFIG] = asked.into();
            }
            let object = json!({
                "metadata": {
                    "name": format!("n{index}"),
                    "labels": {"topology.kubernetes.io/zone": zone},
                    "annotations": annotations,
                },
                "spec": {"unschedulable": !schedulable},
                "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
            });
            let mut server = Server { object, takes, left: None };
            server.left = server.seen().is_changing().then_some(takes);
            server
        },
    )
}

fn servers() -> impl Strategy<Value = Vec<Server>> {
    (0_usize..8).prop_flat_map(|count| (0..count).map(server).collect::<Vec<_>>())
}

/// Who is told at which look, and what is said at the end.
fn happened(mut servers: Vec<Server>, pace: Pace) -> (Vec<(String, u64)>, Next) {
    let mut told = Vec::new();
    let mut look = 0;
    loop {
        let seen: Vec<PoolNode> = servers.iter().map(Server::seen).collect();
        let next = rollout::next(WANTED, &seen, pace);
        match &next {
            Next::Tell(names) => {
                for server in &mut servers {
                    let name = server.seen().name;
                    if names.contains(&name) {
                        server.tell(WANTED);
                        told.push((name, look));
                    }
                }
            }
            _ if servers.iter().all(|server| server.left.is_none()) => return (told, next),
            _ => {}
        }
        servers.iter_mut().for_each(Server::go_on);
        look += 1;
    }
}

proptest! {
    #[test]
    fn the_plan_is_what_happens(
        servers in servers(),
        max_unavailable in 0_usize..4,
        all_others_well: bool,
        paused in prop::sample::select(vec![false, false, false, true]),
    ) {
        let pace = Pace { paused, max_unavailable, all_others_well };
        let seen: Vec<PoolNode> = servers.iter().map(Server::seen).collect();
        let takes: BTreeMap<String, u64> =
            servers.iter().map(|server| (server.seen().name, server.takes * RHYTHM)).collect();
        let (planned, end) = order(WANTED, &seen, pace, &|node| takes[&node.name]);
        let planned: Vec<(String, u64)> =
            planned.into_iter().map(|told| (told.node, told.begins / RHYTHM)).collect();
        prop_assert_eq!((planned, end), happened(servers, pace));
    }

    #[test]
    fn no_node_is_told_twice_and_no_more_are_away_than_may_be(servers in servers(), most in 1_usize..4) {
        let pace = Pace { paused: false, max_unavailable: most, all_others_well: false };
        let seen: Vec<PoolNode> = servers.iter().map(Server::seen).collect();
        let (told, _) = order(WANTED, &seen, pace, &|_| 60);
        for one in &told {
            prop_assert_eq!(told.iter().filter(|other| other.node == one.node).count(), 1);
            // Those that come back from another config are not counted: they are away already.
            let recovering = |name: &str| {
                let node = seen.iter().find(|node| node.name == name).expect("a node");
                node.state == Some(NodeState::Degraded) && node.desired() != Some(WANTED)
            };
            let together = told.iter().filter(|other| {
                other.begins <= one.begins && one.begins < other.ends && !recovering(&other.node)
            });
            prop_assert!(together.count() <= most);
        }
    }
}
