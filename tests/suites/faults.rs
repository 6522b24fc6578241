//! What goes wrong in a datacenter, one thing after the other, on one rack: each is said with the host, its cause and
//! what to do, nothing is half-written, and in the end the same command installs the cluster after all.
//!
//! `cargo test --package ashlar-tests --test faults` (root; a release must be built: `ashlar release build`).

use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ashlar_tests::configuration::Edited;
use ashlar_tests::process::{kill_hard, random, run, wait};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;

const NODES: [&str; 4] = ["master-1", "master-2", "master-3", "worker-1"];
/// What the worker's network is to be, and the address in it.
const NETWORK: &str = include_str!("../manifests/worker-network.yaml");
const AUTHORITY: &str = include_str!("../manifests/authority.pem");
const ADDRESS: &str = "192.168.126.131";
const LIMIT: Duration = Duration::from_secs(180);
const CREATE: [&str; 4] = ["create", "cluster", "--wipe", "master-3"];

fn main() -> ExitCode {
    let mut runner = Runner::new("faults");
    let mut rack = None;
    runner.foundation("a rack with a worker comes up", || {
        rack = Some(Rack::up("faults", &["--workers", "1", "--disks", "2"])?);
        Ok(())
    });
    let Some(rack) = rack else { return runner.end() };
    runner.foundation("the worker's network and an authority are given in the configuration", || {
        let mac = rack.server("worker-1")?["mac"].as_str().context("a MAC address")?.to_owned();
        let line = format!("        bootMACAddress: \"{mac}\"\n");
        Edited::replace(&rack, &line, &format!("{line}{NETWORK}"))?.keep();
        let bundle: String = AUTHORITY.lines().map(|line| format!("  {line}\n")).collect();
        let first = "apiVersion: v1\n";
        Edited::replace(&rack, first, &format!("{first}additionalTrustBundle: |\n{bundle}"))?.keep();
        Ok(())
    });
    untouched(&mut runner, &rack);
    unwritten(&mut runner, &rack);
    crashes(&mut runner, &rack);
    cluster(&mut runner, &rack);
    let ended = rack.down();
    runner.fact("the rack ends", || ended);
    runner.end()
}

/// Found before any server is switched on.
fn untouched(runner: &mut Runner, rack: &Rack) {
    runner.fact("a BMC with another certificate than the pinned one is refused", || {
        let pinned = pin(rack, "master-1")?;
        let other = pin(rack, "master-3")?;
        let _edited = Edited::replace(rack, &pinned, &other)?;
        let talk = refused(&rack.ashlar(&["create", "cluster"], LIMIT)?, 1)?;
        says(&talk, &["master-1", "certificate", &pinned.to_lowercase(), "bmc.certificateFingerprint"])?;
        nothing_on(rack)
    });
    runner.fact("a BMC that does not answer is named with its address", || {
        let address = rack.server("master-3")?["bmc_address"].as_str().context("an address")?.to_owned();
        let _edited = Edited::replace(rack, &format!("//{address}\n"), "//192.168.127.250\n")?;
        let talk = refused(&rack.ashlar(&["create", "cluster"], LIMIT)?, 2)?;
        says(&talk, &["master-3", "192.168.127.250", "bmc.address"])?;
        nothing_on(rack)
    });
    runner.fact("a medium that the BMCs cannot reach is said with the host and the address", || {
        let arguments = ["create", "cluster", "--serve-address", "192.168.127.99", "--boot-timeout", "0.2"];
        let talk = refused(&rack.ashlar(&arguments, LIMIT)?, 2)?;
        says(&talk, &["master-1", "192.168.127.99", "--serve-address"])
    });
}

