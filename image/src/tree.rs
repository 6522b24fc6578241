//! The operating system's file tree: Debian packages, then our files, then the layout that OSTree wants.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};

use crate::chroot::{self, Chroot};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("copying the package tree to {}", path.display())]
    Copy { path: PathBuf, source: cmd::Error },
    #[error("changing {} of the system tree", path.display())]
    Change { path: PathBuf, source: io::Error },
    #[error("{} holds {count} kernels; it must be exactly one", path.display())]
    Kernels { path: PathBuf, count: usize },
    #[error("enabling the units of the system tree")]
    Presets(#[source] chroot::Error),
}

/// Makes `tree` from the package tree: our files over it, units enabled, directories where OSTree wants them.
/// Files that do not change are links into the package tree and must never be written to.
///
/// # Errors
/// A copy, a change or a program in the tree fails.
pub async fn make_system(packages: &Path, os: &Path, tree: &Path) -> Result<(), Error> {
    let copied =
        Cmd::new("cp").arg("-al").args([packages, tree]).timeout(Duration::from_secs(600)).run().await;
    copied.map_err(|source| Error::Copy { path: tree.to_owned(), source })?;
    disable_everything(tree)?;
    for (from, to) in SET_ASIDE {
        let to = tree.join(to);
        change(&to, |to| fs::create_dir_all(to.parent().unwrap_or(to)))?;
        change(&to, |to| fs::rename(tree.join(from), to))?;
    }
    for name in BUILD_ONLY {
        remove_if_there(&tree.join(name))?;
    }
    overlay(&os.join("root"), tree)?;
    scrub(tree)?;
    Chroot::new(packages)
        .bind(tree, "/mnt/tree")
        .run(&["systemctl", "--root=/mnt/tree", "preset-all"])
        .await
        .map_err(Error::Presets)?;
    place_kernel(tree)?;
    lay_out(tree)
}

/// What makes the boot loader of a disk, and loaders that no disk has.
const BUILD_ONLY: &[&str] = &[
    "usr/bin/grub-file",
    "usr/bin/grub-fstest",
    "usr/bin/grub-glue-efi",
    "usr/bin/grub-mkimage",
    "usr/bin/grub-mklayout",
    "usr/bin/grub-mknetdir",
    "usr/bin/grub-mkrescue",
    "usr/bin/grub-mkstandalone",
    "usr/bin/grub-mount",
    "usr/bin/grub-render-label",
    "usr/bin/grub-syslinux2cfg",
    "usr/lib/grub/i386-pc",
    "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
    "usr/lib/grub/x86_64-efi-signed/grubnetx64-installer.efi.signed",
    "usr/sbin/grub-bios-setup",
    "usr/sbin/grub-install",
    "usr/sbin/grub-macbless",
    "usr/sbin/grub-mkconfig",
    "usr/sbin/grub-mkdevicemap",
    "usr/sbin/grub-probe",
    "usr/share/grub",
];

/// Programs whose place one of ours takes, which may call them.
const SET_ASIDE: &[(&str, &str)] = &[("usr/bin/dpkg", "usr/libexec/ashlar/dpkg")];

/// Name of the one kernel of a package tree.
///
/// # Errors
/// There is none, or more than one.
pub fn kernel_version(tree: &Path) -> Result<String, Error> {
    let path = tree.join("usr/lib/modules");
    let kernels: Vec<_> = children(&path)?;
    match kernels.as_slice() {
        [kernel] => Ok(kernel.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        _ => Err(Error::Kernels { path, count: kernels.len() }),
    }
}

/// Every Debian package of a package tree with its version.
///
/// # Errors
/// The package database cannot be read.
pub fn package_versions(tree: &Path) -> Result<BTreeMap<String, String>, Error> {
    let text = change(&tree.join("var/lib/dpkg/status"), |status| fs::read_to_string(status))?;
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let package = |paragraph: &str| Some((field(paragraph, "Package:")?, field(paragraph, "Version:")?));
    Ok(text.split("\n\n").filter_map(package).collect())
}

/// Packages enable their units when they are installed; only our presets decide.
fn disable_everything(tree: &Path) -> Result<(), Error> {
    for dir in children(&tree.join("etc/systemd/system"))? {
        let name = dir.to_string_lossy();
        if name.ends_with(".wants") || name.ends_with(".requires") {
            change(&dir, |dir| fs::remove_dir_all(dir))?;
        }
    }
    Ok(())
}

/// Adds the files of a folder with `usr` and `etc` to what goes over the tree; `/etc` is kept in `/usr/etc`.
///
/// # Errors
/// A file cannot be copied.
pub fn add(from: &Path, to: &Path) -> Result<(), Error> {
    for (source, target) in [("usr", "usr"), ("etc", "usr/etc")] {
        let (source, target) = (from.join(source), to.join(target));
        if source.is_dir() {
            change(&target, |target| fs::create_dir_all(target))?;
            overlay(&source, &target)?;
        }
    }
    Ok(())
}

/// Copies files with the modes that a repository can keep; connection files hold secrets by convention, and sudo
/// wants its rules read-only.
fn overlay(from: &Path, to: &Path) -> Result<(), Error> {
    for source in children(from)? {
        let target = to.join(source.file_name().unwrap_or_default());
        let about = about(&source)?;
        if about.is_dir() {
            if !target.is_dir() {
                change(&target, |target| fs::create_dir(target))?;
            }
            overlay(&source, &target)?;
            continue;
        }
        remove_if_there(&target)?;
        if about.is_symlink() {
            change(&target, |target| symlink(fs::read_link(&source)?, target))?;
            continue;
        }
        let mode = match about.permissions().mode() & 0o111 {
            _ if target.extension().is_some_and(|extension| extension == "nmconnection") => 0o600,
            _ if to.ends_with("sudoers.d") => 0o440,
            0 => 0o644,
            _ => 0o755,
        };
        change(&target, |target| {
            fs::copy(&source, target)?;
            fs::set_permissions(target, fs::Permissions::from_mode(mode))
        })?;
    }
    Ok(())
}

/// What would be the same on every machine and must not be, and what account programs leave behind.
const UNIQUE: &[&str] = &[
    "etc/hostname",
    "etc/nvme/hostid",
    "etc/nvme/hostnqn",
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/shadow-",
    "etc/group-",
    "etc/gshadow-",
];

/// Removes what must differ between machines, and opens root at the console (never over SSH): the live system has nothing to
/// protect but the machine that the console belongs to. An installed node locks it (`model::node`).
fn scrub(tree: &Path) -> Result<(), Error> {
    for host_key in children(&tree.join("etc/ssh"))? {
        if host_key.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ssh_host_")) {
            remove_if_there(&host_key)?;
        }
    }
    for file in UNIQUE {
        remove_if_there(&tree.join(file))?;
    }
    for file in ["etc/machine-id", "etc/resolv.conf", "etc/fstab"] {
        replace(&tree.join(file), "", 0o644)?;
    }
    replace(
        &tree.join("etc/hosts"),
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
        0o644,
    )?;
    let shadow = tree.join("etc/shadow");
    let text = change(&shadow, |shadow| fs::read_to_string(shadow))?;
    let open = |line: &str| match line.strip_prefix("root:").and_then(|rest| rest.split_once(':')) {
        Some((_, rest)) => format!("root::{rest}\n"),
        None => format!("{line}\n"),
    };
    replace(&shadow, &text.lines().map(open).collect::<String>(), 0o640)?;
    // `replace` made a new file of group root; only root reads it in this system.
    Ok(())
}

