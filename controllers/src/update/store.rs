//! The files of releases on a master: each under its SHA-256, so that what is there is whole, and nothing is kept
//! twice. `COMMIT.json` says which files a release has; it is there when all of them are.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ashlar_model::update::Index;
use sha2::{Digest, Sha256};

const BLOBS: &str = "blobs";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} {}", .doing, path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is no SHA-256 in hex")]
    Name(String),
    #[error("what came has the SHA-256 {found}, not {expected}: it was changed on the way; send it again")]
    Changed { found: String, expected: String },
    #[error("{0} is no path inside a release")]
    Path(String),
}

#[derive(Clone)]
pub struct Store {
    folder: Arc<Path>,
}

impl Store {
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// The files of a release that is here as a whole.
    #[must_use]
    pub fn index(&self, commit: &str) -> Option<Index> {
        serde_json::from_slice(&fs::read(self.index_path(commit).ok()?).ok()?).ok()
    }

    /// SHA-256 of those files of `index` that are not here.
    ///
    /// # Errors
    /// A name in it is no file of a release.
    pub fn missing(&self, index: &Index) -> Result<BTreeSet<String>, Error> {
        let mut missing = BTreeSet::new();
        for (path, file) in &index.files {
            check_path(path)?;
            // The length is told by the file system, so that a blob of another index is no answer for a wrong one.
            let there = fs::metadata(self.blob(&file.sha256)?).is_ok_and(|about| about.len() == file.bytes);
            if !there {
                missing.insert(file.sha256.clone());
            }
        }
        Ok(missing)
    }

    /// Where a file lies.
    ///
    /// # Errors
    /// It is no SHA-256.
    pub fn blob(&self, sha256: &str) -> Result<PathBuf, Error> {
        check_name(sha256)?;
        Ok(self.folder.join(BLOBS).join(&sha256[..2]).join(sha256))
    }

    /// A file that is coming.
    ///
    /// # Errors
    /// Nothing can be written here.
    pub fn receive(&self, sha256: &str) -> Result<Incoming, Error> {
        let place = self.blob(sha256)?;
        let folder = place.parent().unwrap_or(&place);
        fs::create_dir_all(folder).map_err(file("making", folder))?;
        let new = tempfile::NamedTempFile::new_in(folder).map_err(file("making a file in", folder))?;
        Ok(Incoming { new, hash: Sha256::new(), place, expected: sha256.to_owned() })
    }

    /// Says that a release is here, when all its files are; otherwise what is missing. Files of other releases
    /// are removed.
    ///
    /// # Errors
    /// A file cannot be read, written or removed.
    pub fn complete(&self, commit: &str, index: &Index) -> Result<BTreeSet<String>, Error> {
        let missing = self.missing(index)?;
        if missing.is_empty() {
            // Before it is said that they are here: a power cut must not make that untrue.
            sync(&self.folder)?;
            let path = self.index_path(commit)?;
            write(&path, &serde_json::to_vec(index).unwrap_or_default())?;
            sync(&self.folder)?;
            self.remove_others(commit, index)?;
        }
        Ok(missing)
    }

    fn remove_others(&self, commit: &str, index: &Index) -> Result<(), Error> {
        let keep: BTreeSet<&str> = index.files.values().map(|file| file.sha256.as_str()).collect();
        for entry in entries(&self.folder)? {
            let other = entry.extension().is_some_and(|extension| extension == "json")
                && entry.file_stem().is_none_or(|stem| stem != commit);
            if other {
                fs::remove_file(&entry).map_err(file("removing", &entry))?;
            }
        }
        for folder in entries(&self.folder.join(BLOBS))? {
            for blob in entries(&folder)? {
                let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !keep.contains(name.as_str()) {
                    fs::remove_file(&blob).map_err(file("removing", &blob))?;
                }
            }
        }
        Ok(())
    }

    fn index_path(&self, commit: &str) -> Result<PathBuf, Error> {
        check_name(commit)?;
        Ok(self.folder.join(format!("{commit}.json")))
    }
}

