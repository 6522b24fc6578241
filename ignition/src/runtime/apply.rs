//! Carrying out the actions of the files stage on a root file system. Every action may be repeated: after a power
//! cut all of them are carried out again and end in the same tree.
//!
//! No file is synced by itself. A journal, synced before anything else, names the files that are about to appear;
//! a later run knows by it that it may replace what a cut run left of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thiserror::Error;

use super::fetch::Fetcher;
use super::files::{self, Ids};
use super::parents::Parents;
use super::report::Failure;
use super::root::{Root, RootError};
use super::{contents, entries, services, users};
use crate::accounts::{AccountError, Accounts};
use crate::plan::{Action, Contents, Owner, Principal};

/// Paths that a run which has not ended yet is creating.
pub(super) const JOURNAL: &str = "/etc/.ashlar-ignition-journal.json";

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
    #[error("{path} and {other} lead to the same place")]
    SamePlace { path: String, other: String },
    #[error("there is no {kind} {name}")]
    NoPrincipal { kind: &'static str, name: String },
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("fetching {entry}: {cause}")]
    Fetch { entry: String, cause: String, remedy: String },
}

impl ApplyError {
    pub fn remedy(&self) -> &str {
        match self {
            ApplyError::Exists { .. } | ApplyError::Kind { .. } => {
                "set `overwrite: true` in the entry, or choose another path"
            }
            ApplyError::NoPrincipal { .. } | ApplyError::Account(AccountError::NoGroup(_)) => {
                "name an account of the image, or add it under passwd"
            }
            ApplyError::Account(_) => "correct the ids under passwd",
            ApplyError::SamePlace { .. } => "keep one of the two entries",
            ApplyError::Fetch { remedy, .. } => remedy,
            ApplyError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "install to a larger disk, or write less"
            }
            _ => "correct the entry's path in the configuration and install the host again",
        }
    }
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        ApplyError::Fetch { entry: failure.entry, cause: failure.cause, remedy: failure.remedy }
    }
}

pub(super) fn io_error(act: &'static str, path: &str) -> impl FnOnce(io::Error) -> ApplyError {
    move |source| ApplyError::Io { act, path: path.to_owned(), source }
}

/// Carries out the actions in order, and has them on the disk. The answer are warnings: things that were asked for and
/// have no effect.
///
/// # Errors
/// The entry that failed, with its cause.
pub async fn apply(
    actions: &[Action],
    root: &Root,
    fetcher: &Fetcher,
) -> Result<Vec<String>, (String, ApplyError)> {
    let warnings = carry_out(actions, root, fetcher).await?;
    settle(root).map_err(|error| (JOURNAL.to_owned(), error))?;
    Ok(warnings)
}

/// As `apply`; `settle` must follow.
///
/// # Errors
/// As `apply`.
pub(super) async fn carry_out(
    actions: &[Action],
    root: &Root,
    fetcher: &Fetcher,
) -> Result<Vec<String>, (String, ApplyError)> {
    let begun = begin(actions, root).map_err(|error| ("the configuration".to_owned(), error))?;
    let mut run = Run {
        root,
        fetcher,
        accounts: None,
        unfinished: begun,
        parents: Parents::default(),
        warnings: Vec::new(),
    };
    for action in actions {
        run.one(action).await.map_err(|error| (action.to_string(), error))?;
    }
    Ok(run.warnings)
}

/// Paths as the entries name them, where they lead to, and the journal.
fn begin(actions: &[Action], root: &Root) -> Result<BTreeSet<String>, ApplyError> {
    let mut places: std::collections::HashMap<PathBuf, &str> = std::collections::HashMap::new();
    let (mut new, mut parents) = (BTreeSet::new(), Parents::default());
    for action in actions {
        let path = match action {
            Action::Directory { path, .. } | Action::File { path, .. } | Action::Link { path, .. } => path,
            _ => continue,
        };
        // What blocks the way may be replaced by an entry above; the entry itself meets what is left.
        let Ok(place) = parents.look(path, root) else { continue };
        if matches!(action, Action::File { contents: Contents::Replace(_), .. })
            && place.symlink_metadata().is_err()
        {
            new.insert(path.clone());
        }
        if let Some(other) = places.insert(place, path) {
            return Err(ApplyError::SamePlace { path: path.clone(), other: other.to_owned() });
        }
    }
    let journal = root.look(JOURNAL)?;
    let old: BTreeSet<String> =
        fs::read(&journal).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    new.extend(old.iter().cloned());
    if new != old {
        let text = serde_json::to_vec(&new).unwrap_or_default();
        files::write_synced(&root.place(JOURNAL)?, &text, 0o600).map_err(io_error("writing", JOURNAL))?;
    }
    Ok(old)
}

