//! Machine configs on a cluster that runs: what an administrator applies reaches the nodes of its pool, one after the
//! other, with as little disruption as it takes; what a node cannot have is left again; deleting it brings back what was.
//!
//! chrony does not run in containers, which have their host's clock: that it is restarted is not seen here.
//!
//! `cargo test --package ashlar-tests --test machine_configs` (root; a release must be built: `ashlar release build`).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ashlar_tests::process::{self, random, wait};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;
use serde_json::{Value, json};

const NODES: [&str; 5] = ["master-1", "master-2", "master-3", "worker-1", "worker-2"];
const WORKERS: [&str; 2] = ["worker-1", "worker-2"];
/// The configuration of the administrator's handbook, as it is.
const CHRONY: &str = include_str!("../../model/src/machine_config/chrony-case.yaml");
const BUDGET: &str = include_str!("../manifests/budget.yaml");
const ROLLOUT: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(60);
const AUTHORITY: &str = include_str!("../manifests/authority.pem");
const ROLE: &str = "machineconfiguration.openshift.io/role";
const BROKEN: &str = "[Service]\nExecStart=\nExecStart=/bin/false\n";

fn main() -> ExitCode {
    let mut runner = Runner::new("machine_configs");
    let mut rack = None;
    runner.foundation("a cluster with two workers is installed", || {
        let up = rack.insert(Rack::up("mc", &["--workers", "2"])?);
        let output = up.ashlar(&["create", "cluster"], Duration::from_secs(900))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        up.expect_ready(&NODES)
    });
    let Some(rack) = rack else { return runner.end() };
    runner.foundation("every node has the config that its pool shall have, and says so", || {
        wait("both pools", SOON, || ["master", "worker"].iter().try_for_each(|pool| updated(&rack, pool)))
    });
    previewed(&mut runner, &rack);
    judged(&mut runner, &rack);
    own_pool(&mut runner, &rack);
    without_restart(&mut runner, &rack);
    with_restart(&mut runner, &rack);
    refused(&mut runner, &rack);
    checked(&mut runner, &rack);
    undone(&mut runner, &rack);
    let ended = rack.down();
    runner.fact("the rack ends", || ended);
    runner.end()
}

fn previewed(runner: &mut Runner, rack: &Rack) {
    runner.fact("what is planned is what happens, and then there is nothing to do", || {
        let text = machine_config("50-worker-motd", &motd());
        let (code, planned) = plan(rack, Some(&text), &[])?;
        let worker = &planned["pools"][0];
        ensure!(
            code == 4 && worker["pool"] == "worker" && planned["pools"][1].is_null(),
            "{code}: {planned}"
        );
        let nodes: Vec<&str> = worker["nodes"]
            .as_array()
            .context("nodes")?
            .iter()
            .filter(|node| node["action"] == "nothing" && node["changes"] == json!(["+ /etc/motd"]))
            .filter_map(|node| node["node"].as_str())
            .collect();
        ensure!(nodes == WORKERS, "{worker}");
        apply(rack, &text)?;
        wait("the pool", ROLLOUT, || updated_with(rack, "worker", "50-worker-motd"))?;
        let has = pool(rack, "worker")?["status"]["configuration"]["name"].clone();
        ensure!(has == worker["to"], "{has} instead of {}", worker["to"]);
        let (code, planned) = plan(rack, Some(&text), &[])?;
        ensure!(code == 0, "{code}: {planned}");
        let (code, planned) = plan(rack, None, &["--delete", "50-worker-motd"])?;
        ensure!(code == 4 && planned["pools"][0]["from"] == has, "{code}: {planned}");
        delete(rack, "50-worker-motd")?;
        wait("the pool", ROLLOUT, || {
            ensure!(sources(rack, "worker")? == ["00-worker"]);
            updated(rack, "worker")
        })
    });
}

fn judged(runner: &mut Runner, rack: &Rack) {
    runner.fact("kubectl apply refuses an invalid config with its field, and warns of one of no pool", || {
        let file = |path: &str| json!({"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": path}]}}});
        let (applied, said) = try_apply(rack, &machine_config("50-worker-bad", &file("etc/motd")))?;
        println!("{}", said.trim());
        ensure!(!applied && said.contains("spec.config.storage.files.0.path: must be an absolute path"), "{said}");
        let nowhere = machine_config("50-nowhere", &file("/etc/a")).replace("\"worker\"", "\"nowhere\"");
        let (applied, said) = try_apply(rack, &nowhere)?;
        ensure!(applied && said.contains("no pool has configs of the role nowhere"), "{said}");
        delete(rack, "50-nowhere")
    });
}

