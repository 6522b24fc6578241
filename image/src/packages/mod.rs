//! The Debian packages of the system: which ones (the lock), fetched once, and kept as an archive of their own that
//! the system is installed from. After this step the network is not needed, and two builds have the same packages.

mod apt;
mod install;
mod local;
pub mod lock;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_host::cmd::{self, Cmd};

use apt::{Apt, Mirror};
pub use install::{Error as InstallError, install};
use lock::{Lock, Locked};

/// In the release directory, and with the packages.
pub const LOCK: &str = "packages.lock.json";
/// Folder of the packages beside their lock.
const FILES: &str = "pool";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the package list {}", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("reading the lock {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no lock of packages", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the lock {} is of {found}; this program builds {SUITE} {ARCHITECTURE} from locks of format 1",
            path.display(), SUITE = apt::SUITE, ARCHITECTURE = apt::ARCHITECTURE)]
    Other { path: PathBuf, found: String },
    #[error("keeping the package {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("reading the package {}", path.display())]
    Package { path: PathBuf, source: cmd::Error },
    #[error("{} says not which package it is", path.display())]
    Nameless { path: PathBuf },
    #[error("apt fetched {file}, which is of no archive that it knows")]
    Origin { file: String },
    #[error(transparent)]
    Apt(#[from] apt::Error),
}

/// The names in a list with one package a line.
///
/// # Errors
/// It cannot be read.
pub fn list(path: &Path) -> Result<Vec<String>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::List { path: path.to_owned(), source })?;
    Ok(names(&text).into_iter().map(str::to_owned).collect())
}

/// # Errors
/// The file cannot be read, or is no lock that can be built from.
pub fn read_lock(path: &Path) -> Result<Lock, Error> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let lock: Lock =
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path: path.to_owned(), source })?;
    if (lock.format, lock.suite.as_str(), lock.architecture.as_str())
        != (Lock::FORMAT, apt::SUITE, apt::ARCHITECTURE)
    {
        let found = format!("{} {}, format {}", lock.suite, lock.architecture, lock.format);
        return Err(Error::Other { path: path.to_owned(), found });
    }
    Ok(lock)
}

/// Fills `dir` with the packages that installing `wanted` needs, and their lock. With a lock, exactly its packages
/// are taken, from the folders `known` or an archive; if one cannot be had, all are chosen anew, as near to the lock
/// as possible.
///
/// # Errors
/// No mirror can be reached, a package does not exist, or there is no space.
pub async fn fetch(
    wanted: &[String],
    lock: Option<&Lock>,
    known: &[PathBuf],
    dir: &Path,
    report: &dyn Fn(&str),
) -> Result<(), Error> {
    let pool = dir.join(FILES);
    fs::create_dir_all(&pool).map_err(keep(&pool))?;
    let work = dir.join("apt");
    let apt = Apt::new(&work).await?;
    let mut controls = Vec::new();
    let mut missing = Vec::new();
    if let Some(lock) = lock {
        missing = collect(&apt, lock, known, &pool, report).await?;
        let locked = |name: &&String| !lock.packages.iter().any(|one| one.name == **name);
        missing.extend(wanted.iter().filter(locked).map(|name| format!("{name} (not locked)")));
    }
    let taken = match lock {
        Some(lock) if missing.is_empty() => {
            for one in &lock.packages {
                controls.push((one.clone(), control(&pool.join(one.file())).await?));
            }
            lock.clone()
        }
        _ => {
            if !missing.is_empty() {
                report(&format!("cannot be taken as locked: {}", missing.join(", ")));
            }
            resolve(&apt, wanted, lock, &pool, &mut controls).await?
        }
    };
    local::write(dir, apt::SUITE, apt::ARCHITECTURE, &controls)?;
    let text = serde_json::to_vec_pretty(&taken);
    let place = dir.join(LOCK);
    let text = text.map_err(|source| Error::Parse { path: place.clone(), source })?;
    fs::write(&place, text).map_err(keep(&place))?;
    fs::remove_dir_all(&work).map_err(keep(&work))
}

