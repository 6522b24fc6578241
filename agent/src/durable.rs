//! Files that a reboot must not meet half-written: temporary file, fsync, rename, fsync of the folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;

#[derive(Debug, thiserror::Error)]
#[error("writing {path}")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Replaces `path`. The temporary name starts with a dot: the kubelet ignores such files in its manifest folder.
pub fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, contents, mode).map_err(|source| Error { path: path.to_owned(), source })
}

/// As `write`, when contents or mode differ; says whether it wrote.
pub fn write_if_changed(path: &Path, contents: &[u8], mode: u32) -> Result<bool, Error> {
    let same_mode = std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o7777 == mode);
    if same_mode && std::fs::read(path).is_ok_and(|have| have == contents) {
        return Ok(false);
    }
    write(path, contents, mode)?;
    Ok(true)
}

/// What `write` wrote as JSON; none when nothing was.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(text) => {
            let value = serde_json::from_slice(&text);
            value.map(Some).with_context(|| format!("understanding {}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.new"));
    // A left-over of a crash may have another mode: begin anew.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_contents_are_not_written_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b.json");
        assert!(write_if_changed(&path, b"1", 0o600).expect("written"));
        assert!(!write_if_changed(&path, b"1", 0o600).expect("the same"));
        assert!(write_if_changed(&path, b"1", 0o644).expect("another mode"));
        assert!(write_if_changed(&path, b"2", 0o644).expect("other contents"));
    }
}
