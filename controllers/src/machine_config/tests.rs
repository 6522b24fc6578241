use super::*;
use ashlar_model::bootstrap_api::{Cluster, Role};
use ashlar_model::machine_config::{MachineConfig, ROLE_LABEL, from_object, read};
use serde_json::{Value, json};

const CHRONY: &str = include_str!("../../../model/src/machine_config/chrony-case.yaml");

pub(crate) fn cluster() -> Cluster {
    Cluster {
        name: "lab".into(),
        base_domain: "example.test".into(),
        kubernetes_version: "1.35.8".into(),
        machine_network: "192.0.2.0/24".parse().expect("a network"),
        cluster_network: "10.128.0.0/14".parse().expect("a network"),
        host_prefix: 23,
        service_network: "172.30.0.0/16".parse().expect("a network"),
        api_vip: [192, 0, 2, 10].into(),
        ingress_vip: [192, 0, 2, 11].into(),
        ssh_key: None,
        ntp_servers: vec![],
        additional_trust_bundle: None,
        masters: 3,
    }
}

fn object(name: &str, role: &str, spec: Value) -> MachineConfig {
    let object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {ROLE_LABEL: role}},
        "spec": spec,
    });
    from_object(object).expect("valid")
}

fn worker(name: &str, mut config: Value) -> MachineConfig {
    config["ignition"]["version"] = "3.5.0".into();
    object(name, "worker", json!({"config": config}))
}

pub(crate) fn chrony() -> MachineConfig {
    read(CHRONY).remove(0).outcome.expect("valid")
}

fn files(rendered: &Rendered) -> Vec<String> {
    let storage = rendered.config.storage.clone().expect("storage");
    storage.files.expect("files").into_iter().map(|file| file.path).collect()
}

#[track_caller]
fn refused(config: Value, path: &str) {
    let problems = judge(&worker("99-a", config)).err().expect("refused");
    assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), [path], "{problems:?}");
}

/// The golden one: it changes only when the base config, the case or the canonical form do.
#[test]
fn the_chrony_case_is_rendered_for_workers_alone_under_a_name_that_says_its_contents() {
    let workers = render(&cluster(), &Pool::of_role(Role::Worker), &[chrony()]).expect("valid");
    let masters = render(&cluster(), &Pool::of_role(Role::Master), &[chrony()]).expect("valid");
    assert_eq!(workers.parts, ["00-worker", "99-worker-custom-chrony"]);
    assert_eq!(masters.parts, ["00-master"]);
    assert_eq!(workers.name, format!("rendered-worker-{}", workers.sha256));
    assert_eq!(files(&workers), ["/etc/kubernetes/kubelet.yaml", "/etc/chrony.conf"]);
    let text = ashlar_ignition::canonical(&workers.config);
    let golden: Value = serde_json::from_str(include_str!("chrony-rendered.json")).expect("JSON");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), golden);
    // Debian's chronyd reads its file elsewhere.
    assert!(text.contains(
        r#""links":[{"overwrite":true,"path":"/etc/chrony/chrony.conf","target":"/etc/chrony.conf"}]"#
    ));
}

#[test]
fn the_name_depends_on_neither_the_order_of_reading_nor_other_pools() {
    let (a, b) = (
        worker(
            "50-a",
            json!({"storage": {"files": [{"path": "/etc/motd", "contents": {"source": "data:,a"}}]}}),
        ),
        worker(
            "60-b",
            json!({"storage": {"files": [{"path": "/etc/motd", "contents": {"source": "data:,b"}}]}}),
        ),
    );
    let master = object("70-c", "master", json!({"kernelArguments": ["quiet"]}));
    let one =
        render(&cluster(), &Pool::of_role(Role::Worker), &[a.clone(), b.clone(), master]).expect("valid");
    let other = render(&cluster(), &Pool::of_role(Role::Worker), &[b, a]).expect("valid");
    assert_eq!(one.name, other.name);
    assert_eq!(one.remarks, ["60-b changes /etc/motd of 50-a"]);
    let text = ashlar_ignition::canonical(&one.config);
    assert!(text.contains("data:,b") && !text.contains("data:,a"), "{text}");
}

#[test]
fn kernel_arguments_become_ignitions_and_replacing_the_base_is_said() {
    let config = object(
        "99-a",
        "worker",
        json!({"kernelArguments": ["nosmt", "quiet"], "config": {
            "ignition": {"version": "3.2.0"},
            "storage": {"files": [{"path": "/etc/kubernetes/kubelet.yaml", "overwrite": true, "contents": {"source": "data:,x"}}]},
        }}),
    );
    let rendered = render(&cluster(), &Pool::of_role(Role::Worker), &[config]).expect("valid");
    let arguments = rendered.config.kernel_arguments.clone().expect("arguments");
    assert_eq!(arguments.should_exist.expect("some"), ["nosmt", "quiet"]);
    assert_eq!(rendered.remarks, ["99-a changes /etc/kubernetes/kubelet.yaml of 00-worker"]);
}

#[test]
fn who_a_host_is_cannot_be_written_or_hidden() {
    let file = |path: &str| json!({"storage": {"files": [{"path": path}]}});
    for path in ["/etc/hostname", "/etc/ashlar/identity.key", "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes"]
    {
        refused(file(path), "spec.config.storage.files.0.path");
    }
    let check = worker("99-a", file("/etc/ashlar/health.d/10-uplink"));
    judge(&check).expect("checks of the cluster's own have their place there");
    refused(file("/etc/ashlar/health.d"), "spec.config.storage.files.0.path");
    refused(
        json!({"storage": {"links": [{"path": "/etc/ashlar", "target": "/tmp"}]}}),
        "spec.config.storage.links.0.path",
    );
    refused(
        json!({"storage": {"directories": [{"path": "/etc/ashlar"}]}}),
        "spec.config.storage.directories.0.path",
    );
    refused(
        json!({"systemd": {"units": [{"name": "kubelet.service", "mask": true}]}}),
        "spec.config.systemd.units.0.mask",
    );
    for allowed in
        ["/etc/hostname.d/a", "/etc/kubernetes/kubelet.d/90-a.conf", "/etc/kubernetes/manifests/mine.yaml"]
    {
        assert!(judge(&worker("99-a", file(allowed))).is_ok(), "{allowed}");
    }
}

