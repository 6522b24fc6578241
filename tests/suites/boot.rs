//! The boot chain: a worker in QEMU joins a cluster whose other servers are containers. Its firmware checks
//! signatures, its boot loader, kernel and initramfs are those of the release; all of it emulated, hence slow. A machine
//! config gives it kernel arguments, a mirror (md) and encrypted volumes (LUKS, one of them opened by its TPM), which
//! need that kernel. The worker's clock says 1970 at every start.
//!
//! `cargo test --package ashlar-tests --test boot` (root; a release must be built: `ashlar release build`).

#[path = "boot/network.rs"]
mod network;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use ashlar_tests::process::wait;
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;
use ashlar_tests::updates::updates;

const NODES: [&str; 4] = ["master-1", "master-2", "master-3", "worker-1"];
const DISKS: &str = include_str!("../manifests/worker-disks.yaml");
/// With the TPM, in the longer run only: `cargo xtask test --boot`.
const SEALED: &str = include_str!("../manifests/worker-sealed.yaml");
const WORKER: &str = "worker-1";
const LOG: &str = "create.log";
const INSTALL: Duration = Duration::from_secs(30 * 60);
const BOOT: Duration = Duration::from_secs(10 * 60);

fn main() -> ExitCode {
    let mut runner = Runner::new("boot");
    let (mut rack, mut secure, mut uefi) = (None, false, false);
    let drive = choice("ASHLAR_DRIVE", "cd");
    runner.foundation("a rack comes up whose worker is emulated", || {
        let firmware = choice("ASHLAR_FIRMWARE", "uefi-secure-boot");
        let sectors = choice("ASHLAR_SECTORS", "512,4096");
        println!("firmware {firmware}, boot from {drive}, disks with sectors of {sectors} bytes");
        let virtual_drive = if drive == "usb" { "usb" } else { "cd" };
        let emulation = [
            "--emulate",
            WORKER,
            "--firmware",
            &firmware,
            "--drive",
            virtual_drive,
            "--tpm",
            "--dead-battery",
        ];
        let disks = ["--workers", "1", "--disks", "5", "--sectors", &sectors];
        let up = Rack::up("boot", &[&disks[..], &emulation[..]].concat())?;
        let folder = up.directory.join("machine-configs");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("disks.yaml"), DISKS)?;
        if longer() {
            std::fs::write(folder.join("sealed.yaml"), SEALED)?;
        }
        (secure, uefi) = (firmware == "uefi-secure-boot", firmware != "bios");
        rack = Some(up);
        Ok(())
    });
    let Some(rack) = rack else { return runner.end() };
    if drive == "network" {
        network::facts(&mut runner, &rack);
    } else {
        installs(&mut runner, &rack, drive == "minimal");
        if secure {
            secure_boot(&mut runner, &rack);
        }
        if uefi && longer() {
            firmware(&mut runner, &rack);
        }
        disks(&mut runner, &rack);
        starts_again(&mut runner, &rack);
        if longer() {
            updates(&mut runner, &rack, WORKER, &NODES, BOOT);
        }
    }
    let ended = rack.down();
    runner.fact("the rack ends", || ended);
    runner.end()
}

/// `minimal`: the worker boots the small medium and fetches the rest from the engine.
fn installs(runner: &mut Runner, rack: &Rack, minimal: bool) {
    let mut running = None;
    runner.foundation(
        "the medium boots, the disk is written and boots, its first boot begins to make disks",
        || {
            let mut create = vec!["create", "cluster", "--boot-timeout", "15", "--join-timeout", "25"];
            if minimal {
                create.extend(["--minimal-media", WORKER]);
            }
            let mut create = rack.start_ashlar(&create, LOG)?;
            let made = wait("the first boot to make disks", INSTALL, || {
                let ended = create.try_wait()?;
                let begun = console(rack)?.contains("partition table written");
                ensure!(begun || ended.is_some(), "the first boot has not come so far");
                Ok(begun)
            });
            let made = made.with_context(|| console_end(rack))?;
            ensure!(made, "the install ended\n{}", std::fs::read_to_string(rack.directory.join(LOG))?);
            running = Some(create);
            Ok(())
        },
    );
    runner.foundation("a power cut in the midst of it, and the node is Ready all the same", || {
        rack.power(WORKER, "cut")?;
        let mut create = running.take().context("a running install")?;
        let ended = wait("the install to end", INSTALL, || create.try_wait()?.context("it goes on"));
        println!("{}", std::fs::read_to_string(rack.directory.join(LOG))?);
        let status = ended.with_context(|| console_end(rack))?;
        ensure!(status.success(), "ended with {status}\n{}", console_end(rack));
        rack.expect_ready(&NODES)
    });
    if minimal {
        runner.fact("its console showed what it fetched from the engine", || {
            ensure!(console(rack)?.contains("worker-1-rest.iso"), "it did not");
            Ok(())
        });
    }
    runner.fact("the release's kernel runs, not this computer's", || {
        let kernel =
            rack.kubectl(&["get", "node", WORKER, "-o", "jsonpath={.status.nodeInfo.kernelVersion}"])?;
        let master = ["get", "node", "master-1", "-o", "jsonpath={.status.nodeInfo.kernelVersion}"];
        let ours = rack.kubectl(&master)?;
        ensure!(kernel != ours && kernel.contains("+deb13"), "the worker runs {kernel}, the masters {ours}");
        Ok(())
    });
}

