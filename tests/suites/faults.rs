//! What goes wrong in a datacenter, one thing after the other, on one rack: each is said with the host, its cause and
//! what to do, nothing is half-written, and in the end the same command installs the cluster after all.
//!
//! `cargo test --package ashlar-tests --test faults` (root; a release must be built: `ashlar release build`).

use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ashlar_tests::configuration::Edited;
use ashlar_tests::process::{kill_hard, run, wait};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;

const NODES: [&str; 4] = ["master-1", "master-2", "master-3", "worker-1"];
const LIMIT: Duration = Duration::from_secs(180);
/// The kills come at moments that differ from run to run, within these.
const KILL_AFTER_MS: std::ops::Range<u64> = 500..25_000;
const KILLS: usize = 5;

fn main() -> ExitCode {
    let mut runner = Runner::new("faults");
    let mut rack = None;
    runner.foundation("a rack with a worker comes up", || {
        rack = Some(Rack::up("faults", &["--workers", "1", "--disks", "2"])?);
        Ok(())
    });
    let Some(rack) = rack else { return runner.end() };
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
        let talk = refused(&rack.ashlar(&["create", "cluster"], LIMIT)?, 3)?;
        says(&talk, &["master-3", "192.168.127.250", "bmc.address"])?;
        nothing_on(rack)
    });
    runner.fact("a medium that the BMCs cannot reach is said with the host and the address", || {
        let arguments = ["create", "cluster", "--serve-address", "192.168.127.99", "--boot-timeout", "0.2"];
        let talk = refused(&rack.ashlar(&arguments, LIMIT)?, 3)?;
        says(&talk, &["master-1", "192.168.127.99", "--serve-address"])
    });
}

/// Found on the hosts; no disk is written.
fn unwritten(runner: &mut Runner, rack: &Rack) {
    runner.fact("no disk that matches, two disks that match, a disk with data: all said in one run", || {
        let disk = disk(rack, "master-3");
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
    runner.fact("a host that never reports is named, with what was seen of it", || {
        rack.lab(&["cable", "worker-1", "out"])?;
        let output =
            rack.ashlar(&["create", "cluster", "--boot-timeout", "0.25", "--wipe", "master-3"], LIMIT);
        rack.lab(&["cable", "worker-1", "in"])?;
        let talk = refused(&output?, 4)?;
        says(&talk, &["worker-1 never reported", "its medium was read", "console of worker-1"])
    });
}

/// The installer is killed, a server loses power while its disk is written; the same command goes on.
fn crashes(runner: &mut Runner, rack: &Rack) {
    runner.fact("the installer is killed at five moments", || {
        for number in 1..=KILLS {
            let moment = Duration::from_millis(
                KILL_AFTER_MS.start + random()? % (KILL_AFTER_MS.end - KILL_AFTER_MS.start),
            );
            let mut running = rack.start_ashlar(&create(), &format!("kill-{number}.log"))?;
            let end = Instant::now() + moment;
            while Instant::now() < end && running.try_wait()?.is_none() {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            ensure!(running.try_wait()?.is_none(), "it ended by itself: see kill-{number}.log");
            kill_hard(&mut running)?;
            println!("killed after {:.1} s: {}", moment.as_secs_f64(), states(rack)?);
        }
        Ok(())
    });
    runner.foundation("a master that loses power during its install is installed all the same", || {
        let mut running = rack.start_ashlar(&create(), "power.log")?;
        let writing = wait("a host that writes its disk", LIMIT, || {
            ensure!(running.try_wait()?.is_none(), "the installer has ended");
            let states = states(rack)?;
            let host = ["master-1", "master-2", "master-3", "worker-1"]
                .into_iter()
                .find(|host| states.contains(&format!("{host}: writing")));
            match host {
                Some(host) => Ok(Some(host)),
                // The kills may have left no disk to write.
                None if !states.contains("registered") && !states.contains("booting") => Ok(None),
                None => anyhow::bail!("{states}"),
            }
        })?;
        let victim = writing.unwrap_or("master-2");
        println!("power cut of {victim}: {}", states(rack)?);
        rack.power(victim, "cut")?;
        let status =
            wait("the installer to end", Duration::from_secs(600), || running.try_wait()?.context("it runs"));
        let talk = std::fs::read_to_string(rack.directory.join("power.log"))?;
        println!("{talk}");
        ensure!(status?.success(), "the install failed");
        Ok(())
    });
}

fn cluster(runner: &mut Runner, rack: &Rack) {
    runner.fact("masters and worker are Ready", || rack.expect_ready(&NODES));
    runner.fact("the worker runs pods and is no master", || {
        let node = rack.kubectl_json(&["get", "node", "worker-1", "--output=json"])?;
        let labels = node["metadata"]["labels"].as_object().context("labels")?;
        ensure!(!labels.contains_key("node-role.kubernetes.io/control-plane"), "labels are {labels:?}");
        ensure!(node["spec"]["taints"].is_null(), "taints are {}", node["spec"]["taints"]);
        Ok(())
    });
    runner.fact("destroy takes the worker along", || {
        let output = rack.ashlar(&["destroy", "cluster", "--yes"], Duration::from_secs(300))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        nothing_on(rack)
    });
}

fn create() -> [&'static str; 4] {
    ["create", "cluster", "--wipe", "master-3"]
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

fn disk(rack: &Rack, host: &str) -> std::path::PathBuf {
    let racks = rack.directory.parent().unwrap_or(Path::new("/"));
    racks.join("machines").join(host).join("disk0.img")
}

/// `host: state` of every host, as the installer saw them last.
fn states(rack: &Rack) -> anyhow::Result<String> {
    let status: serde_json::Value =
        serde_json::from_slice(&std::fs::read(rack.directory.join(".ashlar/status.json"))?)?;
    let hosts = status["hosts"].as_array().context("hosts")?;
    let state = |host: &serde_json::Value| {
        format!(
            "{}: {}",
            host["name"].as_str().unwrap_or("?"),
            host["state"]["state"].as_str().unwrap_or("?")
        )
    };
    Ok(hosts.iter().map(state).collect::<Vec<_>>().join(", "))
}

fn random() -> anyhow::Result<u64> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
