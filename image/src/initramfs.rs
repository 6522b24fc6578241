//! The initramfs: one base made by dracut, which is slow, and our own programs appended to it, which is not.
//! The kernel unpacks archives that stand one after the other.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};
use cpio::newc;

use crate::chroot::{self, Chroot};

/// Type bits of a newc entry's mode.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("preparing {} for dracut", path.display())]
    Prepare { path: PathBuf, source: io::Error },
    #[error("unpacking the kernel's modules in {}", path.display())]
    Modules { path: PathBuf, source: cmd::Error },
    #[error("making the initramfs with dracut")]
    Dracut(#[source] chroot::Error),
    #[error("appending {} to the initramfs", path.display())]
    Append { path: PathBuf, source: io::Error },
}

/// Writes `initramfs.img` into `out` with the modules under `os/dracut`.
///
/// # Errors
/// dracut fails, or writes nothing.
pub async fn make_base(packages: &Path, kernel: &str, os: &Path, out: &Path) -> Result<(), Error> {
    let image = "/mnt/out/initramfs.img";
    let modules = modules(packages, kernel, out).await?;
    Chroot::new(packages)
        .bind(&modules, "/usr/lib/modules")
        .copy(&os.join("dracut"), "/usr/lib/dracut/modules.d")
        .copy(&os.join("root/usr/lib/ostree"), "/usr/lib/ostree")
        .bind(out, "/mnt/out")
        .run(&[
            "dracut",
            "--force",
            "--no-hostonly",
            "--conf",
            "/usr/lib/dracut/modules.d/ashlar.conf",
            "--kver",
            kernel,
            image,
        ])
        .await
        .map_err(Error::Dracut)?;
    fs::remove_dir_all(&modules).map_err(|source| Error::Prepare { path: modules, source })?;
    // dracut makes it for root alone; there is nothing secret in it.
    let path = out.join("initramfs.img");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&path, mode).map_err(|source| Error::Prepare { path, source })
}

/// Not to be mounted at the first boot, nor read from.
const NO_BOOT: &[&str] = &["ceph", "gfs2", "lockd", "nfs", "nfs_common", "nfsd", "ocfs2", "dlm", "smb"];

/// A copy of the kernel's modules, each unpacked: together they pack much better than one by one.
async fn modules(packages: &Path, kernel: &str, out: &Path) -> Result<PathBuf, Error> {
    let copy = out.join("modules");
    let from = packages.join("usr/lib/modules");
    let fail = |source| Error::Modules { path: copy.clone(), source };
    Cmd::new("cp").arg("-a").args([&from, &copy]).run().await.map_err(fail)?;
    for name in NO_BOOT {
        let path = copy.join(kernel).join("kernel/fs").join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|source| Error::Prepare { path, source })?;
        }
    }
    let unpack = r#"find "$1" -name '*.ko.xz' -exec xz --decompress {} +"#;
    let unpack = Cmd::new("sh").args(["-c", unpack, "sh"]).arg(&copy).timeout(Duration::from_secs(600));
    unpack.run().await.map_err(fail)?;
    let index = Chroot::new(packages).bind(&copy, "/usr/lib/modules").run(&["depmod", kernel]).await;
    index.map_err(Error::Dracut)?;
    Ok(copy)
}

/// Copies `base` to `target` with programs appended: `(path in the initramfs, file)`.
///
/// # Errors
/// A file cannot be read or written.
pub fn append_programs(base: &Path, programs: &[(&str, PathBuf)], target: &Path) -> Result<(), Error> {
    let append = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Append { path, source }
    };
    fs::copy(base, target).map_err(append(base))?;
    let mut file = fs::OpenOptions::new().append(true).open(target).map_err(append(target))?;
    let length = file.metadata().map_err(append(target))?.len();
    file.write_all(&vec![0; padding(length)]).map_err(append(target))?;
    let mut files = Vec::new();
    for (path, from) in programs {
        files.push(((*path).to_owned(), 0o755, fs::read(from).map_err(append(from))?));
    }
    let packed = zstd::encode_all(archive(&files).map_err(append(target))?.as_slice(), 3);
    packed.and_then(|packed| file.write_all(&packed)).map_err(append(target))
}

/// A newc archive of files `(path, mode, contents)` and the folders that they lie in.
///
/// # Errors
/// A file is too large for the format.
pub fn archive(files: &[(String, u32, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    let mut inode = 1;
    for (path, mode, contents) in files {
        for parent in parents(path) {
            let directory = newc::Builder::new(&parent).ino(inode).mode(DIRECTORY | 0o755).nlink(2);
            directory.write(&mut packed, 0).finish()?;
            inode += 1;
        }
        let length = u32::try_from(contents.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut entry = newc::Builder::new(path).ino(inode).mode(REGULAR | mode).write(&mut packed, length);
        entry.write_all(contents)?;
        entry.finish()?;
        inode += 1;
    }
    newc::trailer(&mut packed)?;
    packed.resize(packed.len() + padding(packed.len() as u64), 0);
    Ok(packed)
}

/// The kernel looks for the next archive at a multiple of four.
fn padding(length: u64) -> usize {
    ((4 - length % 4) % 4) as usize
}

/// `usr/bin/x` needs `usr` and `usr/bin`.
fn parents(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(end, _)| path[..end].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appended_archive_starts_at_a_multiple_of_four_and_holds_the_program() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("base"), "odd").expect("write");
        fs::write(path("program"), "#!/bin/true").expect("write");
        append_programs(&path("base"), &[("usr/bin/program", path("program"))], &path("out"))
            .expect("appended");
        let bytes = fs::read(path("out")).expect("read");
        assert_eq!(&bytes[..4], b"odd\0");
        let unpacked = zstd::decode_all(&bytes[4..]).expect("a zstd frame");
        let text = String::from_utf8_lossy(&unpacked).into_owned();
        assert!(text.starts_with("070701") && text.contains("usr/bin/program\0"));
        assert!(text.contains("#!/bin/true") && text.contains("TRAILER!!!"));
    }
}
