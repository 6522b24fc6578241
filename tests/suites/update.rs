//! A cluster goes from one release to the next, Kubernetes 1.35 to 1.36: the API answers throughout, a budget holds, and
//! it goes on when the operator's command is killed.
//!
//! `cargo test --package ashlar-tests --test update` (root; a release must be built: `ashlar release build`).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use ashlar_tests::process::{self, kill_hard, random, wait};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;
use serde_json::Value;

const NODES: [&str; 5] = ["master-1", "master-2", "master-3", "worker-1", "worker-2"];
const BUDGET: &str = include_str!("../manifests/budget.yaml");
const KUBERNETES: &str = "1.36.4";
const VERSION: &str = "0.2.0";
const BUILD: Duration = Duration::from_secs(1800);
const INSTALL: Duration = Duration::from_secs(1800);
const UPDATE: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(120);
/// What clients take as an API that answers: the address moves within seconds when a master goes.
const LONGEST_GAP: f64 = 20.0;
const KUBEVIRT: &str = r#"{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "kubevirts.kubevirt.io"},
    "spec": {"group": "kubevirt.io", "scope": "Namespaced",
        "names": {"plural": "kubevirts", "singular": "kubevirt", "kind": "KubeVirt"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]}}"#;

fn main() -> ExitCode {
    let mut runner = Runner::new("update");
    let (mut rack, mut release) = (None, PathBuf::new());
    runner.foundation("a release with the next Kubernetes is built", || {
        release = build()?;
        Ok(())
    });
    runner.foundation("a cluster with two workers is installed", || {
        let up = rack.insert(Rack::up("update", &["--workers", "2"])?);
        let output = up.ashlar(&["create", "cluster"], INSTALL)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        up.expect_ready(&NODES)?;
        ensure!(kubelets(up)?.iter().all(|version| version.starts_with("v1.35.")), "{:?}", kubelets(up)?);
        apply(up, &up.with_image(BUDGET)?)?;
        wait("the deployment", SOON, || ensure_all_available(up))
    });
    let Some(rack) = rack else { return runner.end() };
    planned(&mut runner, &rack, &release);
    updated(&mut runner, &rack, &release);
    let ended = rack.down();
    runner.fact("the rack ends", || ended);
    runner.end()
}

fn planned(runner: &mut Runner, rack: &Rack, release: &Path) {
    runner.fact("a plan names what KubeVirt does not support, and changes nothing", || {
        apply(rack, KUBEVIRT)?;
        let (said, ok) = plan(rack, release)?;
        ensure!(
            !ok && said.contains("KubeVirt 1.8 is installed and supports Kubernetes up to 1.35"),
            "{said}"
        );
        let started = rack.ashlar(&["update", "start", text(release)?], SOON)?;
        ensure!(!started.status.success(), "the update was begun");
        rack.kubectl(&["delete", "crd", "kubevirts.kubevirt.io"])?;
        ensure!(update(rack).is_err(), "there is a ClusterUpdate");
        Ok(())
    });
    runner.foundation("a plan shows the steps in their order, and nothing speaks against it", || {
        let (said, ok) = wait("the plan", SOON, || {
            let (said, ok) = plan(rack, release)?;
            ensure!(ok, "{said}");
            Ok((said, ok))
        })?;
        println!("{said}");
        ensure!(ok && said.contains("1.35.8 to 1.36.4"), "{said}");
        Ok(())
    });
}

