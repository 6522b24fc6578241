use super::*;
use serde_json::json;

/// The case 003-02-machineconfig-99-worker-custom-chrony, unchanged.
pub(crate) const CHRONY: &str = include_str!("chrony-case.yaml");

fn problems(text: &str) -> Vec<String> {
    let documents = read(text);
    documents
        .into_iter()
        .flat_map(|document| document.outcome.err().unwrap_or_default())
        .map(|p| p.to_string())
        .collect()
}

fn with_spec(spec: &str) -> String {
    format!(
        "apiVersion: {API_VERSION}\nkind: MachineConfig\nmetadata: {{name: 99-a, labels: {{{ROLE_LABEL}: worker}}}}\nspec: {spec}\n"
    )
}

#[test]
fn the_chrony_case_is_read_with_its_octal_mode_and_inline_contents() {
    let mut documents = read(CHRONY);
    assert_eq!(documents.len(), 1);
    let config = documents.remove(0).outcome.expect("valid");
    assert_eq!((config.name.as_str(), config.role.as_str()), ("99-worker-custom-chrony", "worker"));
    let file = &config.config.expect("a config")["storage"]["files"][0];
    assert_eq!(file["mode"], 420);
    assert!(file["contents"]["inline"].as_str().is_some_and(|text| text.contains("ntp2.bank.ch iburst\n")));
}

#[test]
fn octal_modes_are_numbers_in_either_spelling_and_contents_stay_text() {
    for mode in ["0644", "0o644", "420"] {
        let text =
            with_spec(&format!("{{config: {{storage: {{files: [{{mode: {mode}, inline: 0644}}]}}}}}}"));
        let config = read(&text).remove(0).outcome.expect("valid").config.expect("a config");
        assert_eq!(config["storage"]["files"][0], json!({"mode": 420, "inline": "0644"}), "{mode}");
    }
}

#[test]
fn what_has_no_effect_is_refused_with_its_path_and_what_says_nothing_is_not() {
    let text = with_spec(
        "{fips: true, kernelType: realtime, extensions: [usbguard], osImageURL: a/b, nonsense: 1, \
         baseOSExtensionsContainerImage: c/d}",
    );
    let problems = problems(&text).join("\n");
    for path in
        ["fips", "kernelType", "extensions", "osImageURL", "nonsense", "baseOSExtensionsContainerImage"]
    {
        assert!(problems.contains(&format!("spec.{path}: ")), "{path} is missing from\n{problems}");
    }
    let nothing = "{fips: false, kernelType: default, extensions: [], osImageURL: '', config: null}";
    assert!(read(&with_spec(nothing)).remove(0).outcome.is_ok());
}

#[test]
fn names_of_the_release_and_roles_without_a_pool_are_refused() {
    let text = |name: &str, role: &str| {
        format!(
            "apiVersion: {API_VERSION}\nkind: MachineConfig\nmetadata: {{name: {name}, labels: {{{ROLE_LABEL}: {role}}}}}\nspec: {{}}\n"
        )
    };
    for name in ["00-worker", "01-worker-kubelet", "rendered-worker-1", "Upper"] {
        assert!(problems(&text(name, "worker"))[0].starts_with("metadata.name: "), "{name}");
    }
    let infra = read(&text("99-a", "infra")).remove(0).outcome.expect("a pool of the user's may have it");
    let found = without_pool(&infra, &["master", "worker"]).expect("there is none").to_string();
    assert!(found.contains("must be master or worker") && found.contains("`infra`"), "{found}");
    assert!(without_pool(&infra, &["infra"]).is_none());
    assert!(problems(&text("99-a", "''"))[0].starts_with("metadata.labels."), "a role is required");
    assert!(problems("apiVersion: v1\nkind: ConfigMap\n")[0].starts_with("kind: must be MachineConfig"));
}

#[test]
fn every_document_of_a_file_is_judged_and_a_key_stands_once() {
    let text =
        format!("{}---\n---\n{}", with_spec("{}"), with_spec("{fips: true, kernelArguments: [a b, 1]}"));
    assert_eq!(read(&text).len(), 2);
    let found = problems(&text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("spec.kernelArguments.0: must be one argument"), "{found:?}");
    assert!(problems("kind: a\nkind: b\n")[0].contains("duplicate"), "{:?}", problems("kind: a\nkind: b\n"));
}