/// Found on the hosts; no disk is written.
fn unwritten(runner: &mut Runner, rack: &Rack) {
    runner.fact("no disk that matches, two disks that match, a disk with data: all said in one run", || {
        let disk = rack.disk("master-3");
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-L", "precious"]).arg(&disk), LIMIT)?;
        let serial = |host| -> anyhow::Result<String> {
            Ok(rack.server(host)?["disks"][0].as_str().context("a serial number")?.to_owned())
        };
        let hint = format!("serialNumber: {}\n", serial("master-1")?);
        let _no = Edited::replace(rack, &hint, "serialNumber: NOT-THERE\n")?;
        let hint = format!("serialNumber: {}\n", serial("master-2")?);
        let _two = Edited::replace(rack, &hint, "minSizeGigabytes: 10\n")?;
        let talk = refused(&rack.ashlar(&["create", "cluster"], LIMIT)?, 1)?;
        says(&talk, &["master-1", "no disk matches", "NOT-THERE", "rootDeviceHints of master-1"])?;
        says(&talk, &["master-2", "2 disks match", "rootDeviceHints of master-2"])?;
        says(&talk, &["master-3", "precious", "was not touched", "--wipe master-3"])?;
        let label = run(Command::new("blkid").args(["-o", "value", "-s", "LABEL"]).arg(&disk), LIMIT)?;
        ensure!(label.trim() == "precious", "the disk's label is {label}");
        Ok(())
    });
    runner.fact("hosts that never report are named, with what was seen of them", || {
        cables(rack, "out")?;
        let output =
            rack.ashlar(&["create", "cluster", "--boot-timeout", "0.15", "--wipe", "master-3"], LIMIT);
        cables(rack, "in")?;
        let talk = refused(&output?, 3)?;
        says(
            &talk,
            &["never reported from its medium", "its agent never called", "look at the console of master-"],
        )
    });
}

/// The installer is killed, a server loses power while its disk is written; the same command goes on.
fn crashes(runner: &mut Runner, rack: &Rack) {
    runner.fact("a disk that fails while it is written is named, with what to do", || failing_disk(rack));
    runner.fact("the installer is killed three times while the hosts boot and are written", || {
        (1..=3).try_for_each(|number| killed(rack, number, 500..7_000))
    });
    runner.fact("a host loses power while its disk is written, then the installer is killed", || {
        let mut running = rack.start_ashlar(&CREATE, "power.log")?;
        let victim = wait("a host that writes its disk", LIMIT, || {
            ensure!(running.try_wait()?.is_none(), "the installer has ended: see power.log");
            let states = states(rack)?;
            let writing = NODES.into_iter().find(|host| states.contains(&format!("{host}: writing")));
            writing.context(states)
        })?;
        rack.power(victim, "cut")?;
        println!("power cut of {victim}: {}", states(rack)?);
        runs_for(&mut running, Duration::from_millis(random(500..15_000)?))?;
        kill_hard(&mut running)?;
        println!("killed: {}", states(rack)?);
        Ok(())
    });
    runner.fact("the installer is killed once more, later", || killed(rack, 5, 5_000..20_000));
    runner.foundation("the same command installs the cluster", || {
        let output = rack.ashlar(&CREATE, Duration::from_secs(600))?;
        println!("{}", String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "ended with {}", output.status);
        Ok(())
    });
}

/// The disk takes 300 MB and then nothing more: what is behind it is full.
fn failing_disk(rack: &Rack) -> anyhow::Result<()> {
    let disk = rack.disk("master-2");
    let size = disk.metadata()?.len();
    let folder = disk.parent().and_then(Path::to_str).context("a folder")?;
    let make = format!(
        "cd {folder} && mkdir full && mount -t tmpfs -o size=300m tmpfs full && truncate --size {size} full/disk \
         && mv disk0.img whole && ln -s full/disk disk0.img"
    );
    let mend = format!("cd {folder} && mv whole disk0.img && umount full && rmdir full");
    // What the servers use is mounted where they are started.
    inside(rack, &make)?;
    let output = rack.ashlar(&CREATE, LIMIT);
    println!("{}", states(rack)?);
    rack.power("master-2", "cut")?;
    wait("the disk to be nobody's", LIMIT, || inside(rack, &mend))?;
    let talk = refused(&output?, 1)?;
    says(&talk, &["master-2", "/dev/vda", "Input/output error", "replace it"])
}