/// Everything on the disk, each filesystem once; then the journal is of no more use.
pub(super) fn settle(root: &Root) -> Result<(), ApplyError> {
    let mut synced = BTreeSet::new();
    for folder in ["/etc", "/var", "/"] {
        let Ok(file) = File::open(root.follow(folder)?) else { continue };
        let device = file.metadata().map_err(io_error("looking at", folder))?.dev();
        if synced.insert(device) {
            rustix::fs::syncfs(&file).map_err(|error| io_error("syncing", folder)(error.into()))?;
        }
    }
    files::remove(&root.look(JOURNAL)?).map_err(io_error("removing", JOURNAL))
}

struct Run<'a> {
    root: &'a Root,
    fetcher: &'a Fetcher,
    /// Read when a name is first looked up after the accounts were made.
    accounts: Option<Accounts>,
    unfinished: BTreeSet<String>,
    parents: Parents,
    warnings: Vec<String>,
}

impl Run<'_> {
    async fn one(&mut self, action: &Action) -> Result<(), ApplyError> {
        if !matches!(action, Action::File { .. }) {
            self.parents.forget();
        }
        match action {
            Action::Group(group) => users::group(group, self.root),
            Action::User(user) => users::user(user, self.root),
            Action::Directory { path, mode, owner, overwrite } => {
                let ids = self.ids(owner)?;
                entries::directory(path, *mode, ids, *overwrite, self.root)
            }
            Action::File { path, contents, mode, owner, overwrite } => {
                let overwrite = *overwrite || self.unfinished.contains(path);
                self.file(path, contents, *mode, owner, overwrite).await
            }
            Action::Link { path, target, hard: false, owner, overwrite } => {
                let ids = self.ids(owner)?;
                entries::soft_link(path, target, ids, *overwrite, self.root)
            }
            Action::Link { path, target, overwrite, .. } => {
                entries::hard_link(path, target, *overwrite, self.root)
            }
            Action::Preset { lines } => entries::preset(lines, self.root),
            Action::Unmask { unit } => services::unmask(unit, self.root),
            Action::Enable { unit } => services::enable(unit, self.root, &mut self.warnings),
            Action::Disable { unit } => services::disable(unit, self.root),
        }
    }

    async fn file(
        &mut self,
        path: &str,
        wanted: &Contents,
        mode: Option<u32>,
        owner: &Owner,
        overwrite: bool,
    ) -> Result<(), ApplyError> {
        let place = self.parents.place(path, self.root)?;
        let ids = self.ids(owner)?;
        let found = place.symlink_metadata().ok();
        let is_file = found.as_ref().is_some_and(fs::Metadata::is_file);
        if found.is_some() && !is_file {
            self.parents.forget();
        }
        if found.is_some() && !is_file && !overwrite {
            return Err(ApplyError::Kind {
                path: path.to_owned(),
                found: "no regular file",
                wanted: "a file",
            });
        }
        match wanted {
            Contents::Keep if is_file => {
                files::set_attributes(&place, mode, ids).map_err(io_error("setting mode and owner of", path))
            }
            Contents::Keep => files::write(&place, b"", mode.unwrap_or(0o644), entries::owned(ids))
                .map_err(io_error("writing", path)),
            Contents::Append(more) => contents::append(path, more, mode, ids, self.root, self.fetcher).await,
            Contents::Replace(sources) => {
                let new = contents::New::make(path, &place, sources, self.fetcher).await?;
                if is_file && new.is_same_as(&place).map_err(io_error("reading", path))? {
                    new.discard();
                    // What was there is as it would be made: only a mode that is asked for can differ.
                    let mode = mode.or(overwrite.then_some(0o644));
                    return files::set_attributes(
                        &place,
                        mode,
                        if overwrite { entries::owned(ids) } else { ids },
                    )
                    .map_err(io_error("setting mode and owner of", path));
                }
                if found.is_some() && !overwrite {
                    new.discard();
                    return Err(ApplyError::Exists { path: path.to_owned() });
                }
                entries::clear_if_directory(path, &place)?;
                let (free, mode) = (found.is_none(), mode.unwrap_or(0o644));
                new.put(&place, free, mode, entries::owned(ids)).map_err(io_error("writing", path))
            }
        }
    }

    fn ids(&mut self, owner: &Owner) -> Result<Ids, ApplyError> {
        let by_name = |principal: &Option<Principal>| matches!(principal, Some(Principal::Name(_)));
        if self.accounts.is_none() && (by_name(&owner.user) || by_name(&owner.group)) {
            self.accounts = Some(users::read(self.root)?);
        }
        let id = |principal: &Option<Principal>, kind, find: &dyn Fn(&str) -> Option<u32>| match principal {
            None => Ok(None),
            Some(Principal::Id(id)) => Ok(Some(*id)),
            Some(Principal::Name(name)) => {
                find(name).map(Some).ok_or_else(|| ApplyError::NoPrincipal { kind, name: name.clone() })
            }
        };
        let accounts = self.accounts.as_ref();
        Ok(Ids {
            user: id(&owner.user, "user", &|name| accounts?.user_id(name))?,
            group: id(&owner.group, "group", &|name| accounts?.group_id(name))?,
        })
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