fn own_pool(runner: &mut Runner, rack: &Rack) {
    let label =
        |role: &str| rack.kubectl(&["label", "node", "worker-2", &format!("node-role.kubernetes.io/{role}")]);
    runner.fact(
        "a pool of the user's takes over the workers with its label, and stays while it has one",
        || {
            apply(rack, &custom_pool("infra"))?;
            apply(rack, &machine_config("50-infra-motd", &motd()).replace("\"worker\"", "\"infra\""))?;
            label("infra=")?;
            wait("the pool", ROLLOUT, || {
                ensure!(pool(rack, "infra")?["status"]["machineCount"] == 1);
                updated_with(rack, "infra", "50-infra-motd")
            })?;
            rack.ssh("worker-2", "grep infrastructure /etc/motd")?;
            rack.ssh("worker-1", "! grep infrastructure /etc/motd")?;
            wait("the other pool", SOON, || updated(rack, "worker"))?;
            let refused =
                rack.kubectl(&["delete", "machineconfigpool", "infra"]).err().context("it was deleted")?;
            ensure!(refused.to_string().contains("worker-2"), "{refused}");
            Ok(())
        },
    );
    runner.fact("a node of two pools stays as it is, and both name it and each other", || {
        apply(rack, &custom_pool("storage"))?;
        label("storage=")?;
        for name in ["infra", "storage"] {
            let message = wait("the pool to say it", SOON, || degraded_pool(rack, name))?;
            ensure!(message.contains("worker-2 is in the pools infra and storage"), "{message}");
        }
        rack.ssh("worker-2", "grep infrastructure /etc/motd")?;
        label("storage-")?;
        wait("the pool", ROLLOUT, || updated(rack, "infra"))
    });
    runner.fact("without the label the node is a worker again, and the pool can go", || {
        label("infra-")?;
        wait("the pool", ROLLOUT, || {
            ensure!(pool(rack, "worker")?["status"]["machineCount"] == 2);
            updated(rack, "worker")
        })?;
        rack.ssh("worker-2", "! grep infrastructure /etc/motd")?;
        delete(rack, "50-infra-motd")?;
        let end = ["delete", "machineconfigpool", "--ignore-not-found", "infra", "storage"];
        wait("the end of both", SOON, || rack.kubectl(&end)).map(drop)
    });
}

fn custom_pool(name: &str) -> String {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfigPool",
        "metadata": {"name": name},
        "spec": {
            "machineConfigSelector": {"matchExpressions": [
                {"key": ROLE, "operator": "In", "values": ["worker", name]}
            ]},
            "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
        },
    })
    .to_string()
}

fn motd() -> Value {
    json!({"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [
        {"path": "/etc/motd", "overwrite": true, "contents": {"source": "data:,infrastructure%0A"}}
    ]}}})
}

/// `ashlar plan machine-config`: its exit code, and what it prints.
fn plan(rack: &Rack, text: Option<&str>, options: &[&str]) -> anyhow::Result<(i32, Value)> {
    let path = rack.directory.join("planned.yaml");
    let mut arguments = vec!["--output", "json", "plan", "machine-config"];
    if let Some(text) = text {
        std::fs::write(&path, text)?;
        arguments.extend(["-f", path.to_str().context("a path in UTF-8")?]);
    }
    arguments.extend(options);
    let output = rack.ashlar(&arguments, SOON)?;
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    let planned =
        serde_json::from_slice(&output.stdout).with_context(|| format!("understanding the plan: {talk}"))?;
    Ok((output.status.code().context("an exit code")?, planned))
}