fn updated(runner: &mut Runner, rack: &Rack, release: &Path) {
    let mut sampler = None;
    runner.foundation(
        "the operator's command is killed in the midst, and goes on when it is started again",
        || {
            sampler = Some(Sampler::start(rack)?);
            let mut first = rack.start_ashlar(&["update", "start", text(release)?], "update-1.log")?;
            wait("the update to be begun", SOON, || update(rack).map(drop))?;
            std::thread::park_timeout(Duration::from_millis(random(500..4_000)?));
            kill_hard(&mut first)?;
            let second = rack.ashlar(&["update", "start", text(release)?], BUILD)?;
            let said = String::from_utf8_lossy(&second.stderr).into_owned();
            ensure!(second.status.success() && said.contains("goes on without this computer"), "{said}");
            Ok(())
        },
    );
    runner.foundation("every node gets the release, and a workload is never below its budget", || {
        let (mut least, mut most_away, mut said) = (u64::MAX, 0, String::new());
        wait("the update", UPDATE, || {
            // An API server that is asked while a connection breaks says nothing of the deployment.
            if let Ok(count) = available(rack) {
                least = least.min(count);
            }
            if let Ok(away) = rack.away() {
                most_away = most_away.max(away);
            }
            let update = update(rack)?;
            let line = format!("{}: {}", update["status"]["phase"], update["status"]["waiting"]);
            if line != said {
                println!("{line}");
                said = line;
            }
            ensure!(update["status"]["phase"] == "Finished", "{}", update["status"]);
            Ok(())
        })?;
        println!("at least {least} of 2 pods available, at most {most_away} of 5 nodes away");
        ensure!(least >= 1 && most_away == 1, "{least} pods, {most_away} nodes away");
        Ok(())
    });
    runner.fact("the API answered throughout", || {
        let longest = sampler.take().context("it was not begun")?.end()?;
        println!("longest time without an answer of the API: {longest:.1} s");
        ensure!(longest < LONGEST_GAP, "{longest:.1} s");
        Ok(())
    });
    runner.fact("kubelets, control plane and add-ons are of the release", || {
        wait("all nodes", SOON, || rack.expect_ready(&NODES))?;
        let wanted = format!("v{KUBERNETES}");
        ensure!(kubelets(rack)?.iter().all(|version| *version == wanted), "{:?}", kubelets(rack)?);
        for node in NODES {
            let status: Value = serde_json::from_str(&rack.ssh(node, "ashlar node os status --json")?)?;
            let all = status["deployments"].as_array().context("deployments")?;
            let running = all.iter().find(|one| one["booted"] == true).context("one that runs")?;
            ensure!(running["version"] == VERSION, "{node} runs {running}");
        }
        let pods = rack.kubectl_json(&["get", "pods", "-n", "kube-system", "--output=json"])?;
        let mut seen = 0;
        for pod in pods["items"].as_array().context("pods")? {
            let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            if image.contains("/kube-") {
                ensure!(image.ends_with(KUBERNETES), "{} has {image}", pod["metadata"]["name"]);
                seen += 1;
            }
        }
        ensure!(seen == 3 * 3 + 5, "{seen} pods of Kubernetes");
        let output = rack.ashlar(&["update", "status"], SOON)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{said}");
        ensure!(said.contains("has finished"), "{said}");
        wait("the deployment", SOON, || ensure_all_available(rack))
    });
    runner.fact("there is no way back to the release before", || {
        let before = process::run(Command::new(rack.program()).args(["release", "show"]), SOON)?;
        let before = before.lines().next().context("a directory")?.to_owned();
        let (said, ok) = plan(rack, Path::new(&before))?;
        ensure!(!ok && said.contains("is older than 1.36.4"), "{said}");
        Ok(())
    });
}

/// Asks the API at its address five times a second and keeps when it answered.
struct Sampler {
    child: Child,
    answers: PathBuf,
    stop: PathBuf,
}

impl Sampler {
    fn start(rack: &Rack) -> anyhow::Result<Self> {
        let (answers, stop) = (rack.directory.join("answers"), rack.directory.join("stop"));
        let line = format!(
            "while [ ! -e {stop} ]; do \
             curl -sk -m 2 -o /dev/null -f https://192.168.126.100:6443/readyz && date +%s.%N >> {answers}; \
             sleep 0.2; done",
            stop = text(&stop)?,
            answers = text(&answers)?
        );
        let mut command = rack.exec_command(&["sh", "-c", &line]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, answers, stop })
    }

    /// The longest time between two answers, in seconds.
    fn end(mut self) -> anyhow::Result<f64> {
        std::fs::write(&self.stop, "")?;
        self.child.wait()?;
        let text = std::fs::read_to_string(&self.answers)?;
        let times: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        ensure!(times.len() > 100, "only {} answers", times.len());
        Ok(times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max))
    }
}

fn build() -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
    let mut command = Command::new(ashlar_tests::rack::program()?);
    command.args(["release", "build", "--kubernetes", KUBERNETES, "--release-version", VERSION]);
    command.args(["--compression", "3", "--source"]).arg(source);
    Ok(PathBuf::from(process::run(&mut command, BUILD)?.trim()))
}

fn plan(rack: &Rack, release: &Path) -> anyhow::Result<(String, bool)> {
    let output = rack.ashlar(&["update", "plan", text(release)?], SOON)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((String::from_utf8_lossy(&said).into_owned(), output.status.success()))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path in UTF-8")
}

fn apply(rack: &Rack, text: &str) -> anyhow::Result<()> {
    let path = rack.directory.join("applied.yaml");
    std::fs::write(&path, text)?;
    rack.kubectl(&["apply", "-f", path.to_str().context("a path in UTF-8")?]).map(drop)
}

fn update(rack: &Rack) -> anyhow::Result<Value> {
    rack.kubectl_json(&["get", "clusterupdate", "cluster", "--output=json", "--request-timeout=5s"])
}

fn kubelets(rack: &Rack) -> anyhow::Result<Vec<String>> {
    let nodes = rack.kubectl_json(&["get", "nodes", "--output=json"])?;
    let items = nodes["items"].as_array().context("nodes")?.clone();
    let version = |node: &Value| node["status"]["nodeInfo"]["kubeletVersion"].as_str().map(ToOwned::to_owned);
    Ok(items.iter().filter_map(version).collect())
}

fn available(rack: &Rack) -> anyhow::Result<u64> {
    let deployment =
        rack.kubectl_json(&["get", "deployment", "guarded", "--output=json", "--request-timeout=5s"])?;
    Ok(deployment["status"]["availableReplicas"].as_u64().unwrap_or(0))
}

fn ensure_all_available(rack: &Rack) -> anyhow::Result<()> {
    let count = available(rack)?;
    ensure!(count == 2, "{count} of 2 pods are available");
    Ok(())
}
