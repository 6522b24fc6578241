//! Installs a three-master cluster on a rack through its BMCs, with crashes on the way, and checks what is left.
//!
//! `cargo test --package ashlar-tests --test install` (root; a release must be built: `ashlar release build`).

use anyhow::{Context, bail, ensure};
use ashlar_tests::power_cuts::{cuts, power_cuts};
use ashlar_tests::process::{kill_hard, wait};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;
use ashlar_tests::updates::{RESTART, updates};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MASTERS: [&str; 3] = ["master-1", "master-2", "master-3"];
const INSTALL: Duration = Duration::from_secs(900);

fn main() -> ExitCode {
    // A stray `--list` or filter of the test harness has no meaning here.
    let mut runner = Runner::new("install");
    let mut rack = None;
    runner.foundation("a rack comes up with every server off", || {
        let up = Rack::up("suite", &[])?;
        ensure!(up.status()?.iter().all(|server| server["on"] == false), "a server is on");
        rack = Some(up);
        Ok(())
    });
    let Some(rack) = rack else { return runner.end() };
    before(&mut runner, &rack);
    install(&mut runner, &rack);
    cluster(&mut runner, &rack);
    updates(&mut runner, &rack, "master-1", &MASTERS, RESTART);
    power_cuts(&mut runner, &rack, "master-1", &MASTERS, ["9.0.1", "9.0.3"], cuts(3));
    after(&mut runner, &rack);
    let ended = rack.down();
    runner
        .fact("a rack that is ended leaves nothing behind", || ended.and_then(|()| nothing_left(rack.name)));
    runner.end()
}

/// Mistakes are found before anything is touched.
fn before(runner: &mut Runner, rack: &Rack) {
    runner.fact("a wrong BMC password is refused with the host's name and nothing is touched", || {
        let path = rack.directory.join("install-config.yaml");
        let good = std::fs::read_to_string(&path)?;
        let password = rack.server("master-2")?["bmc_password"].as_str().context("a password")?.to_owned();
        std::fs::write(&path, good.replace(&format!("'{password}'"), "'wrong'"))?;
        let output = rack.ashlar(&["create", "cluster"], Duration::from_secs(120));
        std::fs::write(&path, &good)?;
        let output = output?;
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "ended with {}: {talk}", output.status);
        ensure!(talk.contains("master-2") && talk.contains("password"), "said: {talk}");
        ensure!(rack.status()?.iter().all(|server| server["on"] == false), "a server was switched on");
        Ok(())
    });
}