fn secure_boot(runner: &mut Runner, rack: &Rack) {
    runner.fact("Secure Boot was in force, for the medium and for the disk", || {
        let times = console(rack)?.matches("Secure boot enabled").count();
        ensure!(times >= 2, "said {times} times");
        Ok(())
    });
}

fn firmware(runner: &mut Runner, rack: &Rack) {
    runner.fact("the firmware's boot order has the installed disk", || {
        let entries = rack.ssh(WORKER, "sudo efibootmgr --verbose")?;
        let disk = rack.ssh(WORKER, "sudo blkid --match-tag PARTUUID --output value /dev/vda2")?;
        let ours = entries.lines().find(|line| line.contains("* Ashlar\t")).context("no entry")?;
        ensure!(ours.to_lowercase().contains(disk.trim()), "the partition is {disk}, the entries\n{entries}");
        Ok(())
    });
    runner.fact("the TPM's event log can be read", || {
        let read = "sudo cat /sys/kernel/security/tpm0/binary_bios_measurements | wc --bytes";
        let bytes: u64 = rack.ssh(WORKER, read)?.trim().parse()?;
        ensure!(bytes > 4096, "the log has {bytes} bytes");
        Ok(())
    });
}

fn disks(runner: &mut Runner, rack: &Rack) {
    runner.fact("GRUB counted the boots, and the system was found good", || {
        let said = rack.ssh(WORKER, "journalctl --no-pager -u ashlar-agent -g \"this system is good\"")?;
        ensure!(said.contains("boots=") && !said.contains("boots=0"), "{said}");
        ensure!(rack.ssh(WORKER, "cat /boot/grub/grubenv")?.contains("good="));
        Ok(())
    });
    runner.fact("the kernel has the arguments of the machine config", || {
        let line = rack.ssh(WORKER, "cat /proc/cmdline")?;
        ensure!(line.contains("ashlar.test=kernel-argument"), "{line}");
        Ok(())
    });
    runner.fact("the mirror and the encrypted volume hold what the machine config says", || holds_data(rack));
    runner.fact("the mirror has two halves, the volumes are LUKS 2", || {
        let arrays = rack.ssh(WORKER, "cat /proc/mdstat")?;
        ensure!(arrays.contains("raid1") && arrays.contains("[2/2]"), "{arrays}");
        let volume = rack.ssh(WORKER, "cryptsetup status vault")?;
        ensure!(volume.contains("LUKS2") && volume.contains("aes"), "{volume}");
        if longer() {
            let bound = rack.ssh(WORKER, "sudo clevis luks list -d /dev/vde")?;
            ensure!(bound.contains("tpm2"), "bound to {bound}");
        }
        Ok(())
    });
}

fn holds_data(rack: &Rack) -> anyhow::Result<()> {
    let volumes = [
        ("/var/srv/mirror", "xfs", "on the mirror"),
        ("/var/srv/vault", "ext4", "in the vault"),
        ("/var/srv/sealed", "ext4", "opened by the TPM"),
    ];
    for (path, kind, text) in volumes.into_iter().take(if longer() { 3 } else { 2 }) {
        let mounted = rack.ssh(WORKER, &format!("findmnt -n -o FSTYPE {path}"))?;
        ensure!(mounted.trim() == kind, "{path} is {mounted}");
        let found = rack.ssh(WORKER, &format!("cat {path}/hello"))?;
        ensure!(found.trim() == text, "{path}/hello says {found}");
    }
    Ok(())
}

/// Updates, the firmware's variables and the TPM as well.
fn longer() -> bool {
    choice("ASHLAR_LONGER", "no") == "yes"
}

/// An environment variable, for other firmware than the default.
fn choice(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
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
    runner.fact("the mirror and the encrypted volume are there again", || {
        wait("the volumes", BOOT, || holds_data(rack))
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
