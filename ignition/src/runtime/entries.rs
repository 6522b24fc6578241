//! Directories, links and preset lines: what is there already stays, and only what the entry says is replaced.

use std::fs;
use std::io;
use std::path::Path;

use super::apply::{ApplyError, io_error};
use super::files::{self, Ids};
use super::root::Root;
use crate::units::PRESET_FILE;

pub(super) fn directory(
    path: &str,
    mode: Option<u32>,
    ids: Ids,
    overwrite: bool,
    root: &Root,
) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    if overwrite && place.symlink_metadata().is_ok() {
        clear(path, &place)?;
    }
    let leads_to = root.follow(path)?;
    if !leads_to.is_dir() && place.symlink_metadata().is_ok_and(|data| !data.is_symlink()) {
        return Err(ApplyError::Kind { path: path.to_owned(), found: "a file", wanted: "a directory" });
    }
    let exists = leads_to.is_dir();
    let place = root.directory(path)?;
    let mode = mode.or((!exists).then_some(0o755));
    let ids = if exists { ids } else { owned(ids) };
    files::set_attributes(&place, mode, ids).map_err(io_error("setting mode and owner of", path))
}

/// What is new belongs to root unless the configuration says otherwise.
pub(super) fn owned(ids: Ids) -> Ids {
    if rustix::process::geteuid().is_root() {
        Ids { user: ids.user.or(Some(0)), group: ids.group.or(Some(0)) }
    } else {
        ids
    }
}

pub(super) fn soft_link(
    path: &str,
    target: &str,
    ids: Ids,
    overwrite: bool,
    root: &Root,
) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    let same = place.read_link().is_ok_and(|found| found == Path::new(target));
    if !same && place.symlink_metadata().is_ok() {
        if !overwrite {
            return Err(ApplyError::Exists { path: path.to_owned() });
        }
        clear_if_directory(path, &place)?;
    }
    let ids = if same { ids } else { owned(ids) };
    files::link(&place, target, ids).map_err(io_error("linking", path))
}

pub(super) fn hard_link(path: &str, target: &str, overwrite: bool, root: &Root) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    // A relative target is below the root, as in the reference.
    let target = root.look(&format!("/{}", target.trim_start_matches('/')))?;
    if place.symlink_metadata().is_ok() && !files::same_file(&place, &target) {
        if !overwrite {
            return Err(ApplyError::Exists { path: path.to_owned() });
        }
        clear_if_directory(path, &place)?;
    }
    files::hard_link(&place, &target).map_err(io_error("linking", path))
}

/// Adds the lines that the file has not yet.
pub(super) fn preset(lines: &[String], root: &Root) -> Result<(), ApplyError> {
    let place = root.place(PRESET_FILE)?;
    let mut text = match fs::read_to_string(&place) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io_error("reading", PRESET_FILE)(error)),
    };
    for line in lines {
        if !text.lines().any(|other| other == line) {
            text += line;
            text.push('\n');
        }
    }
    files::write(&place, text.as_bytes(), 0o644, Ids::default()).map_err(io_error("writing", PRESET_FILE))
}

/// Files and links are replaced by a rename; only a directory must go first.
pub(super) fn clear_if_directory(path: &str, place: &Path) -> Result<(), ApplyError> {
    if place.symlink_metadata().is_ok_and(|data| data.is_dir()) { clear(path, place) } else { Ok(()) }
}

fn clear(path: &str, place: &Path) -> Result<(), ApplyError> {
    if path.matches('/').count() < 2 {
        return Err(ApplyError::TopLevel { path: path.to_owned() });
    }
    files::remove(place).map_err(io_error("removing what is at", path))
}
