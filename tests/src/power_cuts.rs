//! Power cuts at random moments of an update: the node always boots the system that it had, or the new one.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::process::{random, wait};
use crate::rack::Rack;
use crate::runner::Runner;
use crate::updates::{RESTART, build, running, says, serve_while, status};

/// Fetching, staging and the shutdown that puts the new system in place take about this long.
const UPDATE: std::ops::Range<u64> = 200..9_000;

/// How many cuts: `ASHLAR_CUTS`, else `default`.
pub fn cuts(default: u32) -> u32 {
    std::env::var("ASHLAR_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `node` must be Ready; it is updated to and fro between two `versions`, and the cluster can do without it meanwhile.
pub fn power_cuts(
    runner: &mut Runner,
    rack: &Rack,
    node: &str,
    nodes: &[&str],
    versions: [&str; 2],
    cuts: u32,
) {
    runner.fact(
        "power cuts at random moments of an update: the node runs the old system or the new one",
        || {
            let releases = [build(rack, versions[0], &[])?, build(rack, versions[1], &[])?];
            let mut taken = 0;
            for cut in 1..=cuts {
                let before = running(rack, node)?;
                let next = usize::from(before == versions[0]);
                let moment = Duration::from_millis(random(UPDATE)?);
                cut_while_updating(rack, node, &releases[next], moment)?;
                let after = wait("the node to come back", RESTART, || running(rack, node))?;
                println!(
                    "cut {cut} after {:.1} s of the update from {before}: {after} runs",
                    moment.as_secs_f64()
                );
                ensure!(after == before || after == versions[next], "{after} runs");
                taken += u32::from(after != before);
                wait("it to be found good", RESTART, || says(rack, node, "was found good"))?;
            }
            println!("{taken} of {cuts} updates had gone far enough");
            wait("the nodes to be Ready", RESTART, || rack.expect_ready(nodes))
        },
    );
    runner.fact("a system whose power went before it was put in place is missed by name", || {
        let before = running(rack, node)?;
        let next = versions[usize::from(before == versions[0])];
        let release = build(rack, next, &[])?;
        serve_while(rack, &release, |url| rack.ssh(node, &format!("ashlar node os stage {url}")))?;
        rack.power(node, "cut")?;
        rack.power(node, "on")?;
        let missed = wait("the node to come back", RESTART, || {
            let status = status(rack, node)?;
            Ok(status["lost"]["version"].as_str().map(ToOwned::to_owned))
        })?;
        ensure!(missed.as_deref() == Some(next), "missed is {missed:?}");
        says(rack, node, "was staged and is not here")?;
        wait("the nodes to be Ready", RESTART, || rack.expect_ready(nodes))
    });
}

/// The update runs beside, and its connection breaks with the cut: how it ends says nothing.
fn cut_while_updating(rack: &Rack, node: &str, release: &Path, moment: Duration) -> anyhow::Result<()> {
    serve_while(rack, release, |url| {
        let line = format!("ashlar node os stage {url} && systemctl poweroff");
        let mut update = rack.start_ssh(node, &line)?;
        let end = Instant::now() + moment;
        while Instant::now() < end && update.try_wait()?.is_none_or(|status| status.success()) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        if let Some(status) = update.try_wait()?
            && Instant::now() < end
            && !status.success()
            && status.code() != Some(LOST_CONNECTION)
        {
            bail!("the update ended with {status} before its power was cut");
        }
        rack.power(node, "cut")?;
        update.wait().context("the update's end")?;
        rack.power(node, "on")?;
        Ok(String::new())
    })
    .map(drop)
}

/// Of ssh(1), as the machine goes down.
const LOST_CONNECTION: i32 = 255;