fn place_kernel(tree: &Path) -> Result<(), Error> {
    let kernel = kernel_version(tree)?;
    let modules = tree.join("usr/lib/modules").join(&kernel);
    for (from, to) in [("vmlinuz", "vmlinuz"), ("config", "config")] {
        change(&modules.join(to), |to| fs::rename(tree.join(format!("boot/{from}-{kernel}")), to))?;
    }
    for leftover in ["vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"] {
        remove_if_there(&tree.join(leftover))?;
    }
    Ok(())
}

/// Directories that move below `/var`, with their place there.
const MOVED: &[(&str, &str)] = &[
    ("home", "var/home"),
    ("root", "var/roothome"),
    ("opt", "var/opt"),
    ("srv", "var/srv"),
    ("mnt", "var/mnt"),
    ("media", "run/media"),
    ("usr/local", "../var/usrlocal"),
    ("ostree", "sysroot/ostree"),
];
const EMPTY: &[&str] = &["var", "dev", "proc", "sys", "run", "tmp", "boot", "sysroot"];

fn lay_out(tree: &Path) -> Result<(), Error> {
    change(&tree.join("usr/lib/sysimage"), |dir| fs::create_dir_all(dir))?;
    let database = tree.join("usr/lib/sysimage/dpkg");
    change(&database, |database| fs::rename(tree.join("var/lib/dpkg"), database))?;
    let mut lines = String::new();
    state_directories(tree, &tree.join("var"), &mut lines)?;
    replace(&tree.join("usr/lib/tmpfiles.d/ashlar-packages.conf"), &lines, 0o644)?;
    for (from, to) in MOVED {
        let path = tree.join(from);
        remove_if_there(&path)?;
        change(&path, |path| symlink(to, path))?;
    }
    for name in EMPTY {
        let path = tree.join(name);
        remove_if_there(&path)?;
        change(&path, |path| fs::create_dir(path))?;
    }
    change(&tree.join("tmp"), |tmp| fs::set_permissions(tmp, fs::Permissions::from_mode(0o1777)))?;
    change(&tree.join("usr/etc"), |etc| fs::rename(tree.join("etc"), etc))
}

/// `/var` of a new machine is empty: systemd-tmpfiles makes the directories that packages brought there.
fn state_directories(tree: &Path, dir: &Path, lines: &mut String) -> Result<(), Error> {
    for path in children(dir)? {
        let about = about(&path)?;
        if !about.is_dir() {
            continue;
        }
        let name = path.strip_prefix(tree).unwrap_or(&path).to_string_lossy().into_owned();
        if ["var/cache", "var/lib/apt", "var/lib/systemd", "var/lib/ucf"].contains(&name.as_str()) {
            continue;
        }
        let (mode, user, group) = (about.mode() & 0o7777, about.uid(), about.gid());
        lines.push_str(&format!("d /{name} {mode:04o} {user} {group} -\n"));
        state_directories(tree, &path, lines)?;
    }
    Ok(())
}

fn children(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths =
        change(dir, |dir| fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())?;
    paths.sort();
    Ok(paths)
}

fn about(path: &Path) -> Result<fs::Metadata, Error> {
    change(path, |path| fs::symlink_metadata(path))
}

/// A new file in place of the old one, which may be a link that other trees share.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    remove_if_there(path)?;
    change(path, |path| {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    })
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(about) if about.is_dir() => change(path, |path| fs::remove_dir_all(path)),
        _ => change(path, |path| fs::remove_file(path)),
    }
}

fn change<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, Error> {
    act(path).map_err(|source| Error::Change { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_a_linked_file_leaves_the_other_name_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        fs::write(&first, "packages").expect("write");
        fs::hard_link(&first, &second).expect("link");
        replace(&second, "system", 0o644).expect("replaced");
        assert_eq!(fs::read_to_string(&first).expect("read"), "packages");
    }
}