/// Runs a shell's line where the rack's servers see what is mounted.
fn inside(rack: &Rack, line: &str) -> anyhow::Result<()> {
    let pids = rack.directory.parent().context("the rack's folder")?.join("pids/daemon");
    let text = std::fs::read_to_string(pids)?;
    let daemon = text.split_whitespace().next().context("a process id")?;
    run(Command::new("nsenter").args(["--target", daemon, "--mount", "sh", "-c", line]), LIMIT).map(drop)
}

fn killed(rack: &Rack, number: usize, milliseconds: Range<u64>) -> anyhow::Result<()> {
    let moment = Duration::from_millis(random(milliseconds)?);
    let mut running = rack.start_ashlar(&CREATE, &format!("kill-{number}.log"))?;
    runs_for(&mut running, moment)?;
    kill_hard(&mut running)?;
    println!("killed after {:.1} s: {}", moment.as_secs_f64(), states(rack)?);
    Ok(())
}

/// It must not end by itself in this time.
fn runs_for(running: &mut Child, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        ensure!(running.try_wait()?.is_none(), "the installer ended by itself");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

fn cluster(runner: &mut Runner, rack: &Rack) {
    runner.fact("masters and worker are Ready", || rack.expect_ready(&NODES));
    runner.fact("the worker has the address of the configuration, not DHCP's", || {
        let node = rack.kubectl_json(&["get", "node", "worker-1", "--output=json"])?;
        let addresses = node["status"]["addresses"].as_array().context("addresses")?;
        let own = addresses.iter().find(|address| address["type"] == "InternalIP").context("an address")?;
        ensure!(own["address"] == ADDRESS, "it has {own}");
        Ok(())
    });
    runner.fact("every master trusts the authority of the configuration", || {
        let last = AUTHORITY.lines().rev().nth(1).context("a certificate")?;
        let grep = format!("grep -cF {last} /etc/ssl/certs/ca-certificates.crt");
        // The worker has another address than the rack's ssh knows.
        NODES[..3].iter().try_for_each(|node| {
            let count = rack.ssh(node, &grep).with_context(|| format!("{node} does not"))?;
            ensure!(count.trim() == "1", "{node} has it {} times", count.trim());
            Ok(())
        })
    });
    runner.fact("the worker runs pods and is no master", || {
        let node = rack.kubectl_json(&["get", "node", "worker-1", "--output=json"])?;
        let labels = node["metadata"]["labels"].as_object().context("labels")?;
        ensure!(!labels.contains_key("node-role.kubernetes.io/control-plane"), "labels are {labels:?}");
        wait("the worker's taint of a node that is not ready to go", Duration::from_secs(30), || {
            let node = rack.kubectl_json(&["get", "node", "worker-1", "--output=json"])?;
            ensure!(node["spec"]["taints"].is_null(), "taints are {}", node["spec"]["taints"]);
            Ok(())
        })
    });
    runner.fact("destroy takes the worker along", || {
        let output = rack.ashlar(&["destroy", "cluster", "--yes"], Duration::from_secs(300))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        nothing_on(rack)
    });
}

fn cables(rack: &Rack, end: &str) -> anyhow::Result<()> {
    NODES.iter().chain(["bootstrap"].iter()).try_for_each(|host| rack.lab(&["cable", host, end]).map(drop))
}

/// It ended with `code`; what it said.
fn refused(output: &Output, code: i32) -> anyhow::Result<String> {
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "ended with {}, not {code}: {talk}", output.status);
    Ok(talk)
}

fn says(talk: &str, words: &[&str]) -> anyhow::Result<()> {
    for word in words {
        ensure!(talk.contains(word), "nothing of `{word}` in: {talk}");
    }
    Ok(())
}

fn nothing_on(rack: &Rack) -> anyhow::Result<()> {
    ensure!(rack.status()?.iter().all(|server| server["on"] == false), "a server is on");
    Ok(())
}

fn pin(rack: &Rack, host: &str) -> anyhow::Result<String> {
    Ok(rack.server(host)?["certificate_sha256"].as_str().context("a certificate")?.to_owned())
}

/// `host: state` of every host, as the installer saw them last.
fn states(rack: &Rack) -> anyhow::Result<String> {
    let states = rack.host_states()?;
    Ok(states.iter().map(|(host, state)| format!("{host}: {state}")).collect::<Vec<_>>().join(", "))
}
