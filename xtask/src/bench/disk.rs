//! A disk for the peer's machines: the release's own disk image as the installing agent writes it, but with nobody's
//! configuration, so that none of our programs starts on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{Session, output};
use crate::workspace;

const SIZE: &str = "20G";
const SECTOR: u64 = 512;
const KIBIBYTE: u64 = 1024;

pub fn make(session: &Session, release: &Path) -> Result<PathBuf> {
    let folder = workspace::programs().with_file_name("xtask").join("peer");
    let disk = folder.join("disk.img");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let squash = folder.join("rootfs.squashfs");
    let mut extract = Command::new("xorriso");
    extract.args(["-osirrox", "on", "-indev"]).arg(release.join("ashlar.iso"));
    extract.args(["-extract", "/ashlar/rootfs.squashfs"]).arg(&squash);
    session.run("Taking the root file system off the medium", "5 s", &mut extract)?;
    let mut unpack = Command::new("unsquashfs");
    unpack.args(["-quiet", "-no-progress", "-force", "-dest"]).arg(&folder).arg(&squash).arg("disk.img");
    session.run("Unpacking the disk image", "20 s", &mut unpack)?;
    std::fs::remove_file(&squash).with_context(|| format!("removing {}", squash.display()))?;
    session.run("Enlarging it", "1 s", Command::new("truncate").args(["--size", SIZE]).arg(&disk))?;
    partition(session, &disk)?;
    Ok(disk)
}

/// `var` over the rest, as on every installed disk.
fn partition(session: &Session, disk: &Path) -> Result<()> {
    let add =
        "sfdisk --quiet --relocate gpt-bak-std \"$1\" && echo 'name=var' | sfdisk --quiet --append \"$1\"";
    session.run(
        "Adding the partition `var`",
        "1 s",
        Command::new("sh").args(["-ec", add, "sh"]).arg(disk),
    )?;
    let table = output(Command::new("sfdisk").arg("--json").arg(disk))?;
    let table: Value = serde_json::from_str(&table).context("reading what sfdisk says")?;
    let partitions = table["partitiontable"]["partitions"].as_array();
    let var =
        partitions.into_iter().flatten().find(|one| one["name"] == "var").context("no partition `var`")?;
    let sectors = |name: &str| var[name].as_u64().with_context(|| format!("`var` without {name}"));
    let extended =
        format!("offset={},lazy_itable_init=1,lazy_journal_init=1,nodiscard", sectors("start")? * SECTOR);
    let mut format = Command::new("mke2fs");
    format.args(["-t", "ext4", "-q", "-L", "var", "-E", &extended, "-F"]).arg(disk);
    format.arg(format!("{}k", sectors("size")? * SECTOR / KIBIBYTE));
    session.run("Making its file system", "1 s", &mut format)
}