/// Puts what is locked into `pool`; returns the names of what cannot be had.
async fn collect(
    apt: &Apt,
    lock: &Lock,
    known: &[PathBuf],
    pool: &Path,
    report: &dyn Fn(&str),
) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    for one in &lock.packages {
        let place = pool.join(one.file());
        let mut here = known.iter().map(|dir| dir.join(FILES).join(one.file()));
        if let Some(here) = here.find(|path| is(path, one)) {
            link_or_copy(&here, &place).map_err(keep(&place))?;
            continue;
        }
        let mirror = apt.mirrors.iter().find(|mirror| mirror.label == one.archive);
        let Some(Mirror { address, .. }) = mirror else {
            missing.push(one.name.clone());
            continue;
        };
        report(&format!("{} {}", one.name, one.version));
        let url = format!("{}/{}", address.trim_end_matches('/'), one.path);
        if let Err(error) = apt.file(&url, &one.sha256, &place).await {
            tracing::info!(package = one.name, %error, "a locked package cannot be fetched");
            // Half a file, or one with another hash, must not be taken for it.
            let _ = fs::remove_file(&place);
            missing.push(one.name.clone());
        }
    }
    Ok(missing)
}

/// Lets apt choose; what of the lock is in `pool` already is offered to it, and preferred.
async fn resolve(
    apt: &Apt,
    wanted: &[String],
    lock: Option<&Lock>,
    pool: &Path,
    controls: &mut Vec<(Locked, String)>,
) -> Result<Lock, Error> {
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    if let Some(lock) = lock {
        let mut had = Vec::new();
        for one in lock.packages.iter().filter(|one| pool.join(one.file()).exists()) {
            had.push((one.clone(), control(&pool.join(one.file())).await?));
        }
        let dir = pool.parent().unwrap_or(pool);
        local::write(dir, apt::SUITE, apt::ARCHITECTURE, &had)?;
        apt.configure(&local::source(dir, apt::SUITE), &lock.preferences())?;
    }
    apt.update().await?;
    let planned = apt.plan(&wanted).await?;
    apt.download(&wanted).await?;
    let mut packages = Vec::new();
    for apt::Planned { url, file } in planned {
        let (from, place) = (apt.archives().join(&file), pool.join(&file));
        if from.exists() {
            fs::rename(&from, &place).map_err(keep(&place))?;
        }
        let text = control(&place).await?;
        let mut one = locked(&place, &text)?;
        let before = lock.into_iter().flat_map(|lock| &lock.packages).find(|old| old.sha256 == one.sha256);
        (one.archive, one.path) = match (before, origin(&apt.mirrors, &url)) {
            (Some(before), _) => (before.archive.clone(), before.path.clone()),
            (None, Some(origin)) => origin,
            (None, None) => return Err(Error::Origin { file }),
        };
        controls.push((one.clone(), text));
        packages.push(one);
    }
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    let (suite, architecture) = (apt::SUITE.into(), apt::ARCHITECTURE.into());
    Ok(Lock { format: Lock::FORMAT, suite, architecture, packages })
}

/// What a package says of itself.
async fn control(package: &Path) -> Result<String, Error> {
    let said = Cmd::new("dpkg-deb").arg("--field").arg(package).run().await;
    Ok(said.map_err(|source| Error::Package { path: package.to_owned(), source })?.stdout)
}

/// All but where it came from.
fn locked(file: &Path, control: &str) -> Result<Locked, Error> {
    let (sha256, bytes) = crate::stage::hash_file(file).map_err(keep(file))?;
    let nameless = || Error::Nameless { path: file.to_owned() };
    let name = field(control, "Package").ok_or_else(nameless)?;
    let version = field(control, "Version").ok_or_else(nameless)?;
    let (source, source_version) = source(control, &name, &version);
    let architecture = field(control, "Architecture").ok_or_else(nameless)?;
    let (archive, path) = (String::new(), String::new());
    Ok(Locked { name, version, architecture, source, source_version, archive, path, sha256, bytes })
}

/// `Source: glibc (2.41-12)`; without it, name and version are the package's own.
fn source(control: &str, name: &str, version: &str) -> (String, String) {
    let Some(said) = field(control, "Source") else { return (name.into(), version.into()) };
    match said.split_once(" (") {
        Some((source, other)) => (source.into(), other.trim_end_matches(')').into()),
        None => (said, version.into()),
    }
}

fn field(control: &str, name: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned());
    control.lines().find_map(value)
}

fn origin(mirrors: &[Mirror], url: &str) -> Option<(String, String)> {
    let below = |mirror: &Mirror| {
        let path = url.strip_prefix(mirror.address.trim_end_matches('/'))?.strip_prefix('/')?;
        Some((mirror.label.clone(), path.to_owned()))
    };
    mirrors.iter().find_map(below)
}

fn is(path: &Path, wanted: &Locked) -> bool {
    path.metadata().is_ok_and(|about| about.len() == wanted.bytes)
        && crate::stage::hash_file(path).is_ok_and(|(sha256, _)| sha256 == wanted.sha256)
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

fn names(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn keep(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Keep { path, source }
}

#[cfg(test)]
mod tests;
