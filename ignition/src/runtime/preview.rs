//! How a root file system stands to the actions of a plan. Nothing is changed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde::Serialize;

use super::root::Root;
use super::users;
use crate::plan::{Action, Contents, Principal};
use crate::resource::Source;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is not there.
    New,
    /// It is there as it should be.
    Same,
    /// It is there and is changed.
    Changed,
    /// It is there, differs, and may not be replaced: applying stops here.
    Blocked,
    /// Only applying shows it: contents come from the network, or accounts are edited.
    Open,
}

impl Standing {
    pub fn sign(self) -> char {
        match self {
            Standing::New => '+',
            Standing::Same => '=',
            Standing::Changed => '~',
            Standing::Blocked => '!',
            Standing::Open => '?',
        }
    }
}

pub fn preview(action: &Action, root: &Root) -> Standing {
    standing(action, root).unwrap_or(Standing::Blocked)
}

/// Nothing when the path cannot be reached.
fn standing(action: &Action, root: &Root) -> Option<Standing> {
    match action {
        Action::File { path, contents, mode, owner, overwrite } => {
            let place = root.look(path).ok()?;
            let Ok(data) = place.symlink_metadata() else { return Some(Standing::New) };
            let replaced = if *overwrite { Standing::Changed } else { Standing::Blocked };
            if !data.is_file() {
                return Some(replaced);
            }
            let attributes = attributes(&data, *mode, &owner.user, &owner.group, root);
            match contents {
                Contents::Keep => Some(attributes),
                Contents::Append(_) => Some(Standing::Changed),
                Contents::Replace(sources) => match bytes(sources) {
                    None => Some(Standing::Open),
                    Some(bytes) if fs::read(&place).ok()? == bytes => Some(attributes),
                    Some(_) => Some(replaced),
                },
            }
        }
        Action::Directory { path, mode, owner, overwrite } => {
            if root.look(path).ok()?.symlink_metadata().is_err() {
                return Some(Standing::New);
            }
            let Ok(data) = root.follow(path).ok()?.metadata() else { return Some(Standing::New) };
            match (data.is_dir(), overwrite) {
                (true, false) => Some(attributes(&data, *mode, &owner.user, &owner.group, root)),
                (_, true) => Some(Standing::Changed),
                (false, false) => Some(Standing::Blocked),
            }
        }
        Action::Link { path, target, hard, overwrite, .. } => {
            let place = root.look(path).ok()?;
            if place.symlink_metadata().is_err() {
                return Some(Standing::New);
            }
            let same = if *hard {
                super::files::same_file(
                    &place,
                    &root.look(&format!("/{}", target.trim_start_matches('/'))).ok()?,
                )
            } else {
                place.read_link().is_ok_and(|found| found == Path::new(target))
            };
            Some(match (same, overwrite) {
                (true, _) => Standing::Same,
                (false, true) => Standing::Changed,
                (false, false) => Standing::Blocked,
            })
        }
        _ => Some(Standing::Open),
    }
}

fn bytes(sources: &[Source]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for source in sources {
        match source {
            Source::Bytes(bytes) => all.extend_from_slice(bytes),
            Source::Remote { .. } => return None,
        }
    }
    Some(all)
}

fn attributes(
    data: &fs::Metadata,
    mode: Option<u32>,
    user: &Option<Principal>,
    group: &Option<Principal>,
    root: &Root,
) -> Standing {
    let accounts = users::read(root).ok();
    let id = |principal: &Option<Principal>, find: &dyn Fn(&str) -> Option<u32>| match principal {
        Some(Principal::Id(id)) => Some(*id),
        Some(Principal::Name(name)) => find(name),
        None => None,
    };
    let user = id(user, &|name| accounts.as_ref()?.user_id(name));
    let group = id(group, &|name| accounts.as_ref()?.group_id(name));
    let same = mode.is_none_or(|mode| data.permissions().mode() & 0o7777 == mode)
        && user.is_none_or(|user| user == data.uid())
        && group.is_none_or(|group| group == data.gid());
    if same { Standing::Same } else { Standing::Changed }
}
