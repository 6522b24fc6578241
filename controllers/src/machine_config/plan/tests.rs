//! Plans of small clusters.

use serde_json::json;

use super::*;
use crate::machine_config::membership::tests::custom;
use crate::machine_config::tests::{chrony, cluster};
use ashlar_model::machine_config::{CURRENT_CONFIG, KIND, ROLE_LABEL};

fn config(name: &str, role: &str, mut ignition: Value) -> Value {
    ignition["ignition"] = json!({"version": "3.5.0"});
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "labels": {ROLE_LABEL: role}},
        "spec": {"config": ignition},
    })
}

fn file(path: &str) -> Value {
    json!({"storage": {"files": [{"path": path, "contents": {"source": "data:,hush"}}]}})
}

/// Three masters and these workers, each with what its pool has now.
fn view(workers: &[&str]) -> View {
    let masters = ["master-1", "master-2", "master-3"];
    let now = |role: Role| render(&cluster(), &Pool::of_role(role), &[]).expect("valid").name;
    let node = |name: &&str, role: Role| -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {format!("node-role.kubernetes.io/{}", role.as_str()): ""},
                "annotations": {CURRENT_CONFIG: now(role), "machineconfiguration.openshift.io/state": "Done"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .expect("a node")
    };
    let nodes = masters.iter().map(|name| node(name, Role::Master));
    View {
        cluster: cluster(),
        roles: masters
            .iter()
            .map(|name| (name.to_string(), Role::Master))
            .chain(workers.iter().map(|name| (name.to_string(), Role::Worker)))
            .collect(),
        nodes: nodes.chain(workers.iter().map(|name| node(name, Role::Worker))).collect(),
        pools: [Role::Master, Role::Worker].map(crate::machine_config::objects::pool).into(),
        configs: BTreeMap::new(),
        pods: Vec::new(),
        budgets: Vec::new(),
    }
}

fn apply(objects: &[Value]) -> Wanted {
    Wanted { apply: objects.to_vec(), delete: Vec::new() }
}

fn only(plan: Plan) -> PoolPlan {
    assert_eq!(plan.pools.len(), 1, "{plan}");
    plan.pools.into_iter().next().expect("one")
}

#[test]
fn the_chrony_case_restarts_chrony_on_one_worker_after_the_other_and_hides_contents() {
    let plan = plan(&view(&["worker-1", "worker-2"]), &apply(&[chrony().to_object()])).expect("a plan");
    let text = plan.to_string();
    assert!(!text.contains("ntp2.bank.ch"), "{text}");
    let pool = only(plan);
    assert_eq!(pool.parts, ["00-worker", "99-worker-custom-chrony"]);
    let names: Vec<&str> = pool.nodes.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(names, ["worker-1", "worker-2"]);
    let units = Action::Units { reload: vec![], restart: vec!["chrony.service".into()] };
    assert!(pool.nodes.iter().all(|node| node.action == units), "{pool}");
    assert_eq!(pool.nodes[0].changes, ["+ /etc/chrony.conf", "+ /etc/chrony/chrony.conf"]);
    assert_eq!(pool.nodes[0].begins, Some(0));
    assert!(pool.nodes[1].begins >= Some(pool.nodes[0].seconds), "one at a time: {pool}");
    assert!(pool.blockers.is_empty());
}

#[test]
fn a_node_that_is_on_its_way_to_another_config_gets_this_one_afterwards() {
    let mut view = view(&["worker-1", "worker-2"]);
    let asked = ("machineconfiguration.openshift.io/desiredConfig", "rendered-worker-of-before");
    let working = ("machineconfiguration.openshift.io/state", "Working");
    for (name, value) in [asked, working] {
        let annotations = view.nodes[3].metadata.annotations.get_or_insert_default();
        annotations.insert(name.to_owned(), value.to_owned());
    }
    let pool = only(plan(&view, &apply(&[chrony().to_object()])).expect("a plan"));
    let begins: Vec<Option<u64>> = pool.nodes.iter().map(|node| node.begins).collect();
    assert!(begins[0] > Some(0) && begins[1] > Some(0), "its change ends first: {pool}");
}

#[test]
fn what_is_there_already_is_nothing_to_do_and_deleting_it_is_planned() {
    let mut view = view(&["worker-1"]);
    let motd = config("99-motd", "worker", file("/etc/motd"));
    let first = only(plan(&view, &apply(std::slice::from_ref(&motd))).expect("a plan"));
    view.configs.insert("99-motd".into(), motd.clone());
    let node = view.nodes.last_mut().expect("a worker");
    node.annotations_mut().insert(CURRENT_CONFIG.into(), first.to.clone());
    assert!(plan(&view, &apply(&[motd])).expect("a plan").is_empty());
    let back = plan(&view, &Wanted { delete: vec!["99-motd".into()], ..Wanted::default() });
    let back = only(back.expect("a plan"));
    assert_eq!((back.from, back.to), (Some(first.to), first.from.expect("known")));
    assert_eq!(back.nodes[0].changes, ["- /etc/motd"]);
    let gone = plan(&view, &Wanted { delete: vec!["99-none".into()], ..Wanted::default() });
    assert!(matches!(gone, Err(NoPlan::NotThere(name)) if name == "99-none"));
}