/// What has come of a file; it is dropped unless it is kept.
pub struct Incoming {
    new: tempfile::NamedTempFile,
    hash: Sha256,
    place: PathBuf,
    expected: String,
}

impl Incoming {
    /// # Errors
    /// There is no space.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        self.new.write_all(bytes).map_err(file("writing", &self.place))
    }

    /// Keeps the file, when it is what it is called.
    ///
    /// # Errors
    /// It is not, or cannot be kept.
    pub fn keep(self) -> Result<(), Error> {
        let found = hex::encode(self.hash.finalize());
        if found != self.expected {
            return Err(Error::Changed { found, expected: self.expected });
        }
        let kept = self.new.persist(&self.place);
        kept.map(drop).map_err(|error| file("writing", &self.place)(error.error))
    }
}

fn check_name(sha256: &str) -> Result<(), Error> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if sha256.len() == 64 && sha256.bytes().all(hex) { Ok(()) } else { Err(Error::Name(sha256.to_owned())) }
}

fn check_path(path: &str) -> Result<(), Error> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.split('/').all(plain) { Ok(()) } else { Err(Error::Path(path.to_owned())) }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(all) => Ok(all.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(source) => Err(Error::File { doing: "reading", path: folder.to_owned(), source }),
    }
}

/// A reader sees all of it or nothing.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(file("making", folder))?;
    let new = tempfile::NamedTempFile::new_in(folder).map_err(file("making a file in", folder))?;
    fs::write(new.path(), bytes).map_err(file("writing", path))?;
    new.persist(path).map(drop).map_err(|error| file("writing", path)(error.error))
}

/// Everything that was written to the file system of `folder` is on its disk.
fn sync(folder: &Path) -> Result<(), Error> {
    let open = fs::File::open(folder).map_err(file("opening", folder))?;
    rustix::fs::syncfs(open).map_err(|error| Error::File {
        doing: "writing to the disk of",
        path: folder.to_owned(),
        source: error.into(),
    })
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::release::File;

    fn sha(text: &str) -> String {
        hex::encode(Sha256::digest(text))
    }

    fn put(store: &Store, name: &str, text: &str) -> Result<(), Error> {
        let mut incoming = store.receive(name)?;
        incoming.add(text.as_bytes())?;
        incoming.keep()
    }

    fn index(files: &[(&str, &str)]) -> Index {
        let file = |text: &str| File { sha256: sha(text), bytes: text.len() as u64 };
        Index { files: files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect() }
    }

    #[test]
    fn a_release_is_here_when_all_its_files_are_and_an_older_one_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path());
        let (old, new) = (sha("old"), sha("new"));
        let first = index(&[("a", "1"), ("b/c", "2")]);
        assert_eq!(store.complete(&old, &first).expect("asked").len(), 2);
        assert_eq!(store.index(&old), None);
        put(&store, &sha("1"), "1").expect("kept");
        put(&store, &sha("2"), "2").expect("kept");
        assert!(store.complete(&old, &first).expect("asked").is_empty());
        assert_eq!(store.index(&old), Some(first));

        let second = index(&[("a", "1"), ("b/c", "3")]);
        assert_eq!(store.missing(&second).expect("asked"), BTreeSet::from([sha("3")]));
        put(&store, &sha("3"), "3").expect("kept");
        assert!(store.complete(&new, &second).expect("asked").is_empty());
        assert_eq!(store.index(&old), None);
        assert!(
            !store.blob(&sha("2")).expect("a name").exists()
                && store.blob(&sha("1")).expect("a name").exists()
        );
    }

    #[test]
    fn what_is_not_what_it_is_called_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path());
        assert!(matches!(put(&store, &sha("1"), "2"), Err(Error::Changed { .. })));
        assert!(!store.blob(&sha("1")).expect("a name").exists());
        for name in ["", "../../etc/passwd", "AA"] {
            assert!(matches!(put(&store, name, ""), Err(Error::Name(_))), "{name}");
            assert!(store.index(name).is_none());
        }
        assert!(matches!(store.missing(&index(&[("../a", "1")])), Err(Error::Path(_))));
    }
}
