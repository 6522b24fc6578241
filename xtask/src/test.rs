//! `cargo xtask test`: everything that CI runs.

use anyhow::Result;
use clap::Args;

use crate::process::{Session, cargo};
use crate::{check, release, reproducible, setup};

#[derive(Args)]
pub struct Arguments {
    /// Only what needs no rack: rules and unit tests
    #[arg(long)]
    unit: bool,
    /// Besides, the boot chain with every firmware and drive, and many power cuts: two hours
    #[arg(long)]
    boot: bool,
    /// Besides, a cluster's update to the next Kubernetes: half an hour
    #[arg(long)]
    update: bool,
    /// Besides, the release a second time with nothing cached but downloads: both must be the same. Five minutes
    #[arg(long)]
    reproducible: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("test")?;
    setup::ensure(&session)?;
    check::structure(&session)?;
    // Debian's Ignition, in a root of its own: what ours is compared with.
    session.run(
        "Fetching the reference for Ignition's tests",
        "30 s the first time",
        &mut cargo(["run", "--quiet", "--package", "ashlar-ignition", "--example", "reference"]),
    )?;
    let unit = ["test", "--workspace", "--exclude", "ashlar-tests", "--no-fail-fast"];
    session.run("Unit tests", "8 minutes the first time", &mut cargo(unit))?;
    if arguments.unit {
        return Ok(());
    }
    release::programs(&session)?;
    let release = release::build(&session, 3)?;
    if arguments.reproducible {
        reproducible::check(&session, &release)?;
    }
    // The suites bring their own runner; each has a rack to itself, one after the other: two cores.
    session.run(
        "Whole-system suite",
        "35 minutes",
        &mut cargo(["test", "--package", "ashlar-tests", "--no-fail-fast"]),
    )?;
    if arguments.update {
        let mut command = cargo(["test", "--package", "ashlar-tests", "--test", "update"]);
        session.run("A cluster's update", "30 minutes", &mut command)?;
    }
    if arguments.boot {
        boot_chain(&session)?;
    }
    Ok(())
}

/// The default run has Secure Boot with a CD, and a few power cuts; here is the rest.
fn boot_chain(session: &Session) -> Result<()> {
    for (firmware, drive, sectors) in [
        ("uefi-secure-boot", "usb", "4096"),
        ("uefi-secure-boot", "minimal", "512"),
        ("uefi-secure-boot", "network", "512"),
        ("uefi", "cd", "512"),
        ("bios", "cd", "512"),
        ("bios", "usb", "512"),
        ("bios", "network", "512"),
    ] {
        let mut command = cargo(["test", "--package", "ashlar-tests", "--test", "boot"]);
        command.env("ASHLAR_FIRMWARE", firmware).env("ASHLAR_DRIVE", drive);
        command.env("ASHLAR_SECTORS", sectors);
        // Once: updates differ by boot loader and disk, and those by firmware hardly.
        if sectors == "4096" {
            command.env("ASHLAR_LONGER", "yes");
        }
        session.run(&format!("Boot chain: {firmware}, boot from {drive}"), "10 minutes", &mut command)?;
    }
    let mut command = cargo(["test", "--package", "ashlar-tests", "--test", "power_cuts"]);
    session.run("Power cuts", "20 minutes", &mut command)
}
