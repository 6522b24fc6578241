//! The release's disk image: taken off the medium, as a disk for the peer's machines, and how fast it is written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::process::{Session, output};
use crate::workspace;

/// Of a disk, in bytes.
const SIZE: u64 = 20 << 30;

/// Seconds to write the system to a file and have it on the disk.
pub struct Writing {
    /// As the installing agent does it, from a file.
    pub ours: f64,
    /// `dd` of the same file.
    pub dd: f64,
    /// As the installing agent does it, out of the medium's compressed file system.
    pub ours_compressed: f64,
    /// `zstd` of the medium's level, piped into `dd`.
    pub zstd: f64,
}

/// Takes `disk.img` and its manifest off the medium. Returns their folder, in which the compressed file system they
/// came from stays as well.
pub fn unpack(session: &Session, release: &Path) -> Result<PathBuf> {
    let folder = workspace::programs().with_file_name("xtask").join("disk");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let squash = folder.join("rootfs.squashfs");
    let mut extract = Command::new("xorriso");
    extract.args(["-osirrox", "on", "-indev"]).arg(release.join("ashlar.iso"));
    extract.args(["-extract", "/ashlar/rootfs.squashfs"]).arg(&squash);
    session.run("Taking the root file system off the medium", "5 s", &mut extract)?;
    let mut unpack = Command::new("unsquashfs");
    unpack.args(["-quiet", "-no-progress", "-force", "-dest"]).arg(&folder).arg(&squash);
    unpack.args(["disk.img", "disk.json"]);
    session.run("Unpacking the disk image", "20 s", &mut unpack)?;
    Ok(folder)
}

/// A disk as the installing agent writes it, but with nobody's configuration, so that none of our programs starts on
/// it.
pub fn make(session: &Session, unpacked: &Path) -> Result<PathBuf> {
    let disk = unpacked.join("peer.img");
    session.run("Making a disk of it", "20 s", &mut write(&unpacked.join("disk.img"), &disk))?;
    Ok(disk)
}

/// One after the other.
pub fn measure(session: &Session, unpacked: &Path) -> Result<Writing> {
    let path = |name: &str| unpacked.join(name);
    let (image, squash, medium) = (path("disk.img"), path("rootfs.squashfs"), path("medium"));
    let packed = path("disk.img.zst");
    // All of them begin with a source that is in memory: what is measured is the writing.
    let mut pack = Command::new("zstd");
    pack.args(["-3", "-T0", "-q", "-f"]).arg(&image).arg("-o").arg(&packed);
    session.run("Packing the disk image for the peer", "20 s", &mut pack)?;
    fs::create_dir_all(&medium).with_context(|| format!("making {}", medium.display()))?;
    output(Command::new("mount").args(["-t", "squashfs", "-o", "loop,ro"]).arg(&squash).arg(&medium))?;
    let measured = (|| {
        Ok(Writing {
            ours: timed(&path("ours.img"), |disk| write(&image, disk))?,
            dd: timed(&path("dd.img"), |disk| shell(r#"dd if="$1" of="$2" bs=4M"#, &image, disk))?,
            ours_compressed: timed(&path("ours.img"), |disk| write(&medium.join("disk.img"), disk))?,
            zstd: timed(&path("dd.img"), |disk| {
                shell(r#"zstd -dcq "$1" | dd of="$2" bs=4M iflag=fullblock"#, &packed, disk)
            })?,
        })
    })();
    output(Command::new("umount").arg(&medium))?;
    measured
}

fn write(image: &Path, disk: &Path) -> Command {
    let mut command = Command::new(workspace::programs().join("ashlar-agent"));
    command.arg("write-image").arg(image).arg(disk).args(["--size", &SIZE.to_string()]);
    command
}

fn shell(script: &str, source: &Path, disk: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh"]).arg(source).arg(disk);
    command
}

/// Seconds until the file is on the disk; it is removed afterwards.
fn timed(disk: &Path, command: impl Fn(&Path) -> Command) -> Result<f64> {
    // What others left to be written is not counted here.
    output(&mut Command::new("sync"))?;
    let start = Instant::now();
    output(&mut command(disk))?;
    let synced = File::open(disk).and_then(|file| file.sync_all());
    synced.with_context(|| format!("flushing {}", disk.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_file(disk).with_context(|| format!("removing {}", disk.display()))?;
    Ok(seconds)
}
