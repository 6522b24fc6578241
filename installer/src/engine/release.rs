//! The release that is installed: found, its signature and what is used of it checked, its medium opened.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ashlar_image::{medium, release as directory};
use ashlar_model::release::{Media, Release};
use sha2::{Digest, Sha256};

use super::disk::Consent;
use super::journal::Journal;
use crate::failure::{Fails, Failure};

const BUILD: &str = "`ashlar release build` makes one; --release names another";

pub struct OpenRelease {
    pub directory: PathBuf,
    pub release: Release,
    pub media: Media,
}

/// `$ASHLAR_CACHE`, `$XDG_CACHE_HOME/ashlar` or `~/.cache/ashlar`.
pub fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("ASHLAR_CACHE") {
        return PathBuf::from(cache);
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from).join("ashlar")
}

/// The release that was asked for, else the newest of the cache.
///
/// # Errors
/// There is none.
pub fn locate(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        let there = path.join(directory::MANIFEST).exists();
        return match there {
            true => Ok(path.to_owned()),
            false => Err(Failure::user(format!("{} holds no release", path.display())).hint(BUILD)),
        };
    }
    // The newest one has this name, and another one after the next build.
    let newest = cache().join("release/dev");
    std::fs::canonicalize(&newest)
        .map_err(|error| Failure::user("there is no release in the cache").because(error).hint(BUILD))
}

impl OpenRelease {
    /// Checks signature and medium; a medium that was hashed before and has not changed since is not read again.
    /// `key`: public key (minisign) that must have signed it; `None` takes the one beside it. Whichever it is, the
    /// install keeps to it.
    ///
    /// # Errors
    /// Something is missing, changed or not signed.
    pub async fn open(path: &Path, key: Option<&Path>, journal: &Journal) -> Result<Self, Failure> {
        let beside = path.join(directory::PUBLIC_KEY);
        let key = key.unwrap_or(&beside);
        let text = std::fs::read_to_string(key).failing(|| format!("reading the key {}", key.display()))?;
        let release = directory::read_signed(path, Some(&text)).failing(|| {
            format!("checking the signature of the release in {} with {}", path.display(), key.display())
        })?;
        keep_to(&text, path, journal)?;
        let iso = path.join(directory::MEDIUM);
        let expected = release.files.get(directory::MEDIUM).map(|file| file.sha256.clone());
        let expected = expected.ok_or_else(|| {
            Failure::user(format!("the release in {} has no medium", path.display())).hint(BUILD)
        })?;
        let stamp = stamp(&iso, &expected).failing(|| format!("reading {}", iso.display()))?;
        let checked: Option<String> =
            journal.get("medium-checked").failing(|| "reading the journal".into())?;
        if checked.as_ref() != Some(&stamp) {
            let file = iso.clone();
            let found = tokio::task::spawn_blocking(move || hash(&file)).await;
            let found = found.failing(|| "hashing the medium".into())?;
            let found = found.failing(|| format!("hashing {}", iso.display()))?;
            if found != expected {
                let what =
                    format!("{} is not what the release says ({found}, not {expected})", iso.display());
                return Err(Failure::user(what).hint("get or build the release again"));
            }
            journal.put("medium-checked", &stamp).failing(|| "writing the journal".into())?;
        }
        let media = medium::read_media(&iso).failing(|| format!("reading {}", iso.display()))?;
        Ok(Self { directory: path.to_owned(), release, media })
    }

    /// The small medium, checked; none when no host is to have it.
    ///
    /// # Errors
    /// The release has none, or it is changed.
    pub fn minimal(&self, hosts: &Consent) -> Result<Option<(PathBuf, Media)>, Failure> {
        if *hosts == Consent::Nobody {
            return Ok(None);
        }
        let path = self.directory.join(directory::MINIMAL_MEDIUM);
        let lacks =
            || Failure::user(format!("the release in {} has no minimal medium", self.directory.display()));
        let expected = &self.release.files.get(directory::MINIMAL_MEDIUM).ok_or_else(lacks)?.sha256;
        let found = hash(&path).failing(|| format!("hashing {}", path.display()))?;
        if found != *expected {
            let what = format!("{} is not what the release says ({found}, not {expected})", path.display());
            return Err(Failure::user(what).hint("get or build the release again"));
        }
        let media = medium::read_media(&path).failing(|| format!("reading {}", path.display()))?;
        Ok(Some((path, media)))
    }

    pub fn iso(&self) -> PathBuf {
        self.directory.join(directory::MEDIUM)
    }
}

/// Refuses a release of other makers than the one that the install began with.
fn keep_to(key: &str, path: &Path, journal: &Journal) -> Result<(), Failure> {
    const KEPT: &str = "release-key";
    let key = key.lines().last().unwrap_or_default();
    match journal.get::<String>(KEPT).failing(|| "reading the journal".into())? {
        None => journal.put(KEPT, &key.to_owned()).failing(|| "writing the journal".into()),
        Some(kept) if kept == key => Ok(()),
        Some(kept) => Err(Failure::user(format!(
            "the release in {} is signed with the key {key}, this install began with one of {kept}",
            path.display()
        ))
        .hint("name the release of the beginning with --release, or destroy the cluster and begin again")),
    }
}

/// Changes when the file does.
fn stamp(path: &Path, expected: &str) -> std::io::Result<String> {
    let data = path.metadata()?;
    Ok(format!("{} {} {}.{} {expected}", data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}
