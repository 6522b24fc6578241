//! What stands in the way of a change, seen before a pod has to leave for it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ashlar_ignition::running::{Change, Entry, Kind};
use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{below, paths};

/// Left free on every file system that is written to.
const RESERVE: u64 = 16 << 20;

/// Each in words; empty when nothing does. The reason may pass by itself: a file system may get room.
pub fn obstacles(root: &Path, steps: &[Change]) -> Vec<String> {
    let mut found = Vec::new();
    // By file system: bytes, and a place on it.
    let mut needs: BTreeMap<u64, (u64, PathBuf)> = BTreeMap::new();
    for step in steps {
        let Kind::Path { path, new: Some(entry), .. } = &step.kind else { continue };
        let place = below(root, path);
        let is_directory = place.symlink_metadata().is_ok_and(|data| data.is_dir());
        if is_directory && !matches!(entry, Entry::Directory { .. }) {
            found.push(format!("{path} is a directory on this node: remove it, or name another path"));
        }
        if let Entry::File { owner, .. } | Entry::Directory { owner, .. } = entry
            && let Err(error) = paths::owner(root, owner)
        {
            found.push(format!("{path}: {error}"));
        }
        let Some(there) = place.ancestors().find(|ancestor| ancestor.exists()) else { continue };
        if there != place && !there.is_dir() {
            let there = there.strip_prefix(root).unwrap_or(there);
            found.push(format!("{path} lies below /{}, which is no directory", there.display()));
        }
        let Ok(data) = fs::metadata(there) else { continue };
        let size = if let Entry::File { contents, .. } = entry { contents.len() as u64 } else { 0 };
        let need = needs.entry(data.dev()).or_insert((0, there.to_owned()));
        need.0 += size;
    }
    for (bytes, place) in needs.values() {
        let Ok(about) = statvfs(place) else { continue };
        let shown = Path::new("/").join(place.strip_prefix(root).unwrap_or(place));
        if about.f_flag.contains(StatVfsMountFlags::RDONLY) {
            found.push(format!("the file system of {} cannot be written", shown.display()));
        } else if about.f_bavail * about.f_frsize < bytes + RESERVE {
            let (free, need) = (about.f_bavail * about.f_frsize, bytes + RESERVE);
            found.push(format!(
                "the file system of {} has {free} bytes free and needs {need}: make room",
                shown.display()
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use ashlar_ignition::Principal;
    use ashlar_ignition::running::{Need, Principals};

    use super::*;

    fn file(path: &str, owner: Principals) -> Change {
        let entry = Entry::File { contents: b"x".to_vec(), mode: 0o644, owner };
        let kind = Kind::Path { path: path.into(), old: None, new: Some(entry) };
        Change { kind, need: Need::Nothing }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join("etc/there")).expect("a folder");
        fs::write(root.join("etc/file"), "").expect("a file");
        fs::write(root.join("etc/passwd"), "app:x:7:7::/:/bin/sh\n").expect("accounts");
        fs::write(root.join("etc/group"), "app:x:7:\n").expect("accounts");
        let somebody = |name: &str| Principals { user: Some(Principal::Name(name.into())), group: None };
        let of = |change: Change| obstacles(root, &[change]).join("; ");
        assert_eq!(of(file("/etc/new/deep", somebody("app"))), "");
        assert!(of(file("/etc/there", Principals::default())).contains("is a directory"));
        assert!(of(file("/etc/file/below", Principals::default())).contains("below /etc/file"));
        assert!(of(file("/etc/new", somebody("nobody-here"))).contains("nobody-here is neither"));
    }
}
