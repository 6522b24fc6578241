//! Accounts of a root file system: reads the four files, has them edited, writes what changed; then homes and keys.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::apply::{ApplyError, io_error};
use super::files::{self, Ids};
use super::root::Root;
use crate::accounts::{Accounts, Home};
use crate::spec::{Group, User};

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
const GROUP: &str = "/etc/group";
const GSHADOW: &str = "/etc/gshadow";
const SUBUID: &str = "/etc/subuid";
const SUBGID: &str = "/etc/subgid";

pub(super) fn read(root: &Root) -> Result<Accounts, ApplyError> {
    let text = |path: &str| match fs::read_to_string(root.follow(path)?) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(io_error("reading", path)(error)),
    };
    let optional = |path: &str| match fs::read_to_string(root.follow(path)?) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("reading", path)(error)),
    };
    Ok(Accounts {
        subuid: optional(SUBUID)?,
        subgid: optional(SUBGID)?,
        passwd: text(PASSWD)?,
        shadow: text(SHADOW)?,
        group: text(GROUP)?,
        gshadow: text(GSHADOW)?,
        vendor_passwd: text("/usr/lib/passwd")?,
        vendor_group: text("/usr/lib/group")?,
        default_shell: text("/etc/default/useradd")?
            .lines()
            .find_map(|line| line.strip_prefix("SHELL="))
            .unwrap_or_default()
            .trim()
            .to_owned(),
    })
}

/// Groups before users: an interrupted run leaves no user without its group.
fn write(old: &Accounts, new: &Accounts, root: &Root) -> Result<(), ApplyError> {
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    let (subuid, subgid) = (or_nothing(&old.subuid), or_nothing(&old.subgid));
    let (new_subuid, new_subgid) = (or_nothing(&new.subuid), or_nothing(&new.subgid));
    let texts = [
        (SUBUID, &subuid, &new_subuid, 0o644),
        (SUBGID, &subgid, &new_subgid, 0o644),
        (GROUP, &old.group, &new.group, 0o644),
        (GSHADOW, &old.gshadow, &new.gshadow, 0o640),
        (SHADOW, &old.shadow, &new.shadow, 0o640),
        (PASSWD, &old.passwd, &new.passwd, 0o644),
    ];
    for (path, _, text, mode) in texts.into_iter().filter(|(_, old, new, _)| old != new) {
        let place = root.follow(path)?;
        let (mode, ids) = match place.metadata() {
            Ok(data) => {
                let ids = Ids { user: Some(data.uid()), group: Some(data.gid()) };
                (data.permissions().mode() & 0o7777, ids)
            }
            Err(_) => (mode, Ids::default()),
        };
        files::write(&place, text.as_bytes(), mode, ids).map_err(io_error("writing", path))?;
    }
    Ok(())
}

pub(super) fn group(group: &Group, root: &Root) -> Result<(), ApplyError> {
    let old = read(root)?;
    let mut new = old.clone();
    new.apply_group(group)?;
    write(&old, &new, root)
}

pub(super) fn user(user: &User, root: &Root) -> Result<(), ApplyError> {
    let old = read(root)?;
    let mut new = old.clone();
    let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
    let home = new.apply_user(user, day)?;
    let Some(home) = home else {
        if let Ok(home) = old.home(&user.name) {
            remove_home(&home, root)?;
        }
        return write(&old, &new, root);
    };
    let keys: Vec<String> = user.ssh_authorized_keys.iter().flatten().cloned().collect();
    // The home is complete before the account is there: a run that was cut short finds no account, and no half home.
    if user.no_create_home != Some(true) || !keys.is_empty() {
        move_home(&home, root)?;
        create_home(&home, root)?;
    }
    write(&old, &new, root)?;
    if keys.is_empty() { Ok(()) } else { add_keys(&home, &keys, root) }
}

