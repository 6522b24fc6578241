//! A release from its recipe, beside mkosi making one squashfs of the same Debian packages. What both download is here
//! before the clock runs, and our components are compiled; mkosi has none to add.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::process::{Session, ashlar, output};
use crate::reproducible::Fresh;
use crate::{setup, workspace};

const PACKAGES: &[(&str, &str)] =
    &[("mkosi", "the peer of building images"), ("debootstrap", "mkosi's way to Debian")];
/// mkosi runs programs in machines, which leave their traces below `/run`; one that is not its own is not cleaned up.
const MKOSI: &str = "mount -t tmpfs tmpfs /run && exec mkosi --force --nspawn-keep-unit build";

pub struct Building {
    /// Seconds to the whole release: tree, commit, disk image, full and minimal medium, network boot, lists.
    pub ours: f64,
    /// Seconds to one file.
    pub mkosi: f64,
}

pub fn measure(session: &Session, release: &Path) -> Result<Building> {
    setup::packages(session, PACKAGES)?;
    let fresh = Fresh::make(release)?;
    let start = Instant::now();
    let mut build = ashlar(["release", "build", "--compression", "3"]);
    session.run(
        "Building the release with nothing cached but downloads",
        "5 minutes",
        fresh.at(&mut build),
    )?;
    let ours = start.elapsed().as_secs_f64();
    fresh.remove()?;

    let folder = workspace::programs().with_file_name("xtask").join("mkosi");
    fs::create_dir_all(folder.join("cache")).with_context(|| format!("making {}", folder.display()))?;
    fs::write(folder.join("mkosi.default"), recipe(&folder)?).context("writing mkosi's recipe")?;
    session.run_quietly("Filling mkosi's cache", "2 minutes", &mut mkosi(&folder))?;
    let start = Instant::now();
    session.run_quietly("mkosi", "2 minutes", &mut mkosi(&folder))?;
    let mkosi = start.elapsed().as_secs_f64();
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    Ok(Building { ours, mkosi })
}

fn mkosi(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "sh", "-ec", MKOSI]).current_dir(folder);
    command
}

/// The packages of our recipe, from this computer's mirror.
fn recipe(folder: &Path) -> Result<String> {
    let list = workspace::root().join("image/os/packages.txt");
    let list = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let packages: Vec<&str> =
        list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mirror = ["indextargets", "--format", "$(REPO_URI)", "Label: Debian", "Created-By: Packages"];
    let mirror = output(Command::new("apt-get").args(mirror))?;
    let mirror = mirror.lines().next().context("apt knows no mirror of Debian")?;
    Ok(format!(
        "[Distribution]\nDistribution=debian\nRelease=trixie\nMirror={mirror}\n\
         [Output]\nFormat=plain_squashfs\nCompressFs=zstd\nOutput={}\n\
         [Packages]\nPackages={}\nCache={}\n",
        folder.join("image.raw").display(),
        packages.join(","),
        folder.join("cache").display(),
    ))
}
