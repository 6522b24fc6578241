//! Limits of this computer that four systems on one kernel need higher. The value from before is kept beside the
//! racks and comes back with the last rack's end.

use std::io;
use std::path::{Path, PathBuf};

use crate::rack::{self, racks_directory};

const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";
const ENOUGH: u64 = 8192;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("writing `{value}` to {}", path.display())]
    Write { path: PathBuf, value: String, source: io::Error },
    #[error(transparent)]
    Rack(#[from] rack::Error),
}

fn kept() -> PathBuf {
    racks_directory().join("max_user_instances.before")
}

/// Raises `fs.inotify.max_user_instances`: every machine's systemd, kubelet and containerd has several.
///
/// # Errors
/// The kernel does not let us.
pub fn raise() -> Result<(), Error> {
    let now = read(Path::new(INSTANCES))?;
    if now.parse::<u64>().is_ok_and(|now| now >= ENOUGH) {
        return Ok(());
    }
    if !kept().exists() {
        rack::write(&kept(), &now)?;
    }
    write(&ENOUGH.to_string())
}

/// Puts the old value back when no rack is left.
///
/// # Errors
/// The kernel does not let us.
pub fn restore() -> Result<(), Error> {
    let racks = std::fs::read_dir(racks_directory()).into_iter().flatten().flatten();
    let others = racks.filter(|entry| entry.path().join("rack.json").exists()).count();
    if others > 0 || !kept().exists() {
        return Ok(());
    }
    write(&read(&kept())?)?;
    std::fs::remove_file(kept()).map_err(|source| Error::Read { path: kept(), source })
}

fn read(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path);
    Ok(text.map_err(|source| Error::Read { path: path.to_owned(), source })?.trim().to_owned())
}

fn write(value: &str) -> Result<(), Error> {
    std::fs::write(INSTANCES, value).map_err(|source| Error::Write {
        path: INSTANCES.into(),
        value: value.to_owned(),
        source,
    })
}