#[test]
fn a_config_from_elsewhere_is_refused_because_the_name_could_not_say_it() {
    let other = |member: &str, value: Value| json!({"ignition": {"config": {member: value}}});
    refused(other("merge", json!([{"source": "https://a/b"}])), "spec.config.ignition.config.merge");
    refused(other("replace", json!({"source": "https://a/b"})), "spec.config.ignition.config.replace");
}

#[test]
fn ignitions_own_rules_are_told_with_the_path_in_the_object() {
    refused(json!({"storage": {"files": [{"path": "etc/motd"}]}}), "spec.config.storage.files.0.path");
    refused(
        json!({"storage": {"files": [{"path": "/etc/motd", "contend": {}}]}}),
        "spec.config.storage.files.0.contend",
    );
    let old = object("99-a", "worker", json!({"config": {"ignition": {"version": "2.2.0"}}}));
    assert_eq!(judge(&old).err().expect("refused")[0].path, "spec.config.ignition.version");
}

#[test]
fn a_value_of_the_wrong_type_is_told_by_its_place_and_never_printed() {
    let file = |member: &str, value: Value| json!({"storage": {"files": [{"path": "/a", member: value}]}});
    for (config, path) in [
        (file("contents", json!("hush")), "spec.config.storage.files.0.contents"),
        (file("mode", json!("hush")), "spec.config.storage.files.0.mode"),
        (json!({"storage": {"files": [{"mode": 1}]}}), "spec.config.storage.files.0"),
    ] {
        let problems = judge(&worker("99-a", config)).err().expect("refused");
        assert_eq!(problems[0].path, path, "{problems:?}");
        assert!(!problems[0].to_string().contains("hush"), "{}", problems[0]);
    }
}

#[test]
fn one_bad_config_takes_its_own_pool_and_names_itself() {
    let bad = worker("99-bad", json!({"storage": {"files": [{"path": "x"}]}}));
    let pools = Pools::of(&cluster(), &[chrony(), bad]);
    assert!(pools.rendered("master").is_ok());
    let Err(NotRendered::Invalid(invalid)) = pools.rendered("worker") else { panic!("it is refused") };
    assert_eq!(invalid.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), ["99-bad"]);
    assert_eq!(Pools::default().rendered("worker").err(), Some(NotRendered::NotRead));
}

#[test]
fn the_hosts_part_is_laid_over_and_stays_out_of_the_name() {
    let rendered = render(&cluster(), &Pool::of_role(Role::Worker), &[chrony()]).expect("valid");
    let own = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [
        {"path": "/etc/hostname", "contents": {"source": "data:,worker-1"}}]}});
    let whole = for_host(&rendered, &own).expect("merged");
    assert!(whole.contains("data:,worker-1") && whole.contains("/etc/chrony.conf"));
    assert!(!ashlar_ignition::canonical(&rendered.config).contains("worker-1"));
}

/// `kubectl apply` prunes what the schema does not name: Butane's spelling must come through.
#[test]
fn the_definition_keeps_ignition_whole_and_refuses_what_has_no_effect() {
    let definitions = serde_json::to_value(objects::definitions()).expect("JSON");
    let schema = &definitions[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let config = &schema["properties"]["spec"]["properties"]["config"];
    assert_eq!(config["x-kubernetes-preserve-unknown-fields"], true, "{schema:#}");
    let rules = schema["properties"]["spec"]["x-kubernetes-validations"].as_array().expect("rules");
    assert_eq!(rules.len(), 5, "{rules:?}");
    assert!(
        schema["x-kubernetes-validations"][0]["rule"].as_str().is_some_and(|rule| rule.contains("rendered-"))
    );
    assert_eq!(definitions[0]["spec"]["names"]["shortNames"], json!(["mc"]));
    assert_eq!(definitions[1]["spec"]["names"]["shortNames"], json!(["mcp"]));
    let object: objects::MachineConfig = serde_json::from_value(chrony().to_object()).expect("an object");
    assert_eq!(from_object(serde_json::to_value(object).expect("JSON")).expect("valid"), chrony());
}

#[test]
fn a_kubelet_config_is_of_the_pools_that_it_selects() {
    let object = |pool: &str| {
        let label = format!("pools.operator.machineconfiguration.openshift.io/{pool}");
        from_object(serde_json::json!({
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "KubeletConfig",
            "metadata": {"name": "many-pods"},
            "spec": {
                "machineConfigPoolSelector": {"matchLabels": {label: ""}},
                "kubeletConfig": {"maxPods": 500},
            },
        }))
        .expect("valid")
    };
    let of = |role, object| render(&cluster(), &Pool::of_role(role), &[object]).expect("rendered").parts;
    assert_eq!(of(Role::Worker, object("worker")), ["00-worker", "KubeletConfig/many-pods"]);
    assert_eq!(of(Role::Master, object("worker")), ["00-master"]);
    assert!(crate::preview::without_pool(&object("worker")).is_none());
    let problem = crate::preview::without_pool(&object("infra")).expect("of no pool");
    assert_eq!(problem.path, "spec.machineConfigPoolSelector");
}
