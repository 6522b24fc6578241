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

pub(super) fn read(root: &Root) -> Result<Accounts, ApplyError> {
    let text = |path: &str| match fs::read_to_string(root.follow(path)?) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(io_error("reading", path)(error)),
    };
    Ok(Accounts {
        passwd: text(PASSWD)?,
        shadow: text(SHADOW)?,
        group: text(GROUP)?,
        gshadow: text(GSHADOW)?,
        vendor_passwd: text("/usr/lib/passwd")?,
        vendor_group: text("/usr/lib/group")?,
    })
}

/// Groups before users: an interrupted run leaves no user without its group.
fn write(old: &Accounts, new: &Accounts, root: &Root) -> Result<(), ApplyError> {
    let texts = [
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
    write(&old, &new, root)?;
    let Some(home) = home else { return Ok(()) };
    let keys = user.ssh_authorized_keys.as_deref().unwrap_or_default();
    if user.no_create_home != Some(true) || !keys.is_empty() {
        create_home(&home, root)?;
    }
    if keys.is_empty() { Ok(()) } else { add_keys(&home, keys, root) }
}

fn create_home(home: &Home, root: &Root) -> Result<(), ApplyError> {
    let ids = Ids { user: Some(home.user), group: Some(home.group) };
    let exists = root.follow(&home.path)?.is_dir();
    let place = root.directory(&home.path)?;
    // Root's home and others that exist keep their mode; the owner is set last, so that a run that was cut
    // short copies the skeleton again.
    let owner = place.metadata().map_err(io_error("reading", &home.path))?.uid();
    if !exists || owner != home.user {
        files::set_attributes(&place, Some(0o700), Ids::default())
            .map_err(io_error("creating", &home.path))?;
        let skeleton = root.follow("/etc/skel")?;
        copy_missing(&skeleton, &place, ids).map_err(io_error("copying /etc/skel to", &home.path))?;
        files::set_attributes(&place, None, ids).map_err(io_error("creating", &home.path))?;
    }
    Ok(())
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
    for key in keys.iter().map(|key| key.trim()) {
        if !lines.contains(&key) {
            lines.push(key);
        }
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    files::write(&place, text.as_bytes(), 0o600, ids).map_err(io_error("writing", &path))
}