/// Whether it was taken, and what was said.
fn try_apply(rack: &Rack, text: &str) -> anyhow::Result<(bool, String)> {
    let path = rack.directory.join("tried.yaml");
    std::fs::write(&path, text)?;
    let mut command =
        rack.exec_command(&["kubectl", "apply", "-f", path.to_str().context("a path in UTF-8")?]);
    let output = process::output(&mut command, SOON)?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn without_restart(runner: &mut Runner, rack: &Rack) {
    runner.fact("chrony's file reaches the workers, no master, and nothing restarts", || {
        let before = boots(rack)?;
        apply(rack, CHRONY)?;
        wait("the pool", ROLLOUT, || updated_with(rack, "worker", "99-worker-custom-chrony"))?;
        for worker in WORKERS {
            let text = rack.ssh(worker, "cat /etc/chrony/chrony.conf")?;
            ensure!(text.contains("server"), "{worker} has {text}");
        }
        rack.ssh("master-1", "test ! -e /etc/chrony.conf")?;
        ensure!(boots(rack)? == before, "a machine was restarted");
        Ok(())
    });
    runner.fact("a unit runs on every worker, and a changed file restarts it alone", || {
        let before = boots(rack)?;
        apply(rack, &machine_config("60-worker-unit", &unit("1")))?;
        wait("the pool", ROLLOUT, || updated_with(rack, "worker", "60-worker-unit"))?;
        for worker in WORKERS {
            ensure!(rack.ssh(worker, "systemctl is-active example.service")?.trim() == "active");
        }
        let first = rack.ssh("worker-1", "systemctl show -P MainPID example.service kubelet.service")?;
        apply(rack, &machine_config("60-worker-unit", &unit("2")))?;
        wait("the new unit", ROLLOUT, || {
            let now = rack.ssh("worker-1", "systemctl show -P MainPID example.service kubelet.service")?;
            let pids = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
            let (old, new) = (pids(&first), pids(&now));
            ensure!(old[0] != new[0] && new[0] != "0" && old[1] == new[1], "{old:?} became {new:?}");
            Ok(())
        })?;
        wait("the pool", ROLLOUT, || updated(rack, "worker"))?;
        ensure!(boots(rack)? == before, "a machine was restarted");
        Ok(())
    });
    runner.fact("a kubelet's setting is refused by its field, and a good one needs no restart", || {
        let before = boots(rack)?;
        let (applied, said) = try_apply(rack, &kubelet_config(&json!({"maxpods": 123})))?;
        ensure!(!applied && said.contains("spec.kubeletConfig.maxpods"), "{said}");
        apply(rack, &kubelet_config(&json!({"maxPods": 123})))?;
        wait("the pool", ROLLOUT, || updated_with(rack, "worker", "KubeletConfig/pods"))?;
        wait("the kubelets", SOON, || {
            WORKERS.iter().try_for_each(|worker| has_room_for(rack, worker, "123"))
        })?;
        has_room_for(rack, "master-1", "110")?;
        rack.kubectl(&["delete", "kubeletconfig", "pods"])?;
        wait("the kubelets as before", ROLLOUT, || {
            updated(rack, "worker")?;
            WORKERS.iter().try_for_each(|worker| has_room_for(rack, worker, "110"))
        })?;
        ensure!(boots(rack)? == before, "a machine was restarted");
        Ok(())
    });
    runner.fact(
        "an authority is trusted, and no longer when its config has gone; that needs no restart",
        || {
            let before = boots(rack)?;
            let last = AUTHORITY.lines().rev().nth(1).context("a certificate")?;
            let trusted = format!("grep -qF {last} /etc/ssl/certs/ca-certificates.crt");
            apply(rack, &machine_config("60-worker-authority", &authority()))?;
            wait("the pool", ROLLOUT, || updated_with(rack, "worker", "60-worker-authority"))?;
            WORKERS.iter().try_for_each(|worker| rack.ssh(worker, &trusted).map(drop))?;
            delete(rack, "60-worker-authority")?;
            wait("the pool", ROLLOUT, || {
                updated(rack, "worker")?;
                WORKERS.iter().try_for_each(|worker| rack.ssh(worker, &format!("! {trusted}")).map(drop))
            })?;
            ensure!(boots(rack)? == before, "a machine was restarted");
            Ok(())
        },
    );
    runner.fact("a file that was changed by hand is healed in seconds, and it is said", || {
        rack.ssh("worker-1", "echo by hand >> /etc/chrony.conf")?;
        let began = Instant::now();
        wait("the file", SOON, || rack.ssh("worker-1", "! grep hand /etc/chrony.conf"))?;
        println!("healed after {:.1} s", began.elapsed().as_secs_f64());
        wait("the event", SOON, || {
            let events = rack.kubectl(&[
                "get",
                "events.events.k8s.io",
                "--field-selector",
                "reason=MachineConfigDrift",
            ])?;
            ensure!(events.contains("/etc/chrony.conf"), "{events}");
            Ok(())
        })
    });
}

fn with_restart(runner: &mut Runner, rack: &Rack) {
    runner.fact("a kernel argument restarts one worker after the other, and a budget holds", || {
        apply(rack, &rack.with_image(BUDGET)?)?;
        wait("the deployment", ROLLOUT, || {
            let count = available(rack)?;
            ensure!(count == 2, "{count}");
            Ok(())
        })?;
        let before = boots(rack)?;
        apply(rack, &machine_config("70-worker-argument", &json!({"kernelArguments": ["ashlar.test=1"]})))?;
        let (mut least, mut most_away) = (u64::MAX, 0);
        wait("the pool", ROLLOUT, || {
            // An API server that is asked while a connection breaks says nothing of the deployment.
            if let Ok(count) = available(rack) {
                least = least.min(count);
            }
            if let Ok(away) = rack.away() {
                most_away = most_away.max(away);
            }
            updated_with(rack, "worker", "70-worker-argument")
        })?;
        println!("at least {least} of 2 pods available, at most {most_away} of 5 nodes away");
        ensure!(least >= 1 && most_away == 1, "{least} pods, {most_away} nodes away");
        let after = boots(rack)?;
        for (node, (old, new)) in NODES.iter().zip(before.iter().zip(&after)) {
            ensure!((old != new) == node.starts_with("worker"), "{node} was restarted wrongly, or was not");
        }
        for worker in WORKERS {
            ensure!(
                rack.ssh(worker, "cat /proc/cmdline")?.contains("ashlar.test=1"),
                "{worker} lacks the argument"
            );
        }
        wait("all nodes to take pods", SOON, || rack.expect_ready(&NODES))
    });
    runner.fact("a power cut in the midst of a change: it is finished", || {
        apply(rack, &machine_config("70-worker-argument", &json!({"kernelArguments": ["ashlar.test=2"]})))?;
        let working = |rack: &Rack| -> anyhow::Result<&'static str> {
            let of = |worker: &&&str| state(rack, worker).is_ok_and(|state| state == "Working");
            WORKERS.iter().find(of).copied().context("no worker is changing")
        };
        let worker = wait("a worker to change", SOON, || working(rack))?;
        std::thread::park_timeout(Duration::from_millis(random(0..8_000)?));
        println!("power cut of {worker}");
        rack.power(worker, "cut")?;
        rack.power(worker, "on")?;
        wait("the pool", ROLLOUT, || {
            WORKERS.iter().try_for_each(|worker| {
                ensure!(rack.ssh(worker, "cat /proc/cmdline")?.contains("ashlar.test=2"), "{worker}");
                Ok(())
            })?;
            updated(rack, "worker")
        })?;
        wait("all nodes", SOON, || rack.expect_ready(&NODES))
    });
}

