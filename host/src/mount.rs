//! Mounting, through the mount system call: no `mount` program, no /etc/fstab.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("mounting {} ({filesystem}) on {}", source_path.display(), target.display())]
    Mount { source_path: PathBuf, filesystem: String, target: PathBuf, source: io::Error },
    #[error("binding {} to {}", source_path.display(), target.display())]
    Bind { source_path: PathBuf, target: PathBuf, source: io::Error },
    #[error("unmounting {}", target.display())]
    Unmount { target: PathBuf, source: io::Error },
    #[error("making the mount point {}", target.display())]
    MountPoint { target: PathBuf, source: io::Error },
    #[error("sharing this mount namespace's mounts")]
    Share { source: io::Error },
    #[error("reading the mount table")]
    Table { source: io::Error },
    #[error("mount options may not contain a zero byte: {options:?}")]
    Options { options: String },
}

/// Whether a mount may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// Mounts `source` of type `filesystem`, making the mount point when it is missing.
///
/// # Errors
/// The mount point cannot be made, or the kernel refuses the mount.
pub fn mount(
    source: &Path,
    target: &Path,
    filesystem: &str,
    access: Access,
    options: &str,
) -> Result<(), Error> {
    make_mount_point(target)?;
    let flags = match access {
        Access::ReadOnly => MountFlags::RDONLY,
        Access::ReadWrite => MountFlags::empty(),
    };
    let data = CString::new(options).map_err(|_| Error::Options { options: options.to_owned() })?;
    rustix::mount::mount(source, target, filesystem, flags, Some(data.as_c_str())).map_err(|error| {
        Error::Mount {
            source_path: source.to_owned(),
            filesystem: filesystem.to_owned(),
            target: target.to_owned(),
            source: error.into(),
        }
    })
}

/// A tmpfs; `options` as in `size=50%,mode=755`.
///
/// # Errors
/// As `mount`.
pub fn tmpfs(target: &Path, options: &str) -> Result<(), Error> {
    mount(Path::new("tmpfs"), target, "tmpfs", Access::ReadWrite, options)
}

/// An overlay of `upper` (with its `work` directory on the same filesystem) over `lower`.
///
/// # Errors
/// As `mount`.
pub fn overlay(lower: &Path, upper: &Path, work: &Path, target: &Path) -> Result<(), Error> {
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount(Path::new("overlay"), target, "overlay", Access::ReadWrite, &options)
}

/// Makes the file or directory `source` visible at `target`, which must exist.
///
/// # Errors
/// The kernel refuses.
pub fn bind(source: &Path, target: &Path, access: Access) -> Result<(), Error> {
    let failed = |error: rustix::io::Errno| Error::Bind {
        source_path: source.to_owned(),
        target: target.to_owned(),
        source: error.into(),
    };
    rustix::mount::mount_bind_recursive(source, target).map_err(failed)?;
    if access == Access::ReadOnly {
        rustix::mount::mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "").map_err(failed)?;
    }
    Ok(())
}

/// Unmounts; something still using it is an error.
///
/// # Errors
/// Not a mount point, or busy.
pub fn unmount(target: &Path) -> Result<(), Error> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)
        .map_err(|error| Error::Unmount { target: target.to_owned(), source: error.into() })
}

/// Takes the mount out of the tree at once; it ends when its last user does.
///
/// # Errors
/// Not a mount point.
pub fn detach(target: &Path) -> Result<(), Error> {
    rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|error| Error::Unmount { target: target.to_owned(), source: error.into() })
}

/// Makes every mount of this mount namespace shared: namespaces that are copied from it from now on follow what
/// is unmounted here, instead of keeping it busy.
///
/// # Errors
/// The kernel refuses.
pub fn share_all() -> Result<(), Error> {
    rustix::mount::mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .map_err(|error| Error::Share { source: error.into() })
}

/// Mount points of this mount namespace at or below `path`, in the order to unmount them (newest first).
///
/// # Errors
/// The mount table cannot be read.
pub fn below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(|source| Error::Table { source })?;
    Ok(points_below(&table, path))
}

fn points_below(table: &str, path: &Path) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(path)).collect();
    points.reverse();
    points
}

/// Mount tables write blanks as `\040`, tabs as `\011`, backslashes as `\134`.
fn unescape(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
}

fn make_mount_point(target: &Path) -> Result<(), Error> {
    if target.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(target).map_err(|source| Error::MountPoint { target: target.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_path_come_newest_first() {
        let table = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
            2 1 0:5 / /lab/one rw - tmpfs tmpfs rw\n\
            3 2 0:6 / /lab/one/with\\040blank rw - tmpfs tmpfs rw\n\
            4 1 0:7 / /laboratory rw - tmpfs tmpfs rw\n";
        assert_eq!(
            points_below(table, Path::new("/lab")),
            [PathBuf::from("/lab/one/with blank"), PathBuf::from("/lab/one")]
        );
    }
}
