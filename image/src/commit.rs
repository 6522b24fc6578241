//! OSTree: the package tree committed once, what changes with every build committed on top of it, and the
//! result deployed into the file system of a disk.
//!
//! Repositories are `bare`: a deployment is made of links into them, and so is a new repository that starts
//! from the last one. The programs are the tree's own, so no OSTree is needed on the build host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::chroot::{self, Chroot};

/// Name of the operating system's state below `/ostree/deploy`.
pub const STATEROOT: &str = "ashlar";
pub const BRANCH: &str = "ashlar/x86_64/stable";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("committing the package tree with ostree")]
    Base(#[source] chroot::Error),
    #[error("committing and deploying the system with ostree")]
    Deploy(#[source] chroot::Error),
    #[error("reading what ostree deployed in {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has no kernel arguments of a deployment", path.display())]
    NoDeployment { path: PathBuf },
}

/// What boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Checksum of the commit.
    pub commit: String,
    /// Value of the kernel argument `ostree`.
    pub path: String,
    /// Kernel and initramfs, relative to the boot file system.
    pub kernel: String,
    pub initramfs: String,
}

/// Commits `tree` to a new repository `repo` below `work`.
///
/// # Errors
/// ostree fails (no space, no root).
pub async fn commit_base(packages: &Path, work: &Path, tree: &str) -> Result<(), Error> {
    let script = format!(
        "set -eu; cd /mnt/work
         ostree --repo=repo init --mode=bare
         ostree --repo=repo config set core.fsync false
         ostree --repo=repo commit --branch=base --tree=dir={tree} --timestamp=@0 --consume"
    );
    let run = Chroot::new(packages).bind(work, "/mnt/work").run(&["sh", "-c", &script]).await;
    run.map(drop).map_err(Error::Base)
}

/// Everything `deploy` works with. Paths are below `cache`, which is shown inside the tree as one file
/// system, so that links between them work.
pub struct Deploy<'a> {
    pub packages: &'a Path,
    pub cache: &'a Path,
    /// Directory with the `repo` of `commit_base`.
    pub base: &'a Path,
    /// Files over the base; consumed.
    pub late: &'a Path,
    /// Directory with `grub-menu`.
    pub tools: &'a Path,
    /// To be made.
    pub sysroot: &'a Path,
    pub version: &'a str,
    pub kernel_arguments: &'a [&'a str],
}

/// Makes a physical system root with one deployment.
///
/// # Errors
/// ostree fails, or what it deployed cannot be read.
pub async fn deploy(what: &Deploy<'_>) -> Result<Deployment, Error> {
    let arguments: String =
        what.kernel_arguments.iter().map(|argument| format!(" --karg-append={argument}")).collect();
    let script = format!(
        "set -eu
         base=$1 late=$2 sysroot=$3 version=$4
         export OSTREE_GRUB2_EXEC=/usr/libexec/ashlar/grub-menu
         # ostree makes the deployment's root immutable; then nothing here could be removed.
         trap 'chattr -i \"$sysroot\"/ostree/deploy/*/deploy/*.0 2>/dev/null || true' EXIT
         mkdir \"$sysroot\"
         ostree admin init-fs --modern \"$sysroot\"
         ostree admin os-init --sysroot=\"$sysroot\" {STATEROOT}
         repo=$sysroot/ostree/repo
         rm -rf \"$repo\"
         cp -al \"$base/repo\" \"$repo\"
         # Links share the base's files: what is changed in place must be a file of its own.
         cp --remove-destination \"$base/repo/config\" \"$repo/config\"
         ostree --repo=\"$repo\" commit --branch={BRANCH} --bootable --timestamp=@0 --consume \
             --add-metadata-string=version=\"$version\" --tree=ref=base --tree=dir=\"$late\"
         ostree --repo=\"$repo\" refs --delete base
         ostree --repo=\"$repo\" prune --refs-only
         ostree --repo=\"$repo\" config set sysroot.readonly true
         ostree --repo=\"$repo\" config set sysroot.bootprefix false
         mkdir -p \"$sysroot/boot/grub\"
         : > \"$sysroot/boot/grub/grub.cfg\"
         ostree admin deploy --sysroot=\"$sysroot\" --os={STATEROOT}{arguments} {BRANCH}
         ostree --repo=\"$repo\" config unset core.fsync"
    );
    let inside = |path: &Path| {
        let below = path.strip_prefix(what.cache).unwrap_or(path);
        Path::new("/mnt/cache").join(below).to_string_lossy().into_owned()
    };
    let (base, late, sysroot) = (inside(what.base), inside(what.late), inside(what.sysroot));
    Chroot::new(what.packages)
        .bind(what.cache, "/mnt/cache")
        .copy(what.tools, "/usr/libexec/ashlar")
        .run(&["sh", "-c", &script, "sh", &base, &late, &sysroot, what.version])
        .await
        .map_err(Error::Deploy)?;
    read_deployment(what.sysroot)
}

fn read_deployment(sysroot: &Path) -> Result<Deployment, Error> {
    let entries = sysroot.join("boot/loader/entries");
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let entry = fs::read_dir(&entries)
        .map_err(read(&entries))?
        .next()
        .ok_or_else(|| Error::NoDeployment { path: entries.clone() })?
        .map_err(read(&entries))?
        .path();
    let text = fs::read_to_string(&entry).map_err(read(&entry))?;
    let no_deployment = || Error::NoDeployment { path: entry.clone() };
    let field = |name: &str| field(&text, name).ok_or_else(no_deployment);
    let path = field("options")?
        .split_whitespace()
        .find_map(|argument| argument.strip_prefix("ostree="))
        .ok_or_else(no_deployment)?;
    let reference = sysroot.join("ostree/repo/refs/heads").join(BRANCH);
    let commit = fs::read_to_string(&reference).map_err(read(&reference))?;
    Ok(Deployment {
        commit: commit.trim().to_owned(),
        path: path.to_owned(),
        kernel: field("linux")?.trim_start_matches('/').to_owned(),
        initramfs: field("initrd")?.trim_start_matches('/').to_owned(),
    })
}

fn field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_entry_is_read_by_its_first_word() {
        let entry =
            "title Ashlar\nversion 1\noptions root=LABEL=root ostree=/ostree/boot.1/ashlar/x/0\nlinux /a";
        assert_eq!(field(entry, "linux"), Some("/a"));
        assert_eq!(field(entry, "initrd"), None);
    }
}
