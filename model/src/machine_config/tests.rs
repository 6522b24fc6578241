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