fn install(runner: &mut Runner, rack: &Rack) {
    for (log, seconds) in [("first.log", 6), ("second.log", 15)] {
        runner.fact("an installer that is killed leaves what the same command goes on with", || {
            let mut running = rack.start_ashlar(&["create", "cluster"], log)?;
            let end = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < end && running.try_wait()?.is_none() {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            kill_hard(&mut running)
        });
    }
    runner.foundation("one command installs the cluster", || {
        let begun = Instant::now();
        let output = rack.ashlar(&["create", "cluster"], INSTALL)?;
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{}{talk}", String::from_utf8_lossy(&output.stdout));
        ensure!(output.status.success(), "ended with {}", output.status);
        println!("the last run took {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    });
}

fn cluster(runner: &mut Runner, rack: &Rack) {
    runner.fact("three masters are Ready", || rack.expect_ready(&MASTERS));
    runner.fact("etcd has exactly the three masters", || {
        let list = rack.kubectl(&[
            "exec",
            "--namespace=kube-system",
            "etcd-master-1",
            "--",
            "etcdctl",
            "member",
            "list",
            "--write-out=json",
            "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
            "--cert=/etc/kubernetes/pki/etcd/server.crt",
            "--key=/etc/kubernetes/pki/etcd/server.key",
        ])?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        let members = list["members"].as_array().context("members")?;
        let mut names: Vec<&str> = members.iter().filter_map(|member| member["name"].as_str()).collect();
        names.sort_unstable();
        // A name ends with the number of the installation, which grows with every boot of the medium.
        let hosts: Vec<&str> =
            names.iter().map(|name| name.rsplit_once('-').map_or(*name, |(host, _)| host)).collect();
        ensure!(hosts == MASTERS, "members are {names:?}");
        ensure!(members.iter().all(|member| member["isLearner"] != true), "one is a learner still");
        Ok(())
    });
    runner.fact("the bootstrap is off and no server has a medium", || {
        ensure!(rack.server("bootstrap")?["on"] == false, "the bootstrap is on");
        for server in rack.status()? {
            ensure!(server["medium"].is_null(), "{} has {}", server["name"], server["medium"]);
        }
        Ok(())
    });
    runner.fact("the API server is ready at its address", || {
        ensure!(rack.kubectl(&["get", "--raw", "/readyz"])?.trim() == "ok");
        Ok(())
    });
    runner.fact("every container of the system is ready and none was restarted for an error", || {
        wait("every container to be ready", Duration::from_secs(60), || system_is_ready(rack))
    });
    runner.fact("a service answers from every node and names resolve", || service_answers(rack));
}

/// Static pods may begin again while the control plane forms; what the cluster itself started may not.
fn system_is_ready(rack: &Rack) -> anyhow::Result<()> {
    let pods = rack.kubectl_json(&["get", "pods", "--all-namespaces", "--output=json"])?;
    for pod in pods["items"].as_array().context("pods")? {
        let name = pod["metadata"]["name"].as_str().context("a name")?;
        let is_static = pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file";
        let containers = pod["status"]["containerStatuses"].as_array().context("containers")?;
        for container in containers {
            ensure!(container["ready"] == true, "{name} is not ready: {}", container["state"]);
            ensure!(
                is_static || container["restartCount"] == 0,
                "{name} was restarted: {}",
                container["lastState"]
            );
        }
    }
    Ok(())
}

fn service_answers(rack: &Rack) -> anyhow::Result<()> {
    let manifest = rack.with_image(include_str!("../manifests/hello.yaml"))?;
    let path = rack.directory.join("hello.yaml");
    std::fs::write(&path, manifest)?;
    rack.kubectl(&["apply", "--filename", path.to_str().context("a path in UTF-8")?])?;
    rack.kubectl(&["rollout", "status", "deployment/hello", "--timeout=90s"])?;
    let pods = rack.kubectl_json(&["get", "pods", "--selector=app=hello", "--output=json"])?;
    let pods = pods["items"].as_array().context("pods")?;
    let mut nodes: Vec<&str> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    nodes.sort_unstable();
    ensure!(nodes == MASTERS, "pods run on {nodes:?}");
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().context("a name")?;
        let path = format!(
            "/api/v1/namespaces/default/pods/{name}:8080/proxy/dial?host=hello.default.svc.cluster.local&port=80&request=hostname&protocol=http&tries=12"
        );
        wait("the service to answer by name", Duration::from_secs(30), || {
            let answer = rack.kubectl_json(&["get", "--raw", &path])?;
            let answers = answer["responses"].as_array().context("answers")?;
            ensure!(!answers.is_empty() && answer["errors"].is_null(), "asked from {name}: {answer}");
            Ok(())
        })?;
    }
    Ok(())
}

fn after(runner: &mut Runner, rack: &Rack) {
    runner.fact("a second create says at once that the cluster is there", || {
        let output = rack.ashlar(&["create", "cluster"], Duration::from_secs(30))?;
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() && talk.contains("installed already"), "{}: {talk}", output.status);
        Ok(())
    });
    runner.fact("the API answers while a master is without power", || api_without(rack, "master-1"));
    runner.fact("a master that gets its power back is Ready without help", || {
        wait("the cluster to see that master-1 is gone", Duration::from_secs(90), || {
            rack.expect_ready(&MASTERS[1..])
        })?;
        rack.power("master-1", "on")?;
        wait("master-1 to be Ready", Duration::from_secs(180), || rack.expect_ready(&MASTERS))
    });
    runner.fact("destroy leaves every server off with a disk that does not boot", || {
        let output = rack.ashlar(&["destroy", "cluster", "--yes"], Duration::from_secs(300))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for server in rack.status()? {
            ensure!(server["on"] == false, "{} is on", server["name"]);
            ensure!(server["medium"].is_null(), "{} has a medium", server["name"]);
        }
        rack.power("master-1", "on")?;
        wait("the firmware to find no bootable disk", Duration::from_secs(30), || {
            let console = rack.lab(&["console", "master-1"])?;
            let last = console.lines().rev().take(5).collect::<Vec<_>>().join("\n");
            ensure!(last.contains("no bootable"), "the console ends with {last}");
            Ok(())
        })?;
        rack.power("master-1", "cut")
    });
}

/// Cuts the power of the server that most likely holds the address, and measures how long the API is away.
fn api_without(rack: &Rack, victim: &str) -> anyhow::Result<()> {
    rack.power(victim, "cut")?;
    let cut = Instant::now();
    let mut last_refusal = None;
    let mut answered = None;
    while cut.elapsed() < Duration::from_secs(40) {
        match rack.kubectl(&["get", "--raw", "/readyz", "--request-timeout=1s"]) {
            Ok(_) => {
                answered.get_or_insert(cut.elapsed());
                if answered.is_some_and(|first| cut.elapsed() > first + Duration::from_secs(10)) {
                    break;
                }
            }
            Err(_) => {
                last_refusal = Some(cut.elapsed());
                answered = None;
            }
        }
    }
    match (answered, last_refusal) {
        (Some(_), None) => println!("the API never stopped answering"),
        (Some(_), Some(gap)) => {
            println!("the API answered again {:.1} s after the power cut", gap.as_secs_f64())
        }
        (None, _) => bail!("the API does not answer 40 s after {victim} lost power"),
    }
    Ok(())
}

/// No process, mount, loop device, namespace or control group of the rack is there.
fn nothing_left(name: &str) -> anyhow::Result<()> {
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for entry in namespaces {
        let namespace = entry.file_name().to_string_lossy().into_owned();
        ensure!(!namespace.starts_with(&format!("ashlar-{name}")), "namespace {namespace} is left");
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains(&format!("ashlar/lab/{name}")), "a mount is left: {mounts}");
    for entry in std::fs::read_dir("/sys/block")?.flatten() {
        let backing = std::fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        ensure!(!backing.contains(&format!("lab/{name}/")), "loop device of {backing} is left");
    }
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        ensure!(!command.contains(&format!("ashlar-{name}-")), "a process is left: {command}");
    }
    for controller in std::fs::read_dir("/sys/fs/cgroup")?.flatten() {
        for group in std::fs::read_dir(controller.path()).into_iter().flatten().flatten() {
            let group = group.file_name().to_string_lossy().into_owned();
            ensure!(!group.starts_with(&format!("ashlar-{name}")), "control group {group} is left");
        }
    }
    Ok(())
}
