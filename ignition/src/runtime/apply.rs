//! Carrying out a plan on a root file system. Every action may be repeated: after a power cut the whole plan is
//! applied again and ends in the same tree.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::files::{self, Ids};
use super::root::{Root, RootError};
use super::{services, users};
use crate::accounts::AccountError;
use crate::plan::{Action, Contents, Owner, Principal};

/// Which appended files are done: path to the SHA-256 of the result.
const APPENDED: &str = "/etc/.ashlar-ignition-appended.json";

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("{act} {path}")]
    Io { act: &'static str, path: String, source: io::Error },
    #[error("{path} exists with other contents")]
    Exists { path: String },
    #[error("{path} is {found}, not {wanted}")]
    Kind { path: String, found: &'static str, wanted: &'static str },
    #[error("{path} is part of the operating system's skeleton and cannot be replaced")]
    TopLevel { path: String },
    #[error("there is no {kind} {name}")]
    NoPrincipal { kind: &'static str, name: String },
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl ApplyError {
    pub fn remedy(&self) -> &'static str {
        match self {
            ApplyError::Exists { .. } | ApplyError::Kind { .. } => {
                "set `overwrite: true` in the entry, or choose another path"
            }
            ApplyError::NoPrincipal { .. } | ApplyError::Account(AccountError::NoGroup(_)) => {
                "name an account of the image, or add it under passwd"
            }
            ApplyError::Account(_) => "correct the ids under passwd",
            ApplyError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "install to a larger disk, or write less"
            }
            _ => "correct the entry's path in the configuration and install the host again",
        }
    }
}

pub(super) fn io_error(act: &'static str, path: &str) -> impl FnOnce(io::Error) -> ApplyError {
    move |source| ApplyError::Io { act, path: path.to_owned(), source }
}

/// Carries out the actions in order. The answer are warnings: things that were asked for and have no effect.
///
/// # Errors
/// The entry that failed, with its cause.
pub fn apply(actions: &[Action], root: &Root) -> Result<Vec<String>, (String, ApplyError)> {
    let mut warnings = Vec::new();
    for action in actions {
        one(action, root, &mut warnings).map_err(|error| (action.to_string(), error))?;
    }
    Ok(warnings)
}

fn one(action: &Action, root: &Root, warnings: &mut Vec<String>) -> Result<(), ApplyError> {
    match action {
        Action::Group(group) => users::group(group, root),
        Action::User(user) => users::user(user, root),
        Action::Directory { path, mode, owner, overwrite } => directory(path, *mode, owner, *overwrite, root),
        Action::File { path, contents, mode, owner, overwrite } => {
            file(path, contents, *mode, owner, *overwrite, root)
        }
        Action::Link { path, target, hard: false, owner, overwrite } => {
            soft_link(path, target, owner, *overwrite, root)
        }
        Action::Link { path, target, overwrite, .. } => hard_link(path, target, *overwrite, root),
        Action::Unmask { unit } => services::unmask(unit, root),
        Action::Enable { unit } => services::enable(unit, root, warnings),
        Action::Disable { unit } => services::disable(unit, root),
    }
}

fn directory(
    path: &str,
    mode: Option<u32>,
    owner: &Owner,
    overwrite: bool,
    root: &Root,
) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    let leads_to = root.follow(path)?;
    if !leads_to.is_dir() && place.symlink_metadata().is_ok() {
        if !overwrite {
            return Err(ApplyError::Kind {
                path: path.to_owned(),
                found: "a file or a link",
                wanted: "a directory",
            });
        }
        clear(path, &place)?;
    }
    let exists = leads_to.is_dir();
    let place = root.directory(path)?;
    let mode = mode.or((!exists).then_some(0o755));
    files::set_attributes(&place, mode, ids(owner, root)?)
        .map_err(io_error("setting mode and owner of", path))
}

fn file(
    path: &str,
    contents: &Contents,
    mode: Option<u32>,
    owner: &Owner,
    overwrite: bool,
    root: &Root,
) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    let ids = ids(owner, root)?;
    let found = place.symlink_metadata().ok();
    let bytes = match contents {
        Contents::Replace(bytes) => {
            let same = found.as_ref().is_some_and(fs::Metadata::is_file)
                && fs::read(&place).map_err(io_error("reading", path))? == *bytes;
            if found.is_some() && !same {
                if !overwrite {
                    return Err(ApplyError::Exists { path: path.to_owned() });
                }
                clear_unless_file(path, &place)?;
            }
            bytes.clone()
        }
        Contents::Keep if found.is_some() => {
            return files::set_attributes(&place, mode, ids)
                .map_err(io_error("setting mode and owner of", path));
        }
        Contents::Keep => Vec::new(),
        Contents::Append(more) => return append(path, more, mode, ids, root),
    };
    files::write(&place, &bytes, mode.unwrap_or(0o644), owned(ids)).map_err(io_error("writing", path))
}

