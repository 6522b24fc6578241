//! Another release on one node of a running cluster: taken, left again, and left by itself when it does not come up.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::altered;
use crate::process::{self, kill_hard, wait};
use crate::rack::Rack;
use crate::runner::Runner;

const BUILD: Duration = Duration::from_secs(300);
/// For a container to start; a server in QEMU takes longer.
pub const RESTART: Duration = Duration::from_secs(120);
const SERVED: Duration = Duration::from_secs(30);
/// Where the administrator serves releases.
const ADDRESS: &str = "192.168.126.1:6182";
const GOOD: &str = "9.0.1";
const BROKEN: &str = "9.0.2";
/// On the node.
const ALTERED: &str = "/var/tmp/altered";
/// A kubelet that never starts.
const BROKEN_KUBELET: &str = "[Service]\nExecStart=\nExecStart=/bin/false\n";

/// `node` must be Ready, and is in the end; the cluster can do without it meanwhile.
pub fn updates(runner: &mut Runner, rack: &Rack, node: &str, nodes: &[&str], patience: Duration) {
    runner.fact(
        "a node takes the system of the next release by a delta, and nothing that was altered",
        || {
            let release = build(rack, GOOD, &[("usr/share/added", "by the next release\n")])?;
            // In a folder on the node: `release serve` does not give away what is not as signed.
            altered::manifest(rack, node, &release, ALTERED)?;
            refuses(rack, node, ALTERED, "not signed by the key")?;
            delta(rack, &release)?;
            let said = stage(rack, node, &release)?;
            ensure!(said.contains("fetched a delta of"), "said: {said}");
            restart(rack, node)?;
            wait("the node to run the next release", patience, || runs(rack, node, GOOD))?;
            ensure!(rack.ssh(node, "cat /usr/share/added")?.trim() == "by the next release");
            // Once in the repository, once in each system: a file that did not change is there once.
            let links: u32 = rack.ssh(node, "stat -c %h /usr/bin/bash")?.trim().parse()?;
            ensure!(links >= 3, "the systems do not share their files: {links} links");
            wait("the next release to be found good", patience, || says(rack, node, "was found good"))?;
            wait("the nodes to be Ready", patience, || rack.expect_ready(nodes))
        },
    );
    let broken = [("usr/lib/systemd/system/kubelet.service.d/99-broken.conf", BROKEN_KUBELET)];
    runner.fact("a system that does not come up is left after three boots", || {
        let release = build(rack, BROKEN, &broken)?;
        // Every object is right, and so is the manifest: the commit has a signature of nobody.
        serve_while(rack, &altered::signature(rack, &release)?, |url| {
            refuses(rack, node, url, "its commit is not signed by a key")
        })?;
        let said = stage(rack, node, &release)?;
        ensure!(said.contains("objects"), "said: {said}");
        restart(rack, node)?;
        for _ in 0..3 {
            wait("the node to run the broken release", patience, || runs(rack, node, BROKEN))?;
            rack.power(node, "reset")?;
        }
        wait("the node to run the release before", patience, || runs(rack, node, GOOD))?;
        says(rack, node, "not found good: the one after it is booted")?;
        says(rack, node, "was left")?;
        wait("the nodes to be Ready", patience, || rack.expect_ready(nodes))
    });
    runner.fact("the operator makes the system before the first for good", || {
        rack.ssh(node, "ashlar node os rollback")?;
        restart(rack, node)?;
        wait("the node to run the good release", patience, || runs(rack, node, GOOD))?;
        wait("it to be found good", patience, || says(rack, node, "was found good"))?;
        wait("the nodes to be Ready", patience, || rack.expect_ready(nodes))
    });
    runner.fact("a system whose kernel has no room in /boot is refused before anything is staged", || {
        let shown = rack.ssh(node, "stat --file-system --format \"%a %S\" /boot")?;
        let numbers: Vec<u64> = shown.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [blocks, size] = numbers[..] else { anyhow::bail!("stat says {shown}") };
        let filler = blocks * size - (32 << 20);
        rack.ssh(node, &format!("fallocate --length {filler} /boot/filler"))?;
        let release = build(rack, BROKEN, &broken)?;
        let refused = serve_while(rack, &release, |url| refuses(rack, node, url, "/boot has"));
        rack.ssh(node, "rm /boot/filler")?;
        refused
    });
}