#[test]
fn disks_are_refused_by_their_field_and_an_invalid_object_by_its_own() {
    let disks = json!({"storage": {"disks": [{"device": "/dev/vdb", "wipeTable": true}]}});
    let plan_of = |value: Value| plan(&view(&["worker-1"]), &apply(&[config("99-a", "worker", value)]));
    let refused = plan_of(disks).expect("a plan");
    assert!(refused.is_refused());
    let pool = only(refused);
    assert!(pool.blockers[0].contains("storage.disks"), "{pool}");
    assert_eq!(pool.nodes[0].begins, None);
    let Err(NoPlan::Invalid(invalid)) = plan_of(file("etc/motd")) else { panic!("it is invalid") };
    assert_eq!(invalid.len(), 1);
    assert_eq!(invalid[0].problem.path, "spec.config.storage.files.0.path");
    let other = plan(&view(&[]), &apply(&[json!({"kind": "ConfigMap", "metadata": {"name": "x"}})]));
    assert!(matches!(other, Err(NoPlan::Invalid(_))));
}

#[test]
fn budgets_pauses_and_nodes_that_are_away_are_in_the_way_by_name() {
    let mut view = view(&["worker-1", "worker-2"]);
    view.pods = vec![
        serde_json::from_value(json!({
            "metadata": {"name": "db-0", "namespace": "shop", "labels": {"app": "db"}},
            "spec": {"nodeName": "worker-1", "terminationGracePeriodSeconds": 77, "containers": []},
        }))
        .expect("a pod"),
    ];
    view.budgets = vec![
        serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "db"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
        }))
        .expect("a budget"),
    ];
    let wanted = apply(&[config("99-a", "worker", json!({"kernelArguments": {"shouldExist": ["quiet"]}}))]);
    let pool = only(plan(&view, &wanted).expect("a plan"));
    assert_eq!(pool.nodes[0].action, Action::Reboot);
    assert_eq!(pool.nodes[0].seconds - pool.nodes[1].seconds, 77, "the pod's time to end counts");
    let held = "worker-1: pod shop/db-0 cannot leave now: the budget db allows no disruption";
    assert_eq!(pool.blockers, [held]);
    let worker = view.nodes.last_mut().expect("a worker");
    worker.spec.get_or_insert_default().unschedulable = Some(true);
    let pool = only(plan(&view, &wanted).expect("a plan"));
    assert!(pool.blockers[0].starts_with("worker-2 takes no pods"), "{pool}");
    assert!(pool.nodes.iter().all(|node| node.begins.is_none()));
    view.pools[1].spec.paused = Some(true);
    let pool = only(plan(&view, &wanted).expect("a plan"));
    assert!(pool.blockers[0].contains("paused"), "{pool}");
}

#[test]
fn a_pool_of_the_users_takes_its_workers_over_and_a_config_of_none_is_remarked_on() {
    let mut view = view(&["worker-1", "worker-2"]);
    view.nodes[3].labels_mut().insert("node-role.kubernetes.io/infra".into(), String::new());
    let infra = serde_json::to_value(custom("infra")).expect("JSON");
    let motd = config("99-infra-motd", "infra", file("/etc/motd"));
    let plan = plan(&view, &apply(&[infra, motd.clone()])).expect("a plan");
    assert_eq!(plan.remarks, Vec::<String>::new());
    let pool = only(plan);
    assert_eq!((pool.pool.as_str(), pool.parts.len()), ("infra", 2));
    assert!(pool.to.starts_with("rendered-infra-"));
    assert_eq!(pool.nodes.len(), 1);
    assert_eq!(pool.nodes[0].changes, ["+ /etc/motd"], "what a worker has is known");
    let alone = super::plan(&view, &apply(&[motd])).expect("a plan");
    assert!(alone.is_empty() && alone.remarks[0].contains("no pool has configs of the role infra"));
}

#[test]
fn a_program_of_another_release_plans_nothing() {
    let mut view = view(&["worker-1"]);
    let configuration = crate::machine_config::objects::Configuration {
        name: "rendered-worker-0".into(),
        source: Vec::new(),
    };
    let status = crate::machine_config::objects::PoolStatus {
        configuration: Some(configuration),
        ..Default::default()
    };
    view.pools[1].status = Some(status);
    let refused = plan(&view, &Wanted::default());
    assert!(matches!(refused, Err(NoPlan::OtherRelease { pool, .. }) if pool == "worker"));
}