fn refused(runner: &mut Runner, rack: &Rack) {
    runner.fact(
        "a config that breaks the kubelet is left again by itself, and stops its pool by name",
        || {
            let dropin = json!({"config": {"ignition": {"version": "3.4.0"}, "systemd": {"units": [
                {"name": "kubelet.service", "dropins": [{"name": "99-broken.conf", "contents": BROKEN}]}
            ]}}});
            apply(rack, &machine_config("80-worker-broken", &dropin))?;
            let message = wait("the pool to stop", ROLLOUT, || degraded(rack))?;
            println!("{message}");
            ensure!(message.contains("worker-1") && message.contains("left again"), "{message}");
            rack.expect_ready(&NODES)?;
            for worker in WORKERS {
                rack.ssh(worker, "test ! -e /etc/systemd/system/kubelet.service.d/99-broken.conf")?;
            }
            ensure!(state(rack, "worker-2")? == "Done", "the second worker was tried as well");
            delete(rack, "80-worker-broken")?;
            wait("the pool", ROLLOUT, || updated(rack, "worker"))
        },
    );
    runner.fact("disks are refused with the reason, and deleting the config recovers", || {
        let disks = json!({"config": {"ignition": {"version": "3.4.0"}, "storage": {"disks": [
            {"device": "/dev/vdb", "wipeTable": true}
        ]}}});
        apply(rack, &machine_config("80-worker-disks", &disks))?;
        let message = wait("the pool to stop", ROLLOUT, || degraded(rack))?;
        ensure!(message.contains("storage.disks") && message.contains("only an install"), "{message}");
        delete(rack, "80-worker-disks")?;
        wait("the pool", ROLLOUT, || updated(rack, "worker"))
    });
    runner.fact("a stranger is not given a rendered config", || {
        let url = "https://192.168.126.100:22623/v1/rendered-config/rendered-worker-0";
        let code = rack.exec(&["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", url])?;
        ensure!(code.trim() == "401", "answered {code}");
        Ok(())
    });
}