/// A release with `files` added.
pub(crate) fn build(rack: &Rack, version: &str, files: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    // Files of an earlier call with this version stay: a version is one system.
    let add = rack.directory.join(format!("add-{version}"));
    std::fs::create_dir_all(&add)?;
    for (path, text) in files {
        let path = add.join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, text)?;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
    let mut command = Command::new(rack.program());
    command.args(["release", "build", "--release-version", version, "--source"]).arg(source);
    let printed = process::run(command.arg("--add").arg(&add), BUILD)?;
    Ok(PathBuf::from(printed.trim()))
}

/// From the release that the node was installed from.
fn delta(rack: &Rack, release: &Path) -> anyhow::Result<()> {
    let shown = process::run(Command::new(rack.program()).args(["release", "show"]), BUILD)?;
    let installed = shown.lines().next().context("a directory")?;
    let mut command = Command::new(rack.program());
    command.args(["release", "delta", "--from", installed]).arg(release);
    println!("{}", process::run(&mut command, BUILD)?.trim());
    Ok(())
}

fn stage(rack: &Rack, node: &str, release: &Path) -> anyhow::Result<String> {
    let said = serve_while(rack, release, |url| rack.ssh(node, &format!("ashlar node os stage {url}")))?;
    println!("{}", said.trim());
    ensure!(said.contains("is staged"), "said: {said}");
    Ok(said)
}

/// The node does not take it, and says why.
fn refuses(rack: &Rack, node: &str, from: &str, why: &str) -> anyhow::Result<()> {
    let said = rack.ssh(node, &format!("! ashlar node os stage {from} 2>&1"));
    let said = said.context("a release that was altered is taken")?;
    ensure!(said.contains(why), "said: {said}");
    let status = rack.ssh(node, "ashlar node os status")?;
    ensure!(!status.contains("staged"), "said: {status}");
    Ok(())
}

/// Serves a release while `act` runs, which gets its URL.
pub(crate) fn serve_while<T>(
    rack: &Rack,
    release: &Path,
    act: impl FnOnce(&str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut server = serve(rack, release)?;
    let done = act(&format!("http://{ADDRESS}"));
    kill_hard(&mut server)?;
    done
}

fn serve(rack: &Rack, release: &Path) -> anyhow::Result<Child> {
    let ashlar = rack.program().to_str().context("a path in UTF-8")?;
    let release = release.to_str().context("a path in UTF-8")?;
    let server = rack
        .exec_command(&[ashlar, "release", "serve", release, "--listen", ADDRESS])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("starting the release's server")?;
    let url = format!("http://{ADDRESS}/release.json");
    wait("the release to be served", SERVED, || rack.exec(&["curl", "-sf", "-o", "/dev/null", &url]))?;
    Ok(server)
}

/// As an operator does; the staged system becomes the first at the shutdown.
fn restart(rack: &Rack, node: &str) -> anyhow::Result<()> {
    rack.power(node, "off")?;
    rack.power(node, "on")
}

fn runs(rack: &Rack, node: &str, version: &str) -> anyhow::Result<()> {
    let running = running(rack, node)?;
    ensure!(running == version, "{running} runs");
    Ok(())
}

/// The version that a node runs.
pub(crate) fn running(rack: &Rack, node: &str) -> anyhow::Result<String> {
    let status = status(rack, node)?;
    let deployments = status["deployments"].as_array().context("deployments")?;
    let running = deployments.iter().find(|one| one["booted"] == true).context("one that runs")?;
    Ok(running["version"].as_str().context("a version")?.to_owned())
}

pub(crate) fn status(rack: &Rack, node: &str) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::from_str(&rack.ssh(node, "ashlar node os status --json")?)?)
}

pub(crate) fn says(rack: &Rack, node: &str, words: &str) -> anyhow::Result<()> {
    let said = rack.ssh(node, "ashlar node os status")?;
    ensure!(said.contains(words), "said: {said}");
    Ok(())
}
