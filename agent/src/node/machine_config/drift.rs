//! Finds files that are not what the config says. Contents are read only when the file was touched since the last look.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ashlar_ignition::running::{Entry, Kept};

use super::{below, paths};

/// Inode, size, and times of the last changes of contents and of the rest, in nanoseconds.
type Stamp = (u64, u64, i64, i64);

pub struct Watch {
    root: PathBuf,
    seen: BTreeMap<String, Stamp>,
}

impl Watch {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), seen: BTreeMap::new() }
    }

    /// Paths that differ now.
    pub fn differing(&mut self, kept: &Kept) -> Vec<String> {
        self.seen.retain(|path, _| kept.entries.contains_key(path));
        kept.entries
            .iter()
            .filter(|(path, entry)| !self.is_right(path, entry))
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn is_right(&mut self, path: &str, entry: &Entry) -> bool {
        let place = below(&self.root, path);
        let Ok(data) = place.symlink_metadata() else { return false };
        let stamp = stamp(&data);
        if self.seen.get(path) == Some(&stamp) {
            return true;
        }
        let right = match entry {
            Entry::Link { target } => std::fs::read_link(&place).is_ok_and(|have| have == Path::new(target)),
            Entry::Directory { mode, owner } => data.is_dir() && self.owned(&data, *mode, owner),
            Entry::File { contents, mode, owner } => {
                data.is_file()
                    && data.len() == contents.len() as u64
                    && self.owned(&data, *mode, owner)
                    && std::fs::read(&place).is_ok_and(|have| have == *contents)
            }
        };
        if right {
            self.seen.insert(path.to_owned(), stamp);
        }
        right
    }

    fn owned(&self, data: &Metadata, mode: u32, owner: &ashlar_ignition::running::Principals) -> bool {
        let ids = paths::owner(&self.root, owner);
        data.permissions().mode() & 0o7777 == mode && ids.is_ok_and(|ids| ids == (data.uid(), data.gid()))
    }
}

fn stamp(data: &Metadata) -> Stamp {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    (
        data.ino(),
        data.len(),
        nanoseconds(data.mtime(), data.mtime_nsec()),
        nanoseconds(data.ctime(), data.ctime_nsec()),
    )
}