fn checked(runner: &mut Runner, rack: &Rack) {
    runner.fact(
        "a check of the cluster's own finds a config bad, and the node leaves it and remembers",
        || {
            let path = "/etc/ashlar/health.d/10-uplink";
            let source = "data:,%23!%2Fbin%2Fsh%0Aecho%20the%20uplink%20is%20down%0Aexit%201%0A";
            let check = json!({"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [
                {"path": path, "mode": 0o755, "contents": {"source": source}}
            ]}}});
            apply(rack, &machine_config("80-worker-check", &check))?;
            let message = wait("the pool to stop", ROLLOUT, || degraded(rack))?;
            ensure!(message.contains("10-uplink") && message.contains("the uplink is down"), "{message}");
            rack.ssh("worker-1", &format!("test ! -e {path}"))?;
            let history = rack.ssh("worker-1", "sudo ashlar node config history --json")?;
            let history: Value = serde_json::from_str(&history)?;
            let last = history.as_array().and_then(|all| all.last()).context("a record")?;
            let why = last["left"].as_str().unwrap_or_default();
            ensure!(why.contains("the uplink is down"), "{last}");
            delete(rack, "80-worker-check")?;
            wait("the pool", ROLLOUT, || updated(rack, "worker"))
        },
    );
    runner.fact("what cannot be written is said before a pod has to leave", || {
        let file = json!({"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [
            {"path": "/etc/ssh", "overwrite": true, "contents": {"source": "data:,x"}}
        ]}}});
        apply(rack, &machine_config("80-worker-directory", &file))?;
        let message = wait("the pool to stop", ROLLOUT, || degraded(rack))?;
        ensure!(message.contains("/etc/ssh is a directory"), "{message}");
        let nodes = rack.kubectl_json(&["get", "nodes", "--output=json"])?;
        let cordoned = nodes["items"].as_array().into_iter().flatten();
        ensure!(
            !cordoned.into_iter().any(|node| node["spec"]["unschedulable"] == true),
            "a node was drained"
        );
        delete(rack, "80-worker-directory")?;
        wait("the pool", ROLLOUT, || updated(rack, "worker"))
    });
    runner.fact("a unit that was disabled by hand is enabled again", || {
        rack.ssh("worker-2", "sudo systemctl disable example.service")?;
        wait("the unit", 2 * SOON, || rack.ssh("worker-2", "systemctl is-enabled example.service"))?;
        Ok(())
    });
}

fn undone(runner: &mut Runner, rack: &Rack) {
    runner.fact("what is deleted leaves the nodes as they were", || {
        for name in ["99-worker-custom-chrony", "60-worker-unit", "70-worker-argument"] {
            delete(rack, name)?;
        }
        wait("the pool", ROLLOUT, || {
            let sources = sources(rack, "worker")?;
            ensure!(sources.len() == 1, "{sources:?}");
            updated(rack, "worker")
        })?;
        for worker in WORKERS {
            rack.ssh(worker, "test ! -e /etc/chrony.conf && test ! -e /etc/systemd/system/example.service")?;
            rack.ssh(worker, "cmp /etc/chrony/chrony.conf /usr/etc/chrony/chrony.conf")?;
            ensure!(
                !rack.ssh(worker, "cat /proc/cmdline")?.contains("ashlar.test"),
                "{worker} has the argument"
            );
        }
        wait("all nodes", SOON, || rack.expect_ready(&NODES))
    });
}