/// A file that is put in place belongs to root unless the configuration says otherwise.
fn owned(ids: Ids) -> Ids {
    if rustix::process::geteuid().is_root() {
        Ids { user: ids.user.or(Some(0)), group: ids.group.or(Some(0)) }
    } else {
        ids
    }
}

/// Appends to what is there, once: the result's hash is recorded before the file is renamed into place.
fn append(path: &str, more: &[u8], mode: Option<u32>, ids: Ids, root: &Root) -> Result<(), ApplyError> {
    let place = root.follow(path)?;
    let (start, old_mode) = match place.symlink_metadata() {
        Ok(data) if data.is_file() => {
            use std::os::unix::fs::PermissionsExt;
            (fs::read(&place).map_err(io_error("reading", path))?, data.permissions().mode() & 0o7777)
        }
        Ok(_) => {
            return Err(ApplyError::Kind {
                path: path.to_owned(),
                found: "no regular file",
                wanted: "a file",
            });
        }
        Err(_) => (Vec::new(), 0o644),
    };
    let record = root.place(APPENDED)?;
    let mut done: BTreeMap<String, String> =
        fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if done.get(path) == Some(&hex::encode(Sha256::digest(&start))) {
        return files::set_attributes(&place, mode, ids).map_err(io_error("setting mode and owner of", path));
    }
    let result = [start.as_slice(), more].concat();
    done.insert(path.to_owned(), hex::encode(Sha256::digest(&result)));
    let text = serde_json::to_vec(&done).unwrap_or_default();
    files::write(&record, &text, 0o600, Ids::default()).map_err(io_error("writing", APPENDED))?;
    root.place(path)?;
    files::write(&place, &result, mode.unwrap_or(old_mode), ids).map_err(io_error("appending to", path))
}

fn soft_link(
    path: &str,
    target: &str,
    owner: &Owner,
    overwrite: bool,
    root: &Root,
) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    let same = place.read_link().is_ok_and(|found| found == Path::new(target));
    if !same && place.symlink_metadata().is_ok() {
        if !overwrite {
            return Err(ApplyError::Exists { path: path.to_owned() });
        }
        clear_unless_file(path, &place)?;
    }
    files::link(&place, target, ids(owner, root)?).map_err(io_error("linking", path))
}

fn hard_link(path: &str, target: &str, overwrite: bool, root: &Root) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    // A relative target is below the root, as in the reference.
    let target = root.look(&format!("/{}", target.trim_start_matches('/')))?;
    if place.symlink_metadata().is_ok() && !files::same_file(&place, &target) {
        if !overwrite {
            return Err(ApplyError::Exists { path: path.to_owned() });
        }
        clear_unless_file(path, &place)?;
    }
    files::hard_link(&place, &target).map_err(io_error("linking", path))
}

/// Files and links are replaced by a rename; only a directory must go first.
fn clear_unless_file(path: &str, place: &Path) -> Result<(), ApplyError> {
    if place.symlink_metadata().is_ok_and(|data| data.is_dir()) { clear(path, place) } else { Ok(()) }
}

fn clear(path: &str, place: &Path) -> Result<(), ApplyError> {
    if path.matches('/').count() < 2 {
        return Err(ApplyError::TopLevel { path: path.to_owned() });
    }
    files::remove(place).map_err(io_error("removing what is at", path))
}

fn ids(owner: &Owner, root: &Root) -> Result<Ids, ApplyError> {
    if owner.user.is_none() && owner.group.is_none() {
        return Ok(Ids::default());
    }
    let accounts = users::read(root)?;
    let id = |principal: &Option<Principal>, kind, find: &dyn Fn(&str) -> Option<u32>| match principal {
        None => Ok(None),
        Some(Principal::Id(id)) => Ok(Some(*id)),
        Some(Principal::Name(name)) => {
            find(name).map(Some).ok_or_else(|| ApplyError::NoPrincipal { kind, name: name.clone() })
        }
    };
    Ok(Ids {
        user: id(&owner.user, "user", &|name| accounts.user_id(name))?,
        group: id(&owner.group, "group", &|name| accounts.group_id(name))?,
    })
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
