//! Static deltas: what one release's system has over another's, in one stream. A node that has the old system fetches
//! that instead of objects one by one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chroot::{self, Chroot};
use crate::repository::DIRECTORY;
use crate::stage;

/// In a repository.
const DELTAS: &str = "deltas";
/// Files above this many MiB are sent as they are: comparing them takes seventeen times their size of memory.
const LARGEST_COMPARED: u32 = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no package tree in {}, whose `ostree` would be taken\nhint: build a release first", cache.display())]
    NoTree { cache: PathBuf },
    #[error("{} has no OSTree repository", release.display())]
    NoRepository { release: PathBuf },
    #[error("both releases have the system {commit}: there is nothing between them")]
    Same { commit: String },
    #[error("making the delta")]
    Make(#[source] chroot::Error),
    #[error("reading or writing {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// What a node fetches to get from the one system to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Delta {
    pub bytes: u64,
    /// Without the delta.
    pub objects: u64,
    pub object_bytes: u64,
}

/// A release directory and its commit.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    pub release: &'a Path,
    pub commit: &'a str,
}

/// Adds the delta from `old` to the repository of `new`. Takes a copy of both repositories' space meanwhile.
///
/// # Errors
/// There is nothing to run `ostree` from, a repository lacks its commit, or there is no space.
pub async fn make(cache: &Path, old: System<'_>, new: System<'_>) -> Result<Delta, Error> {
    if old.commit == new.commit {
        return Err(Error::Same { commit: new.commit.to_owned() });
    }
    for System { release, .. } in [old, new] {
        if !release.join(DIRECTORY).join("config").exists() {
            return Err(Error::NoRepository { release: release.to_owned() });
        }
    }
    let tree = newest_tree(cache).ok_or_else(|| Error::NoTree { cache: cache.to_owned() })?;
    let work = tempfile::Builder::new().prefix(".delta-").tempdir_in(cache);
    let work = work.map_err(|source| Error::File { path: cache.to_owned(), source })?;
    let run = async |script: &str| {
        let command = Chroot::new(&tree)
            .bind(work.path(), "/mnt/work")
            .bind(&old.release.join(DIRECTORY), "/mnt/old")
            .bind(&new.release.join(DIRECTORY), "/mnt/new")
            .timeout(Duration::from_secs(3600));
        command.run(&["sh", "-euc", script, "sh", old.commit, new.commit]).await.map_err(Error::Make)
    };
    run("cd /mnt/work
         ostree --repo=repo init --mode=archive
         ostree --repo=repo config set core.fsync false
         ostree --repo=repo pull-local --disable-verify-bindings /mnt/old \"$1\"")
    .await?;
    let objects = work.path().join("repo/objects");
    let before = measure(&objects)?;
    let generate = format!(
        "cd /mnt/work
         ostree --repo=repo pull-local --disable-verify-bindings /mnt/new \"$2\"
         ostree --repo=repo static-delta generate --from=\"$1\" --to=\"$2\" --min-fallback-size=0 \
             --max-bsdiff-size={LARGEST_COMPARED}
         cp -r repo/{DELTAS} /mnt/new/
         ostree --repo=/mnt/new summary --update"
    );
    run(&generate).await?;
    let after = measure(&objects)?;
    let (_, bytes) = measure(&work.path().join("repo").join(DELTAS))?;
    Ok(Delta { bytes, objects: after.0 - before.0, object_bytes: after.1 - before.1 })
}

fn newest_tree(cache: &Path) -> Option<PathBuf> {
    let trees = stage::finished(cache, "tree").into_iter();
    let newest = trees.max_by_key(|path| fs::metadata(path).and_then(|about| about.modified()).ok())?;
    Some(newest.join("root"))
}

/// Number and bytes of the files below `dir`.
fn measure(dir: &Path) -> Result<(u64, u64), Error> {
    let fail = |source| Error::File { path: dir.to_owned(), source };
    let (mut files, mut bytes) = (0, 0);
    let mut ahead = vec![dir.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(&dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let about = entry.metadata().map_err(fail)?;
            if about.is_dir() {
                ahead.push(entry.path());
            } else {
                files += 1;
                bytes += about.size();
            }
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_system_twice_and_a_folder_without_one_are_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let of = |commit| System { release: dir.path(), commit };
        let same = make(dir.path(), of("a"), of("a")).await;
        assert!(matches!(same, Err(Error::Same { .. })), "{same:?}");
        let none = make(dir.path(), of("a"), of("b")).await;
        assert!(matches!(none, Err(Error::NoRepository { .. })), "{none:?}");
    }

    #[test]
    fn files_are_counted_in_all_folders() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(dir.path().join("a")).expect("a folder");
        fs::write(dir.path().join("a/b"), "12345").expect("write");
        fs::write(dir.path().join("c"), "1").expect("write");
        assert_eq!(measure(dir.path()).expect("measured"), (2, 6));
    }
}