/// Only a directory that belongs to the account, and never one at the top.
fn remove_home(home: &Home, root: &Root) -> Result<(), ApplyError> {
    let place = root.follow(&home.path)?;
    let is_its_own = place.symlink_metadata().is_ok_and(|data| data.is_dir() && data.uid() == home.user);
    if home.path.trim_end_matches('/').matches('/').count() < 2 || !is_its_own {
        return Ok(());
    }
    files::remove(&place).map_err(io_error("removing the home", &home.path))
}

/// An account that existed keeps its home: at the new place, with the new ids.
fn move_home(home: &Home, root: &Root) -> Result<(), ApplyError> {
    let Some(before) = &home.before else { return Ok(()) };
    let old = root.follow(&before.path)?;
    if before.path.trim_end_matches('/') != home.path.trim_end_matches('/')
        && old.is_dir()
        && !root.follow(&home.path)?.exists()
    {
        fs::rename(&old, root.place(home.path.trim_end_matches('/'))?)
            .map_err(io_error("moving the home to", &home.path))?;
    }
    if (before.user, before.group) != (home.user, home.group) {
        let place = root.follow(&home.path)?;
        if place.is_dir() {
            change_owner(&place, before, home).map_err(io_error("changing the owner of", &home.path))?;
        }
    }
    Ok(())
}

/// Only what belonged to the account.
fn change_owner(place: &Path, before: &Home, home: &Home) -> io::Result<()> {
    let data = place.symlink_metadata()?;
    if data.is_dir() {
        for entry in fs::read_dir(place)? {
            change_owner(&entry?.path(), before, home)?;
        }
    }
    let user = (data.uid() == before.user).then_some(home.user);
    let group = (data.gid() == before.group).then_some(home.group);
    files::set_attributes(place, None, Ids { user, group })
}

/// Made beside its place and renamed; one that is there stays as it is.
fn create_home(home: &Home, root: &Root) -> Result<(), ApplyError> {
    let path = home.path.trim_end_matches('/');
    if path.is_empty() || root.follow(path)?.exists() {
        return Ok(());
    }
    let ids = Ids { user: Some(home.user), group: Some(home.group) };
    let skeleton = root.follow("/etc/skel")?;
    let place = root.place(path)?;
    let new = files::temporary(&place);
    let made = || -> io::Result<()> {
        files::remove(&new)?;
        fs::create_dir(&new)?;
        copy_missing(&skeleton, &new, ids)?;
        files::set_attributes(&new, Some(0o700), ids)?;
        fs::rename(&new, &place)
    };
    made().map_err(io_error("creating the home", path))
}

fn copy_missing(from: &Path, to: &Path, ids: Ids) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let data = entry.path().symlink_metadata()?;
        if data.is_dir() {
            if !target.is_dir() {
                fs::create_dir(&target)?;
            }
            copy_missing(&entry.path(), &target, ids)?;
            files::set_attributes(&target, Some(data.permissions().mode() & 0o7777), ids)?;
        } else if data.is_file() && target.symlink_metadata().is_err() {
            files::write(&target, &fs::read(entry.path())?, data.permissions().mode() & 0o7777, ids)?;
        }
    }
    Ok(())
}

/// Adds the keys that are missing; others stay.
fn add_keys(home: &Home, keys: &[String], root: &Root) -> Result<(), ApplyError> {
    let ids = Ids { user: Some(home.user), group: Some(home.group) };
    let folder = format!("{}/.ssh", home.path.trim_end_matches('/'));
    let path = format!("{folder}/authorized_keys");
    let place = root.directory(&folder)?;
    files::set_attributes(&place, Some(0o700), ids).map_err(io_error("creating", &folder))?;
    let place = root.follow(&path)?;
    let old = match fs::read_to_string(&place) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io_error("reading", &path)(error)),
    };
    let mut lines: Vec<&str> = old.lines().collect();
    for key in keys.iter().flat_map(|key| key.lines()) {
        if !lines.contains(&key) {
            lines.push(key);
        }
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    files::write(&place, text.as_bytes(), 0o600, ids).map_err(io_error("writing", &path))
}
