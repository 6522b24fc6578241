//! Makes the root directory of the reference (Debian's package `ignition`) below the cache directory, for the
//! comparison in `tests/differential.rs`. Needs root, `mmdebstrap` and a Debian mirror that apt knows.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

const PACKAGES: &str = "ignition,passwd,systemd,gdisk,e2fsprogs,xfsprogs,dosfstools,btrfs-progs,udev";

fn main() -> anyhow::Result<()> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cache =
        std::env::var_os("ASHLAR_CACHE").map(PathBuf::from).or(cache.map(|cache| cache.join("ashlar")));
    let folder =
        cache.context("finding the cache: neither ASHLAR_CACHE nor HOME is set")?.join("ignition-reference");
    let root = folder.join("root");
    if root.join("usr/bin/ignition-validate").exists() {
        eprintln!("{} is there already", root.display());
        return Ok(());
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let mirror = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Origin: Debian",
            "Created-By: Packages",
            "Label: Debian",
        ])
        .output()
        .context("asking apt for its mirror")?;
    let mirror = String::from_utf8(mirror.stdout).context("reading apt's answer")?;
    let mirror = mirror.lines().next().context("apt knows no Debian mirror; run `apt-get update` first")?;
    let status = Command::new("mmdebstrap")
        .args([
            "--variant=apt",
            &format!("--include={PACKAGES}"),
            "--aptopt=APT::Install-Recommends \"false\"",
            "trixie",
        ])
        .arg(&root)
        .arg(mirror)
        .status()
        .context("running mmdebstrap")?;
    ensure!(status.success(), "mmdebstrap ended with {status}");
    Ok(())
}
