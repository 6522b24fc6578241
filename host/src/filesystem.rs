//! Making filesystems and finding out what is on a disk (`mke2fs`, `blkid`), at offsets of a whole disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cmd::{self, Cmd};

/// `blkid` says so when it finds nothing.
const NOTHING_FOUND: i32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum Error {
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
