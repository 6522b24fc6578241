//! Files, directories and links: written to a temporary name and renamed. Writing what is there already changes
//! nothing. Syncing is left to the end of the whole run.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

/// Numeric owner; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ids {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

/// Puts a regular file in place; a file of the same contents only gets its mode and owner.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32, ids: Ids) -> io::Result<()> {
    let same = path.symlink_metadata().is_ok_and(|data| data.is_file() && data.len() == bytes.len() as u64)
        && fs::read(path)? == bytes;
    if same {
        return set_attributes(path, Some(mode), ids);
    }
    // Nobody else reads what is to belong to somebody else before it does.
    let is_ours = ids.user.unwrap_or(0) == 0 && ids.group.unwrap_or(0) == 0;
    let (temporary, mut file) = create(path, if is_ours { mode & 0o777 } else { 0o600 })?;
    file.write_all(bytes)?;
    finish(&file, mode, ids)?;
    fs::rename(&temporary, path)
}

/// Makes a file where nothing is. A cut run may leave a part of it: whoever calls this remembers that before.
pub(super) fn create_new(path: &Path, bytes: &[u8], mode: u32, ids: Ids) -> io::Result<()> {
    let is_ours = ids.user.unwrap_or(0) == 0 && ids.group.unwrap_or(0) == 0;
    let first_mode = if is_ours { mode & 0o777 } else { 0o600 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(first_mode).open(path)?;
    file.write_all(bytes)?;
    finish(&file, mode, ids)
}

/// Owner before mode: a change of owner takes setuid and setgid away.
fn finish(file: &File, mode: u32, ids: Ids) -> io::Result<()> {
    let data = file.metadata()?;
    if differs(ids.user, data.uid()) || differs(ids.group, data.gid()) {
        fchown(file, ids.user, ids.group)?;
    }
    if file.metadata()?.permissions().mode() & 0o7777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn differs(wanted: Option<u32>, found: u32) -> bool {
    wanted.is_some_and(|wanted| wanted != found)
}

/// As `write`, for what must be on the disk before anything that follows.
pub(super) fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write(path, bytes, mode, Ids::default())?;
    File::open(path)?.sync_all()?;
    sync_parent(path)
}

/// An empty file beside `path`, readable by nobody else.
pub(super) fn temporary_file(path: &Path) -> io::Result<(PathBuf, File)> {
    create(path, 0o600)
}

/// In place of what a cut run may have left.
fn create(path: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let temporary = temporary(path);
    let open = || OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&temporary);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(&temporary)?;
            open()?
        }
        other => other?,
    };
    Ok((temporary, file))
}

/// Mode and owner of what is there, not of what a link leads to.
pub(super) fn set_attributes(path: &Path, mode: Option<u32>, ids: Ids) -> io::Result<()> {
    let data = path.symlink_metadata()?;
    if differs(ids.user, data.uid()) || differs(ids.group, data.gid()) {
        if data.is_symlink() { lchown(path, ids.user, ids.group)? } else { chown(path, ids.user, ids.group)? }
    }
    match mode {
        Some(mode) if !data.is_symlink() && data.permissions().mode() & 0o7777 != mode => {
            fs::set_permissions(path, Permissions::from_mode(mode))
        }
        _ => Ok(()),
    }
}

/// Puts a symbolic link in place of nothing or of another link or file.
pub(super) fn link(path: &Path, target: &str, ids: Ids) -> io::Result<()> {
    if !path.read_link().is_ok_and(|found| found == Path::new(target)) {
        let temporary = temporary(path);
        remove(&temporary)?;
        symlink(target, &temporary)?;
        fs::rename(&temporary, path)?;
    }
    set_attributes(path, None, ids)
}

pub(super) fn hard_link(path: &Path, target: &Path) -> io::Result<()> {
    if same_file(path, target) {
        return Ok(());
    }
    let temporary = temporary(path);
    remove(&temporary)?;
    fs::hard_link(target, &temporary)?;
    fs::rename(&temporary, path)
}

pub(super) fn same_file(left: &Path, right: &Path) -> bool {
    let id = |path: &Path| path.symlink_metadata().ok().map(|data| (data.dev(), data.ino()));
    id(left).is_some() && id(left) == id(right)
}

/// Removes whatever is at the path; nothing there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

pub(super) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Names have at most 255 bytes.
    let short: String = name.chars().take(60).collect();
    path.with_file_name(format!(".{short}.ashlar-new"))
}
