//! The boot chain: a worker in QEMU joins a cluster whose other servers are containers. Its firmware checks
//! signatures, its boot loader, kernel and initramfs are those of the release; all of it emulated, hence slow.
//!
//! `cargo test --package ashlar-tests --test boot` (root; a release must be built: `ashlar release build`).

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use ashlar_tests::process::wait;
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;

const NODES: [&str; 4] = ["master-1", "master-2", "master-3", "worker-1"];
const WORKER: &str = "worker-1";
const INSTALL: Duration = Duration::from_secs(30 * 60);
const BOOT: Duration = Duration::from_secs(10 * 60);

fn main() -> ExitCode {
    let mut runner = Runner::new("boot");
    let mut rack = None;
    runner.foundation("a rack comes up whose worker is emulated", || {
        let options = ["--workers", "1", "--emulate", WORKER, "--firmware", "uefi-secure-boot"];
        rack = Some(Rack::up("boot", &options)?);
        Ok(())
    });
    let Some(rack) = rack else { return runner.end() };
    installs(&mut runner, &rack);
    starts_again(&mut runner, &rack);
    let ended = rack.down();
    runner.fact("the rack ends", || ended);
    runner.end()
}

fn installs(runner: &mut Runner, rack: &Rack) {
    runner.foundation("firmware, boot loader, kernel and initramfs lead to a Ready node", || {
        let create = ["create", "cluster", "--boot-timeout", "15", "--join-timeout", "25"];
        let output = rack.ashlar(&create, INSTALL)?;
        println!("{}", String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "ended with {}\n{}", output.status, console_end(rack));
        rack.expect_ready(&NODES)
    });
    runner.fact("the release's kernel runs, not this computer's", || {
        let kernel =
            rack.kubectl(&["get", "node", WORKER, "-o", "jsonpath={.status.nodeInfo.kernelVersion}"])?;
        let master = ["get", "node", "master-1", "-o", "jsonpath={.status.nodeInfo.kernelVersion}"];
        let ours = rack.kubectl(&master)?;
        ensure!(kernel != ours && kernel.contains("+deb13"), "the worker runs {kernel}, the masters {ours}");
        Ok(())
    });
    runner.fact("Secure Boot was in force, for the medium and for the disk", || {
        let times = console(rack)?.matches("Secure boot enabled").count();
        ensure!(times >= 2, "said {times} times");
        Ok(())
    });
}

fn starts_again(runner: &mut Runner, rack: &Rack) {
    runner.fact("after a power cut the installed system comes back without help", || {
        let said = console(rack)?.len();
        rack.power(WORKER, "cut")?;
        wait("the cluster to miss the worker", BOOT, || rack.expect_ready(&NODES[..3]))?;
        rack.power(WORKER, "on")?;
        let back = wait("the worker to be Ready again", BOOT, || rack.expect_ready(&NODES));
        back.with_context(|| console_end(rack))?;
        let since = console(rack)?.split_off(said);
        ensure!(!since.contains("booting from virtual media"), "it booted a medium");
        Ok(())
    });
}

fn console(rack: &Rack) -> anyhow::Result<String> {
    rack.lab(&["console", WORKER])
}

/// The last lines that the worker printed.
fn console_end(rack: &Rack) -> String {
    let text = console(rack).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
