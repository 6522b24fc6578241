//! What was at a path before a machine config took it over, so that it comes back when none names it any more.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::below;
use crate::durable;

const MODE: u32 = 0o600;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
enum Original {
    Nothing { path: String },
    File { path: String, mode: u32, user: u32, group: u32 },
    Link { path: String, target: PathBuf },
    Directory { path: String },
}

pub struct Originals {
    root: PathBuf,
    folder: PathBuf,
}

impl Originals {
    pub fn new(root: &Path, folder: PathBuf) -> Self {
        Self { root: root.to_owned(), folder }
    }

    /// Keeps what is at `path`, unless something of it is kept already.
    pub fn keep(&self, path: &str) -> anyhow::Result<()> {
        let (note, contents) = self.names(path);
        if note.exists() {
            return Ok(());
        }
        let place = below(&self.root, path);
        let path = path.to_owned();
        let original = match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Original::Nothing { path },
            Err(error) => return Err(error).with_context(|| format!("looking at {path}")),
            Ok(data) if data.is_dir() => Original::Directory { path },
            Ok(data) if data.is_symlink() => Original::Link { path, target: fs::read_link(&place)? },
            Ok(data) => {
                let bytes = fs::read(&place).with_context(|| format!("keeping {path}"))?;
                durable::write(&contents, &bytes, MODE)?;
                let mode = data.permissions().mode() & 0o7777;
                Original::File { path, mode, user: data.uid(), group: data.gid() }
            }
        };
        Ok(durable::write(&note, &serde_json::to_vec(&original)?, MODE)?)
    }

    /// Puts back what was kept, or what the operating system has there, or nothing.
    pub fn restore(&self, path: &str) -> anyhow::Result<()> {
        let (note, contents) = self.names(path);
        let place = below(&self.root, path);
        let kept: Option<Original> = match fs::read(&note) {
            Ok(text) => Some(
                serde_json::from_slice(&text).with_context(|| format!("understanding {}", note.display()))?,
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {}", note.display())),
        };
        match kept {
            Some(Original::File { mode, user, group, .. }) => {
                let bytes = fs::read(&contents).with_context(|| format!("reading what {path} was"))?;
                put(&place, &bytes, mode, user, group).with_context(|| format!("restoring {path}"))?;
            }
            Some(Original::Link { target, .. }) => {
                remove(&place)?;
                std::os::unix::fs::symlink(target, &place).with_context(|| format!("restoring {path}"))?;
            }
            Some(Original::Directory { .. }) => {}
            Some(Original::Nothing { .. }) => remove(&place)?,
            None => self.restore_default(path, &place)?,
        }
        remove(&contents)?;
        remove(&note)
    }

    /// A config of the first boot: what was there is what the operating system brings, in OSTree's `/usr/etc`.
    fn restore_default(&self, path: &str, place: &Path) -> anyhow::Result<()> {
        let default = path.strip_prefix("/etc/").map(|rest| below(&self.root, &format!("/usr/etc/{rest}")));
        let Some(default) = default.filter(|default| default.symlink_metadata().is_ok()) else {
            return remove(place);
        };
        let data = default.symlink_metadata()?;
        if data.is_symlink() {
            remove(place)?;
            let target = fs::read_link(&default)?;
            return std::os::unix::fs::symlink(target, place).with_context(|| format!("restoring {path}"));
        }
        if data.is_dir() {
            return Ok(());
        }
        let mode = data.permissions().mode() & 0o7777;
        let bytes = fs::read(&default)?;
        put(place, &bytes, mode, data.uid(), data.gid()).with_context(|| format!("restoring {path}"))
    }

    fn names(&self, path: &str) -> (PathBuf, PathBuf) {
        let name = hex::encode(Sha256::digest(path));
        (self.folder.join(format!("{name}.json")), self.folder.join(name))
    }
}

/// Replaces a file as a whole.
pub fn put(place: &Path, bytes: &[u8], mode: u32, user: u32, group: u32) -> anyhow::Result<()> {
    if place.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        anyhow::bail!("{} is a directory", place.display());
    }
    let folder = place.parent().context("a path below the root")?;
    fs::create_dir_all(folder)?;
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    remove(&new)?;
    let mut file = fs::File::options().write(true).create_new(true).open(&new)?;
    io::Write::write_all(&mut file, bytes)?;
    std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&new, place)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}

/// A file, a link, or a directory that is empty; one that is not stays.
pub fn remove(place: &Path) -> anyhow::Result<()> {
    let removed = match place.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir(place),
        Ok(_) => fs::remove_file(place),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(error).with_context(|| format!("removing {}", place.display()))
        }
        _ => Ok(()),
    }
}
