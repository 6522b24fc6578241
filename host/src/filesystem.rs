//! Making filesystems and finding out what is on a disk (`mke2fs`, `blkid`), at offsets of a whole disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cmd::{self, Cmd};

/// `blkid` says so when it finds nothing.
const NOTHING_FOUND: i32 = 2;

/// `_IOR('X', 125, u32)`: EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same request.
const SHUT_DOWN: libc::c_ulong = 0x8004_587d;
const WITHOUT_LOG_FLUSH: u32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("opening {}", path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error("{} is not on the device that it should be on", path.display())]
    OtherDevice { path: PathBuf },
    #[error("shutting down the filesystem at {}", path.display())]
    ShutDown { path: PathBuf, source: std::io::Error },
    #[error("making an ext4 filesystem labelled `{label}` on {} at byte {offset}", disk.display())]
    Make { label: String, disk: PathBuf, offset: u64, source: cmd::Error },
    #[error("looking for what is on {} at byte {offset}", disk.display())]
    Probe { disk: PathBuf, offset: u64, source: cmd::Error },
}

/// Makes an ext4 filesystem of `size` bytes at `offset` bytes of a disk.
///
/// # Errors
/// `mke2fs` fails.
pub async fn make_ext4(disk: &Path, offset: u64, size: u64, label: &str) -> Result<(), Error> {
    let run = Cmd::new("mke2fs").args(make_ext4_args(disk, offset, size, label)).run().await;
    run.map(drop).map_err(|source| Error::Make {
        label: label.to_owned(),
        disk: disk.to_owned(),
        offset,
        source,
    })
}

fn make_ext4_args(disk: &Path, offset: u64, size: u64, label: &str) -> Vec<String> {
    let options = format!("offset={offset},lazy_itable_init=1,lazy_journal_init=1,nodiscard");
    let fixed = ["-q", "-F", "-t", "ext4", "-L", label, "-E", &options];
    let mut args: Vec<String> = fixed.map(str::to_owned).into();
    args.extend([disk.display().to_string(), format!("{}k", size / 1024)]);
    args
}

/// What `blkid` finds at `offset` of a disk (`TYPE`, `LABEL`, `UUID`, …); empty when it finds nothing.
///
/// # Errors
/// `blkid` fails.
pub async fn probe(disk: &Path, offset: u64) -> Result<BTreeMap<String, String>, Error> {
    let probe = Cmd::new("blkid").args(["--probe", "--output", "export", "--offset"]);
    match probe.arg(offset.to_string()).arg(disk).run().await {
        Ok(output) => Ok(parse_export(&output.stdout)),
        Err(error) if error.code() == Some(NOTHING_FOUND) => Ok(BTreeMap::new()),
        Err(source) => Err(Error::Probe { disk: disk.to_owned(), offset, source }),
    }
}

/// Ends a mounted ext4 or xfs filesystem as a power cut would: nothing more is written to the disk, not even its
/// journal. `device` is the number of the block device that it must be on, lest another filesystem is hit.
///
/// # Errors
/// Another device is mounted there, or the filesystem cannot do that.
pub fn shut_down(mount_point: &Path, device: u64) -> Result<(), Error> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    let failed = |source| Error::Open { path: mount_point.to_owned(), source };
    let file = std::fs::File::open(mount_point).map_err(failed)?;
    if file.metadata().map_err(failed)?.dev() != device {
        return Err(Error::OtherDevice { path: mount_point.to_owned() });
    }
    let how = WITHOUT_LOG_FLUSH;
    // SAFETY: the descriptor is open, and the request reads one u32 that outlives the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), SHUT_DOWN, &raw const how) } == 0 {
        return Ok(());
    }
    Err(Error::ShutDown { path: mount_point.to_owned(), source: std::io::Error::last_os_error() })
}

fn parse_export(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_filesystem_is_found_where_it_was_made() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(12 << 20).expect("room");
        make_ext4(file.path(), 4 << 20, 8 << 20, "var").await.expect("made");
        let found = probe(file.path(), 4 << 20).await.expect("probed");
        assert_eq!((found["TYPE"].as_str(), found["LABEL"].as_str()), ("ext4", "var"));
        assert!(probe(file.path(), 0).await.expect("probed").is_empty());
    }
}
