//! The medium's root filesystem file: a squashfs with the disk image, its manifest and the release inside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};

pub const DISK_IMAGE: &str = "disk.img";
pub const DISK_MANIFEST: &str = "disk.json";
pub const RELEASE: &str = "release.json";

#[derive(Debug, thiserror::Error)]
#[error("compressing {} into {}", from.display(), to.display())]
pub struct Error {
    from: PathBuf,
    to: PathBuf,
    source: cmd::Error,
}

/// Compresses the directory `from`. Blocks of 256 KiB: the live system reads single pages through them.
///
/// # Errors
/// mksquashfs fails (no space).
pub async fn make(from: &Path, to: &Path, level: u32) -> Result<(), Error> {
    let made = Cmd::new("mksquashfs")
        .arg(from)
        .arg(to)
        .args([
            "-noappend",
            "-no-progress",
            "-quiet",
            "-no-xattrs",
            "-all-root",
            "-all-time",
            "0",
            "-mkfs-time",
            "0",
        ])
        .args(["-b", "256K", "-comp", "zstd", "-Xcompression-level", &level.to_string()])
        .timeout(Duration::from_secs(1800))
        .run()
        .await;
    made.map(drop).map_err(|source| Error { from: from.to_owned(), to: to.to_owned(), source })
}
