//! What the API server is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use ashlar_model::bootstrap_api::Role;

use super::*;
use crate::machine_config::Pool;
use crate::machine_config::membership::tests::custom;
use crate::machine_config::objects;
use crate::machine_config::tests::{chrony, cluster};

fn config(role: &str, ignition: &Value) -> Value {
    let mut ignition = ignition.clone();
    ignition["ignition"] = json!({"version": "3.5.0"});
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": "99-a", "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": {"config": ignition},
    })
}

fn pools() -> Pools {
    let pools = Pools::of(&cluster(), &[chrony()]);
    let members = [("worker-1", "worker"), ("worker-2", "infra")];
    let members = members.map(|(host, pool)| (host.to_owned(), pool.to_owned()));
    pools.replace(Pool::all(&[custom("infra"), custom("empty")]), BTreeMap::from(members));
    pools
}

fn judged(kind: &str, object: Option<Value>, old: Option<Value>) -> Verdict {
    let either = object.as_ref().or(old.as_ref());
    let name = either.and_then(|object| object["metadata"]["name"].as_str()).unwrap_or_default().to_owned();
    verdict(&Review { kind, name: &name, object, old }, pools().known().as_ref())
}

fn paths(verdict: &Verdict) -> Vec<&str> {
    verdict.problems.iter().map(|problem| problem.path.as_str()).collect()
}

#[test]
fn an_invalid_config_is_refused_with_all_its_problems() {
    let files = json!({"storage": {"files": [{"path": "etc/motd"}, {"path": "/etc/hostname"}]}});
    let refused = judged("MachineConfig", Some(config("worker", &files)), None);
    assert_eq!(paths(&refused), ["spec.config.storage.files.0.path", "spec.config.storage.files.1.path"]);
    let good = judged("MachineConfig", Some(chrony().to_object()), None);
    assert_eq!(good, Verdict::default());
}

#[test]
fn what_a_running_node_can_never_follow_is_refused_and_what_an_install_changes_is_warned_of() {
    let file = json!({"path": "/etc/a", "contents": {"source": "https://example.test/a"}});
    let remote =
        judged("MachineConfig", Some(config("worker", &json!({"storage": {"files": [file]}}))), None);
    assert_eq!(paths(&remote), ["spec.config.storage[/etc/a]"]);
    let disks = json!({"storage": {"disks": [{"device": "/dev/vdb", "wipeTable": true}]}});
    let warned = judged("MachineConfig", Some(config("worker", &disks)), None);
    assert!(warned.problems.is_empty(), "hosts that are installed later may have it");
    assert_eq!(warned.warnings.len(), 2, "worker and infra have nodes: {warned:?}");
    assert!(warned.warnings[0].contains("spec.config.storage.disks"), "{warned:?}");
    assert!(judged("MachineConfig", Some(config("master", &disks)), None).warnings.is_empty());
}

#[test]
fn a_role_without_a_pool_is_warned_of() {
    let nowhere = judged("MachineConfig", Some(config("storage", &json!({}))), None);
    assert!(nowhere.problems.is_empty() && nowhere.warnings[0].contains("role storage"), "{nowhere:?}");
    assert_eq!(judged("MachineConfig", Some(config("infra", &json!({}))), None), Verdict::default());
}

#[test]
fn a_bad_object_that_is_there_can_lose_its_finalizers() {
    let bad = config("worker", &json!({"storage": {"files": [{"path": "etc/motd"}]}}));
    let mut new = bad.clone();
    new["metadata"]["finalizers"] = json!([]);
    assert_eq!(judged("MachineConfig", Some(new.clone()), Some(bad.clone())), Verdict::default());
    new["spec"]["kernelArguments"] = json!(["quiet"]);
    assert_eq!(judged("MachineConfig", Some(new), Some(bad)).problems.len(), 1);
}

#[test]
fn pools_with_nodes_stay_and_those_of_the_installer_as_they_are() {
    let gone = |name: &str| judged("MachineConfigPool", None, Some(json!({"metadata": {"name": name}})));
    assert!(gone("infra").problems[0].to_string().contains("worker-2"));
    assert!(gone("empty").problems.is_empty());
    assert_eq!(gone("master").problems.len(), 1);
    let old = json!(objects::pool(Role::Worker));
    let mut new = old.clone();
    new["spec"]["maxUnavailable"] = "120%".into();
    new["spec"]["nodeSelector"] = json!({"matchLabels": {"a": "b"}});
    let refused = judged("MachineConfigPool", Some(new), Some(old.clone()));
    assert_eq!(paths(&refused), ["spec.maxUnavailable", "spec.nodeSelector"]);
    let mut paused = old.clone();
    paused["spec"]["paused"] = true.into();
    paused["spec"]["maxUnavailable"] = "20%".into();
    assert_eq!(judged("MachineConfigPool", Some(paused), Some(old)), Verdict::default());
}

/// Over TLS, as an API server does it, with the authority that it is told.
#[tokio::test]
async fn the_api_server_is_answered_with_every_field_and_trusts_what_it_was_told() {
    let authority = ashlar_pki::authority("test CA").expect("an authority");
    let told = registration(&authority.certificate_pem);
    let bundle = told["webhooks"][0]["clientConfig"]["caBundle"].as_str().expect("a bundle");
    let bundle = base64::engine::general_purpose::STANDARD.decode(bundle).expect("base64");
    let url = told["webhooks"][0]["clientConfig"]["url"].as_str().expect("an address").to_owned();
    assert!(url.starts_with("https://127.0.0.1:"));
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(serve_at(listener, authority, pools(), stop.clone()));
    let pem = String::from_utf8(bundle).expect("PEM");
    let client = tls::http_client(&pem, None, Duration::from_secs(5)).expect("a client");
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "name": "99-a", "operation": "CREATE", "userInfo": {},
            "kind": {"group": GROUP, "version": "v1", "kind": "MachineConfig"},
            "resource": {"group": GROUP, "version": "v1", "resource": "machineconfigs"},
            "object": config("worker", &json!({"storage": {"files": [{"path": "etc/motd"}]}})),
            "oldObject": null,
        },
    });
    let answer = client.post(format!("https://{address}/validate")).json(&review).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    stop.cancel();
    server.await.expect("no panic").expect("served");
    let response = &answer["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("u-1"), &json!(false)), "{answer}");
    let message = response["status"]["message"].as_str().expect("a message");
    assert!(
        message.starts_with("99-a: spec.config.storage.files.0.path: must be an absolute path"),
        "{message}"
    );
    assert_eq!(response["status"]["code"], 422);
    let cause = &response["status"]["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.config.storage.files.0.path");
    assert!(cause["message"].as_str().is_some_and(|message| message.starts_with("must be")), "{cause}");
}

#[test]
fn only_our_own_kinds_are_asked_about_and_an_outage_blocks_nobody() {
    let registration = registration("PEM");
    let webhook = &registration["webhooks"][0];
    assert_eq!(webhook["failurePolicy"], "Ignore");
    let rules = webhook["rules"].as_array().expect("rules");
    assert!(rules.iter().all(|rule| rule["apiGroups"] == json!([GROUP])));
    serde_json::from_value::<ValidatingWebhookConfiguration>(registration).expect("the API's form");
}