fn unit(text: &str) -> Value {
    json!({"config": {"ignition": {"version": "3.4.0"}, "systemd": {"units": [{
        "name": "example.service",
        "enabled": true,
        "contents": format!("[Unit]\nDescription=Example {text}\n[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"),
    }]}}})
}

fn kubelet_config(kubelet: &Value) -> String {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "KubeletConfig",
        "metadata": {"name": "pods"},
        "spec": {
            "machineConfigPoolSelector":
                {"matchLabels": {"pools.operator.machineconfiguration.openshift.io/worker": ""}},
            "kubeletConfig": kubelet,
        },
    })
    .to_string()
}

fn has_room_for(rack: &Rack, node: &str, pods: &str) -> anyhow::Result<()> {
    let found = rack.kubectl(&["get", "node", node, "--output=jsonpath={.status.capacity.pods}"])?;
    ensure!(found == pods, "{node} takes {found} pods");
    Ok(())
}

fn authority() -> Value {
    json!({"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [{
        "path": "/etc/pki/ca-trust/source/anchors/own.pem",
        "mode": 0o644,
        "contents": {"inline": AUTHORITY},
    }]}}})
}

fn machine_config(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {ROLE: "worker"}},
        "spec": spec,
    })
    .to_string()
}

fn apply(rack: &Rack, text: &str) -> anyhow::Result<()> {
    let path = rack.directory.join("applied.yaml");
    std::fs::write(&path, text)?;
    rack.kubectl(&["apply", "-f", path.to_str().context("a path in UTF-8")?]).map(drop)
}

fn delete(rack: &Rack, name: &str) -> anyhow::Result<()> {
    rack.kubectl(&["delete", "machineconfig", name]).map(drop)
}

fn pool(rack: &Rack, name: &str) -> anyhow::Result<Value> {
    rack.kubectl_json(&["get", "machineconfigpool", name, "--output=json", "--request-timeout=10s"])
}

fn condition<'a>(pool: &'a Value, kind: &str) -> anyhow::Result<&'a Value> {
    let all = pool["status"]["conditions"].as_array().context("conditions")?;
    all.iter().find(|one| one["type"] == kind).context("the condition")
}

fn updated(rack: &Rack, name: &str) -> anyhow::Result<()> {
    let pool = pool(rack, name)?;
    for (kind, wanted) in [("Updated", "True"), ("Updating", "False"), ("Degraded", "False")] {
        let found = condition(&pool, kind)?;
        ensure!(found["status"] == wanted, "{name}: {kind} is {found}");
    }
    Ok(())
}

fn updated_with(rack: &Rack, name: &str, source: &str) -> anyhow::Result<()> {
    let sources = sources(rack, name)?;
    ensure!(sources.iter().any(|one| one == source), "made of {sources:?}");
    updated(rack, name)
}

fn sources(rack: &Rack, name: &str) -> anyhow::Result<Vec<String>> {
    let pool = pool(rack, name)?;
    let list = pool["status"]["configuration"]["source"].as_array().context("sources")?.clone();
    Ok(list.iter().filter_map(|one| one["name"].as_str()).map(ToOwned::to_owned).collect())
}

fn degraded(rack: &Rack) -> anyhow::Result<String> {
    degraded_pool(rack, "worker")
}

fn degraded_pool(rack: &Rack, name: &str) -> anyhow::Result<String> {
    let pool = pool(rack, name)?;
    let found = condition(&pool, "Degraded")?;
    ensure!(found["status"] == "True", "{found}");
    Ok(found["message"].as_str().unwrap_or_default().to_owned())
}

fn state(rack: &Rack, node: &str) -> anyhow::Result<String> {
    let node = rack.kubectl_json(&["get", "node", node, "--output=json"])?;
    let state = &node["metadata"]["annotations"]["machineconfiguration.openshift.io/state"];
    Ok(state.as_str().unwrap_or_default().to_owned())
}

fn available(rack: &Rack) -> anyhow::Result<u64> {
    let deployment =
        rack.kubectl_json(&["get", "deployment", "guarded", "--output=json", "--request-timeout=5s"])?;
    deployment["status"]["availableReplicas"].as_u64().context("available replicas")
}

/// The boot of every node, in their order.
fn boots(rack: &Rack) -> anyhow::Result<Vec<String>> {
    NODES.iter().map(|node| rack.ssh(node, "cat /proc/sys/kernel/random/boot_id")).collect()
}
