//! An update of a made-up cluster: nodes do what they are told, sooner or later, and whoever decides is stopped at any
//! moment and forgets everything.

use super::*;
use proptest::prelude::*;

const PACE: Pace = Pace { masters_paused: false, workers_paused: false, max_unavailable: 1 };

fn node(name: &str, role: Role) -> NodeSeen {
    NodeSeen {
        name: name.into(),
        role,
        zone: String::new(),
        ready: true,
        schedulable: true,
        stored: role == Role::Master,
        told: None,
        answer: None,
    }
}

fn cluster() -> Vec<NodeSeen> {
    let masters = ["m1", "m2", "m3"].map(|name| node(name, Role::Master));
    let workers = ["w1", "w2"].map(|name| node(name, Role::Worker));
    masters.into_iter().chain(workers).collect()
}

fn answer(step: Step, outcome: Outcome) -> Option<Answer> {
    Some(Answer { commit: "c".into(), step, attempt: 1, outcome, message: "because".into() })
}

fn decide(nodes: &[NodeSeen], add_ons: &AddOns, stop: bool) -> Decision {
    next(&Seen { nodes, control_plane_is_well: true, add_ons: add_ons.clone(), pace: PACE, stop })
}

fn at(step: Step) -> Vec<NodeSeen> {
    cluster().into_iter().map(|node| NodeSeen { answer: answer(step, Outcome::Done), ..node }).collect()
}

#[test]
fn nothing_begins_before_every_master_has_the_content() {
    let mut nodes = cluster();
    nodes[1].stored = false;
    let decision = decide(&nodes, &AddOns::Unknown, false);
    assert_eq!((decision.phase, decision.tell.len()), (Phase::Content, 0));
    assert!(decision.waiting.contains("m2"), "{}", decision.waiting);
}

#[test]
fn api_servers_go_one_by_one_and_wait_for_whoever_is_away() {
    let mut nodes = at(Step::Fetch);
    assert_eq!(decide(&nodes, &AddOns::Unknown, false).tell, [("m1".to_owned(), Step::ApiServer)]);
    nodes[0].told = Some(Step::ApiServer);
    assert_eq!(decide(&nodes, &AddOns::Unknown, false).tell, []);
    nodes[0].answer = answer(Step::ApiServer, Outcome::Done);
    nodes[4].ready = false;
    let decision = decide(&nodes, &AddOns::Unknown, false);
    assert_eq!(decision.tell, []);
    assert!(decision.waiting.contains("w2"), "{}", decision.waiting);
}

#[test]
fn a_failure_names_its_node_and_nothing_further_begins() {
    let mut nodes = at(Step::ControlPlane);
    nodes[2].answer = answer(Step::System, Outcome::Failed);
    let decision = decide(&nodes, &AddOns::Done, false);
    assert_eq!((decision.tell.len(), decision.stopped.as_deref()), (0, Some("m3: because")));
}

#[test]
fn workers_wait_for_add_ons_and_for_all_masters() {
    let behind = AddOns::Behind("kube-proxy".into());
    let nodes = at(Step::ControlPlane);
    let decision = decide(&nodes, &behind, false);
    assert_eq!((decision.phase, decision.tell.len()), (Phase::AddOns, 0));
    assert_eq!(decide(&nodes, &AddOns::Done, false).phase, Phase::Masters);
    let mut nodes = at(Step::System);
    nodes[3].answer = answer(Step::Fetch, Outcome::Done);
    let decision = decide(&nodes, &AddOns::Done, false);
    assert_eq!((decision.phase, decision.tell), (Phase::Workers, vec![("w1".into(), Step::System)]));
}

/// What must hold at every moment.
fn check(nodes: &[NodeSeen]) -> Result<(), TestCaseError> {
    let changing = |node: &&NodeSeen| node.works() && node.told.is_some_and(|step| step > Step::Fetch);
    let masters = nodes.iter().filter(|node| node.role == Role::Master);
    prop_assert!(masters.clone().filter(changing).count() <= 1, "two masters at a time: {nodes:?}");
    let workers = nodes.iter().filter(|node| node.role == Role::Worker);
    prop_assert!(workers.filter(changing).count() <= 1, "two workers at a time: {nodes:?}");
    let kubelet_is_new = nodes.iter().any(|node| node.told == Some(Step::System));
    let old_api_server = masters.clone().any(|node| !node.has_done(Step::ApiServer));
    prop_assert!(!(kubelet_is_new && old_api_server), "a kubelet newer than an API server: {nodes:?}");
    let manager_is_new = nodes.iter().any(|node| node.told == Some(Step::ControlPlane));
    prop_assert!(!(manager_is_new && old_api_server), "a manager newer than an API server: {nodes:?}");
    Ok(())
}

proptest! {
    /// `chances` says at each moment who moves: a node, or who decides, who may be stopped after any wish it wrote.
    #[test]
    fn an_update_ends_whatever_is_interrupted(chances in proptest::collection::vec((0_usize..7, 0_usize..3), 400)) {
        let mut nodes = cluster();
        let mut add_ons = AddOns::Unknown;
        let steps = chances.into_iter().chain((0..600).map(|count| (count % 7, 2)));
        for (who, chance) in steps {
            if let Some(node) = nodes.get_mut(who) {
                // Nodes go from told to working to done, one step each time it is their turn.
                let told = node.told.filter(|step| !node.has_done(*step));
                if let Some(step) = told {
                    let works = node.answer.as_ref().is_some_and(|answer| answer.step == step);
                    node.ready = !(step == Step::System && !works && chance == 1);
                    let outcome = if works { Outcome::Done } else { Outcome::Working };
                    node.answer = answer(step, outcome);
                    node.ready |= outcome == Outcome::Done;
                }
            } else {
                let decision = decide(&nodes, &add_ons, false);
                prop_assert_eq!(&decision.stopped, &None);
                if decision.phase == Phase::AddOns && chance > 0 {
                    add_ons = AddOns::Done;
                }
                for (name, step) in decision.tell.iter().take(if chance == 0 { 1 } else { 9 }) {
                    let node = nodes.iter_mut().find(|node| node.name == *name);
                    node.expect("it was named").told = Some(*step);
                }
            }
            check(&nodes)?;
        }
        prop_assert_eq!(decide(&nodes, &add_ons, false).phase, Phase::Finished);
    }

    /// Wherever it is stopped, nothing begins; what works is waited for.
    #[test]
    fn a_stop_begins_nothing(steps in proptest::collection::vec(0_usize..4, 5)) {
        let all = [Step::Fetch, Step::ApiServer, Step::ControlPlane, Step::System];
        let mut nodes = cluster();
        for (node, step) in nodes.iter_mut().zip(steps) {
            node.answer = answer(all[step], Outcome::Done);
        }
        let decision = decide(&nodes, &AddOns::Done, true);
        prop_assert_eq!(decision.tell.len(), 0);
        prop_assert!(decision.stopped.is_some() || decision.phase == Phase::Finished);
    }
}