#[test]
fn an_object_of_the_api_is_the_same_machine_config_again() {
    let config = read(CHRONY).remove(0).outcome.expect("valid");
    let mut object = config.to_object();
    object["metadata"]["uid"] = "1".into();
    object["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
    assert_eq!(from_object(object).expect("valid"), config);
}

#[test]
fn its_contents_are_never_printed() {
    let config = read(CHRONY).remove(0).outcome.expect("valid");
    assert_eq!(format!("{config:?}"), "MachineConfig(99-worker-custom-chrony for worker)");
}

fn kubelet(name: &str, spec: serde_json::Value) -> serde_json::Value {
    let mut spec = spec;
    spec["machineConfigPoolSelector"] =
        serde_json::json!({"matchLabels": {"pools.operator.machineconfiguration.openshift.io/worker": ""}});
    serde_json::json!({"apiVersion": API_VERSION, "kind": KUBELET, "metadata": {"name": name}, "spec": spec})
}

#[test]
fn a_kubelet_config_becomes_a_machine_config_with_a_drop_in_and_stays_its_object() {
    let object = kubelet(
        "many-pods",
        serde_json::json!({
            "kubeletConfig": {"maxPods": 500, "evictionHard": {"memory.available": "1Gi"}, "syncFrequency": "1m30s"},
            "logLevel": 4,
            "tlsSecurityProfile": {"type": "Modern", "modern": {}},
        }),
    );
    let made = from_object(object.clone()).expect("valid");
    assert_eq!((made.name.as_str(), made.role.as_str()), ("KubeletConfig/many-pods", ""));
    assert_eq!(made.to_object(), object);
    let file = &made.config.expect("a config")["storage"]["files"][0];
    assert_eq!(file["path"], "/etc/kubernetes/kubelet.d/50-many-pods.conf");
    let text = file["contents"]["inline"].as_str().expect("text");
    let read: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(
        read,
        serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "evictionHard": {"memory.available": "1Gi"},
            "logging": {"verbosity": 4},
            "maxPods": 500,
            "syncFrequency": "1m30s",
            "tlsMinVersion": "VersionTLS13",
        })
    );
}

#[test]
fn a_kubelet_config_is_refused_by_its_fields() {
    let refused = |spec| {
        let problems = from_object(kubelet("x", spec)).expect_err("refused");
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (field, value, rule) in [
        ("maxpods", serde_json::json!(1), "must be a field of the kubelet's configuration"),
        ("maxPods", serde_json::json!("500"), "must be a whole number, without quotes"),
        ("syncFrequency", serde_json::json!("1 minute"), "must be a duration"),
        ("syncFrequency", serde_json::json!(60), "must be a duration"),
        ("evictionHard", serde_json::json!({"memory.available": 5}), "write the values in quotes"),
        ("clusterDNS", serde_json::json!(["10.0.0.10"]), "must be left to the release"),
    ] {
        let said = refused(serde_json::json!({"kubeletConfig": {field: value}}));
        assert!(said.contains(&format!("spec.kubeletConfig.{field}: ")) && said.contains(rule), "{said}");
    }
    for (spec, path) in [
        (serde_json::json!({"autoSizingReserved": true}), "spec.autoSizingReserved"),
        (serde_json::json!({"logLevel": 11}), "spec.logLevel"),
        (serde_json::json!({"logLevel": 4, "kubeletConfig": {"logging": {"verbosity": 2}}}), "spec.logLevel"),
        (serde_json::json!({"tlsSecurityProfile": {"type": "Old"}}), "spec.tlsSecurityProfile.type"),
        (serde_json::json!({"kubletConfig": {}}), "spec.kubletConfig"),
    ] {
        let said = refused(spec);
        assert!(said.contains(path), "{said}");
    }
    let mut no_selector = kubelet("x", serde_json::json!({}));
    no_selector["spec"]["machineConfigPoolSelector"].take();
    let said = from_object(no_selector).expect_err("refused")[0].to_string();
    assert!(said.contains("without one it would have no effect"), "{said}");
}

#[test]
fn a_container_runtime_config_sets_containerd_and_the_kubelet() {
    let object = |spec: serde_json::Value| {
        let mut object = kubelet("debug", serde_json::json!({"containerRuntimeConfig": spec}));
        object["kind"] = RUNTIME.into();
        from_object(object)
    };
    let made = object(serde_json::json!({"logLevel": "debug", "pidsLimit": 2048, "logSizeMax": "64Mi"}));
    let files = made.expect("valid").config.expect("a config")["storage"]["files"].clone();
    assert_eq!(files[0]["path"], "/etc/containerd/conf.d/50-debug.toml");
    assert_eq!(files[0]["contents"]["inline"], "version = 3\n\n[debug]\nlevel = \"debug\"\n");
    assert_eq!(files[1]["path"], "/etc/kubernetes/kubelet.d/40-runtime-debug.conf");
    let kubelet = files[1]["contents"]["inline"].as_str().expect("text");
    assert!(
        kubelet.contains("\"podPidsLimit\": 2048") && kubelet.contains("\"containerLogMaxSize\": \"64Mi\"")
    );
    for (field, value) in [
        ("overlaySize", serde_json::json!("10G")),
        ("defaultRuntime", serde_json::json!("crun")),
        ("logLevel", serde_json::json!("loud")),
        ("logSizeMax", serde_json::json!("much")),
        ("pidsLimit", serde_json::json!("many")),
        ("pids", serde_json::json!(1)),
    ] {
        let said = object(serde_json::json!({field: value})).expect_err("refused")[0].to_string();
        assert!(said.starts_with(&format!("spec.containerRuntimeConfig.{field}: ")), "{said}");
    }
}
