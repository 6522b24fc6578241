//! Many power cuts at random moments: of installs, then of a node's updates. `ASHLAR_CUTS` says how many of each.
//!
//! `cargo test --package ashlar-tests --test power_cuts` (root; a release must be built: `ashlar release build`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ashlar_tests::power_cuts::{cuts, power_cuts};
use ashlar_tests::process::{kill_hard, random, run};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;

const NODES: [&str; 4] = ["master-1", "master-2", "master-3", "worker-1"];
const INSTALL: Duration = Duration::from_secs(900);
/// For all servers to boot the medium and to be cut.
const ROUND: Duration = Duration::from_secs(300);
/// From the order to write a disk to its restart, in milliseconds; some cuts come a little later.
const WRITING: std::ops::Range<u64> = 0..12_000;
/// States of a host whose disk is not written yet.
const BEFORE: [&str; 5] = ["registered", "booting", "enrolled", "writing", "failed"];
/// Rounds one after the other without a cut: a rack begins anew after one.
const MOST_IDLE: u32 = 3;
const TOOL: Duration = Duration::from_secs(30);
const CREATE: [&str; 2] = ["create", "cluster"];

fn main() -> ExitCode {
    let mut runner = Runner::new("power_cuts");
    let mut rack = None;
    runner.foundation("a rack with a worker comes up", || {
        rack = Some(up()?);
        Ok(())
    });
    let Some(mut rack) = rack else { return runner.end() };
    runner.fact("power cuts at random moments of an install: no disk boots that is not whole", || {
        let (mut done, mut whole, mut idle) = (0, 0, 0);
        while done < cuts(20) {
            let (of_round, of_them_whole) = round(&rack)?;
            (done, whole) = (done + of_round, whole + of_them_whole);
            idle = if of_round == 0 { idle + 1 } else { 0 };
            ensure!(idle < MOST_IDLE, "no server came to writing its disk in {idle} rounds, see cuts.log");
            if of_round == 0 {
                println!("every disk is written: the rack begins anew");
                rack = up()?;
            }
        }
        println!("{done} cuts; {whole} disks were whole already, the others do not boot");
        Ok(())
    });
    runner.foundation("the same command installs the cluster", || {
        let output = rack.ashlar(&CREATE, INSTALL)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        rack.expect_ready(&NODES)
    });
    power_cuts(&mut runner, &rack, "worker-1", &NODES, ["9.1.1", "9.1.2"], cuts(20));
    let ended = rack.down();
    runner.fact("the rack ends", || ended);
    runner.end()
}

fn up() -> anyhow::Result<Rack> {
    Rack::up("cuts", &["--workers", "1"])
}

/// Cuts every server once that gets as far as writing its disk, then kills the installer: how many cuts, and how many of
/// the disks were whole.
fn round(rack: &Rack) -> anyhow::Result<(u32, u32)> {
    let mut installer = rack.start_ashlar(&CREATE, "cuts.log")?;
    let cut = cut_each(rack, &mut installer);
    kill_hard(&mut installer)?;
    cut
}

fn cut_each(rack: &Rack, installer: &mut Child) -> anyhow::Result<(u32, u32)> {
    let end = Instant::now() + ROUND;
    let mut moments: BTreeMap<&str, Instant> = BTreeMap::new();
    let (mut done, mut whole) = (Vec::new(), 0);
    loop {
        let states = rack.host_states().unwrap_or_default();
        for host in NODES {
            let state = states.iter().find(|(name, _)| name == host).map(|(_, state)| state.as_str());
            if state == Some("writing") && !moments.contains_key(host) {
                moments.insert(host, Instant::now() + Duration::from_millis(random(WRITING)?));
            }
            if done.contains(&host) || moments.get(host).is_none_or(|moment| Instant::now() < *moment) {
                continue;
            }
            rack.power(host, "cut")?;
            let is_whole = is_whole(rack, host)?;
            println!(
                "{host} cut while {}: {}",
                state.unwrap_or("?"),
                if is_whole { "whole" } else { "does not boot" }
            );
            whole += u32::from(is_whole);
            done.push(host);
        }
        // A server whose disk is whole is not written again by a later round.
        let written = |host: &str| {
            let state = states.iter().find(|(name, _)| name == host).map(|(_, state)| state.as_str());
            state.is_some_and(|state| !BEFORE.contains(&state))
        };
        if NODES.iter().all(|host| done.contains(host) || !moments.contains_key(host) && written(host)) {
            return Ok((u32::try_from(done.len())?, whole));
        }
        ensure!(Instant::now() < end, "not every server was written: {states:?}");
        if let Some(status) = installer.try_wait()? {
            // Three cuts of one server, and it is given up until the next run.
            let failed = states.iter().any(|(_, state)| state == "failed");
            ensure!(status.success() || failed, "the installer ended with {status}, see cuts.log");
            return Ok((u32::try_from(done.len())?, whole));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A disk without boot code does not boot. One that has it must have everything else.
fn is_whole(rack: &Rack, host: &str) -> anyhow::Result<bool> {
    let disk = rack.disk(host);
    let mut head = [0; 512];
    File::open(&disk)?.read_exact(&mut head)?;
    // It is written last.
    if head.iter().all(|byte| *byte == 0) {
        return Ok(false);
    }
    ensure!(head[510..512] == [0x55, 0xaa], "{host}: the boot record has no signature");
    let said = run(Command::new("sfdisk").arg("--verify").arg(&disk), TOOL)?;
    ensure!(said.contains("No errors detected"), "{host}: {said}");
    let table: serde_json::Value =
        serde_json::from_str(&run(Command::new("sfdisk").arg("--json").arg(&disk), TOOL)?)?;
    let partitions = table["partitiontable"]["partitions"].as_array().context("partitions")?;
    for name in ["root", "var"] {
        let found =
            partitions.iter().find(|one| one["name"] == name).with_context(|| format!("no {name}"))?;
        let start = found["start"].as_u64().context("a start")? * 512;
        let mut probe = Command::new("blkid");
        probe.args(["--probe", "--match-tag", "LABEL", "--output", "value", "--offset", &start.to_string()]);
        let label = run(probe.arg(&disk), TOOL)?;
        ensure!(label.trim() == name, "{host}: the file system of {name} is called `{}`", label.trim());
    }
    Ok(true)
}
