//! Cached build stages: a directory named by the hash of everything that goes into it.
//!
//! A stage is made in a temporary directory beside its place and renamed, so it is whole or absent.

use std::fs;
use std::future::Future;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Written last; a directory without it is not a finished stage.
const STAMP: &str = ".finished";
/// Older results of a stage that are kept.
const KEEP: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {} to see whether it changed", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("preparing build stage {}", path.display())]
    Prepare { path: PathBuf, source: io::Error },
    #[error("finishing build stage {}", path.display())]
    Finish { path: PathBuf, source: io::Error },
}

/// Collects a stage's inputs.
#[derive(Clone)]
pub struct Key(Sha256);

impl Key {
    /// `source` is the code of the stage itself, so that changed code makes a new result.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self(Sha256::new()).text(source)
    }

    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// Contents of a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(self, path: &Path) -> Result<Self, Error> {
        let (digest, _) = hash_file(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Ok(self.text(&digest))
    }

    /// Names, kinds, executable bits and contents of everything below `dir`.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn tree(mut self, dir: &Path) -> Result<Self, Error> {
        for path in sorted(dir)? {
            let read = |source| Error::Read { path: path.clone(), source };
            let about = fs::symlink_metadata(&path).map_err(read)?;
            self = self.text(&path.file_name().unwrap_or_default().to_string_lossy());
            if about.is_symlink() {
                let target = fs::read_link(&path).map_err(read)?;
                self = self.text("link").text(&target.to_string_lossy());
            } else if about.is_dir() {
                self = self.text("enter").tree(&path)?.text("leave");
            } else {
                let mode = if about.permissions().mode() & 0o111 == 0 { "file" } else { "program" };
                self = self.text(mode).file(&path)?;
            }
        }
        Ok(self)
    }

    #[must_use]
    pub fn finish(self) -> String {
        let mut key = hex::encode(self.0.finalize());
        key.truncate(20);
        key
    }
}

/// The finished stage `name` with this key; `make` fills its directory when there is none.
///
/// # Errors
/// Those of `make`, or the directory cannot be created or renamed.
pub async fn cached<E, F, Made>(cache: &Path, name: &str, key: &str, make: F) -> Result<PathBuf, E>
where
    E: From<Error>,
    F: FnOnce(PathBuf) -> Made,
    Made: Future<Output = Result<(), E>>,
{
    let parent = cache.join(name);
    let place = parent.join(key);
    if place.join(STAMP).exists() {
        return Ok(place);
    }
    let prepare = |source| Error::Prepare { path: place.clone(), source };
    fs::create_dir_all(&parent).map_err(prepare)?;
    let work = tempfile::Builder::new()
        .prefix(".building-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(&parent)
        .map_err(prepare)?;
    make(work.path().to_owned()).await?;
    let finish = |source| Error::Finish { path: place.clone(), source };
    fs::write(work.path().join(STAMP), "").map_err(finish)?;
    // Somebody else may have finished the same stage meanwhile, and be using it.
    if !place.join(STAMP).exists() {
        if place.exists() {
            fs::remove_dir_all(&place).map_err(finish)?;
        }
        fs::rename(work.keep(), &place).map_err(finish)?;
    }
    prune(&parent, &place);
    Ok(place)
}

/// Directories of a stage's finished results.
#[must_use]
pub fn finished(cache: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.join(name)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<_> = entries.filter(|path| !path.is_symlink() && path.join(STAMP).exists()).collect();
    all.sort();
    all
}

/// SHA-256 in hex and length in bytes.
///
/// # Errors
/// The file cannot be read.
pub fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hex::encode(hash.finalize()), length));
        }
        hash.update(&buffer[..read]);
        length += read as u64;
    }
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: dir.to_owned(), source };
    let entries = fs::read_dir(dir).map_err(read)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(read)?;
    paths.sort();
    Ok(paths)
}

/// Removes all but the newest results, and what a link beside them names. A result that cannot be removed only costs
/// space.
fn prune(parent: &Path, newest: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let named: Vec<_> = entries.iter().filter_map(|path| Some(parent.join(path.read_link().ok()?))).collect();
    let mut finished: Vec<_> = entries
        .into_iter()
        .filter(|path| path != newest && !path.is_symlink() && !named.contains(path))
        .filter_map(|path| {
            let stamp = fs::metadata(path.join(STAMP)).ok()?;
            Some((stamp.modified().ok()?, path))
        })
        .collect();
    finished.sort();
    finished.reverse();
    for (_, path) in finished.into_iter().skip(KEEP - 1) {
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::debug!(path = %path.display(), %error, "keeping an old build stage");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_changes_with_names_modes_and_contents() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("a");
        let key = || Key::new("code").tree(dir.path()).expect("readable").finish();
        fs::write(&file, "1").expect("write");
        let first = key();
        assert_eq!(first, key());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("chmod");
        let program = key();
        assert_ne!(first, program);
        fs::write(&file, "2").expect("write");
        assert_ne!(program, key());
    }

    #[test]
    fn what_a_link_names_is_kept_however_old_it_is() {
        let cache = tempfile::tempdir().expect("temporary directory");
        for name in ["a", "b", "c", "d", "e"] {
            fs::create_dir(cache.path().join(name)).expect("a directory");
            fs::write(cache.path().join(name).join(STAMP), "").expect("a stamp");
        }
        for (name, age) in [("a", 50), ("b", 40), ("c", 30), ("d", 20), ("e", 10)] {
            let stamp = fs::File::open(cache.path().join(name).join(STAMP)).expect("a stamp");
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            stamp.set_modified(then).expect("a time");
        }
        std::os::unix::fs::symlink("a", cache.path().join("dev")).expect("a link");
        prune(cache.path(), &cache.path().join("e"));
        let left = |name: &str| cache.path().join(name).exists();
        assert_eq!(["a", "b", "c", "d", "e"].map(left), [true, false, true, true, true]);
    }

    #[tokio::test]
    async fn a_finished_stage_is_not_made_again_and_a_failed_one_is() {
        let cache = tempfile::tempdir().expect("temporary directory");
        let make = |ok: bool| {
            cached(cache.path(), "stage", "key", move |dir| async move {
                fs::write(dir.join("result"), ok.to_string()).expect("write");
                if ok { Ok(()) } else { Err(Error::Read { path: dir, source: io::ErrorKind::Other.into() }) }
            })
        };
        assert!(make(false).await.is_err());
        let place = make(true).await.expect("made");
        assert!(make(false).await.is_ok());
        assert_eq!(fs::read_to_string(place.join("result")).expect("read"), "true");
    }
}
