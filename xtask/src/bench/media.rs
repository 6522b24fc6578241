//! Writing a host's settings into a medium, beside packing the medium anew with xorriso; both begin with a file and end
//! with a file that is on the disk.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::process::{ashlar, output};
use crate::workspace;

const KEYFILE: &str =
    "[connection]\nid=uplink\ntype=ethernet\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.9/24\n";

pub struct Media {
    /// Seconds, in place.
    pub customize: f64,
    /// Seconds, of a copy.
    pub copy: f64,
    /// Seconds of xorriso.
    pub repack: f64,
}

/// One after the other on the release's full medium.
pub fn measure(release: &Path) -> Result<Media> {
    let folder = workspace::programs().with_file_name("xtask").join("bench-media");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let measured = measure_in(&folder, &release.join("ashlar.iso"));
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    measured
}

fn measure_in(folder: &Path, original: &Path) -> Result<Media> {
    let path = |name: &str| folder.join(name);
    fs::copy(original, path("own.iso")).context("copying the medium")?;
    let keyfile = path("uplink.nmconnection");
    fs::write(&keyfile, KEYFILE).context("writing a keyfile")?;
    let change = |iso: &Path| {
        let mut command = ashlar(["media", "customize"]);
        command.arg(iso).arg("--network-keyfile").arg(&keyfile);
        command
    };
    let customize = timed(&mut change(&path("own.iso")), &path("own.iso"))?;
    let copy = timed(change(original).arg("--to").arg(path("copy.iso")), &path("copy.iso"))?;
    let mut xorriso = Command::new("xorriso");
    xorriso.arg("-indev").arg(original).arg("-outdev").arg(path("repacked.iso"));
    xorriso.arg("-map").arg(&keyfile).arg("/ashlar/uplink.nmconnection");
    xorriso.args(["-boot_image", "any", "replay", "-commit"]);
    let repack = timed(&mut xorriso, &path("repacked.iso"))?;
    Ok(Media { customize, copy, repack })
}

/// Seconds until the file is on the disk.
fn timed(command: &mut Command, made: &Path) -> Result<f64> {
    let start = Instant::now();
    output(command)?;
    let synced = File::open(made).and_then(|file| file.sync_all());
    synced.with_context(|| format!("flushing {}", made.display()))?;
    Ok(start.elapsed().as_secs_f64())
}
