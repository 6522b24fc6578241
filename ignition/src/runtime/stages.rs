//! The stages after fetching, in their order: kargs, disks, mount, files, umount.

use std::fs;
use std::path::{Path, PathBuf};

use ashlar_host::mount::{self, Access};

use super::apply::apply;
use super::disks::{self, Disks, KEYS};
use super::fetch::Fetcher;
use super::files;
use super::report::{Failure, chain};
use super::root::Root;
use crate::disks::commands;
use crate::kargs;
use crate::plan::Action;
use crate::render::Rendered;
use crate::spec::{Filesystem, KernelArguments};

/// The boot partition of an installed disk.
const BOOT_DEVICE: &str = "/dev/disk/by-label/boot";
const BOOT: &str = "/run/ashlar-ignition/boot";
/// On the boot partition: the arguments were changed once.
const CHANGED: &str = "ashlar-kernel-arguments";

pub struct Stages<'a> {
    pub sysroot: &'a Path,
    pub fetcher: &'a Fetcher,
    pub say: fn(&str),
}

/// How the stages ended.
pub enum Ended {
    /// With these warnings.
    Done(Vec<String>),
    /// The kernel arguments were changed; everything else is done after a restart.
    Restart,
}

impl Stages<'_> {
    /// # Errors
    /// Stage, entry, cause and remedy. Every stage may be run again.
    pub async fn run(&self, rendered: &Rendered, actions: &[Action]) -> Result<Ended, Failure> {
        let config = &rendered.config;
        if let Some(wanted) = config.kernel_arguments.as_ref().filter(|wanted| !kargs::is_empty(wanted))
            && self.kernel_arguments(wanted)?
        {
            return Ok(Ended::Restart);
        }
        Disks { fetcher: self.fetcher, settings: &rendered.settings, say: self.say }.run(config).await?;
        let storage = config.storage.clone().unwrap_or_default();
        let mounted = self.mount(storage.filesystems.as_deref().unwrap_or_default())?;
        let applied = apply(actions, &Root::new(self.sysroot), self.fetcher).await;
        let result = match applied {
            Ok(warnings) => {
                self.crypttab(storage.luks.as_deref().unwrap_or_default()).await.map(|()| warnings)
            }
            Err((entry, error)) => Err(Failure::new("apply", entry, &error, error.remedy())),
        };
        for place in mounted.iter().rev() {
            mount::unmount(place)
                .map_err(|error| Failure::new("umount", place.display(), &error, "restart the host"))?;
        }
        result.map(Ended::Done)
    }

    /// True when the boot partition was changed.
    fn kernel_arguments(&self, wanted: &KernelArguments) -> Result<bool, Failure> {
        let folder = Path::new(BOOT);
        let fail = |error: &dyn std::error::Error| {
            Failure::new("kargs", "kernelArguments", error, "check the boot partition")
        };
        mount::mount(Path::new(BOOT_DEVICE), folder, "ext4", Access::ReadWrite, "")
            .map_err(|error| fail(&error))?;
        let edited = edit_boot(folder, wanted).map_err(|error| fail(&error));
        mount::unmount(folder).map_err(|error| fail(&error))?;
        if edited? {
            (self.say)("the kernel arguments are changed; the host is restarted once");
            return Ok(true);
        }
        Ok(false)
    }

    /// Mounts, outer ones first. A mount point lies on directories only, so that no link leads it elsewhere.
    fn mount(&self, filesystems: &[Filesystem]) -> Result<Vec<PathBuf>, Failure> {
        let given = |entry: &&Filesystem| {
            let format = entry.format.as_deref().unwrap_or("");
            !matches!(format, "" | "swap" | "none")
                && entry.path.as_ref().is_some_and(|path| !path.is_empty())
        };
        let mut wanted: Vec<&Filesystem> = filesystems.iter().filter(given).collect();
        wanted.sort_by_key(|entry| entry.path.as_deref().unwrap_or("").matches('/').count());
        let mut mounted = Vec::new();
        for entry in wanted {
            let path = entry.path.as_deref().unwrap_or("/");
            let fail = |cause: String, remedy: &str| Failure {
                stage: "mount",
                entry: path.to_owned(),
                cause,
                remedy: remedy.to_owned(),
            };
            let place = plain_place(self.sysroot, path)
                .map_err(|cause| fail(cause, "choose a path without links"))?;
            if mount::below(&place).is_ok_and(|points| points.contains(&place)) {
                continue;
            }
            let (access, options) = mount_options(entry.mount_options.as_deref().unwrap_or_default());
            let format = entry.format.as_deref().unwrap_or("");
            mount::mount(Path::new(&entry.device), &place, format, access, &options)
                .map_err(|error| fail(chain(&error), "correct the device or mountOptions"))?;
            mounted.push(place);
        }
        Ok(mounted)
    }

    async fn crypttab(&self, volumes: &[crate::spec::Luks]) -> Result<(), Failure> {
        let root = Root::new(self.sysroot);
        for luks in volumes {
            let fail =
                |error: &dyn std::error::Error| Failure::new("files", &luks.name, error, "check the volume");
            let device = luks.device.clone().unwrap_or_default();
            let uuid = disks::run("cryptsetup", vec!["luksUUID".to_owned(), device], &luks.name).await?;
            let line = commands::crypttab_line(luks, uuid.trim());
            let place = root.place("/etc/crypttab").map_err(|error| fail(&error))?;
            let old = fs::read_to_string(&place).unwrap_or_default();
            let others = old.lines().filter(|other| other.split_whitespace().next() != Some(&luks.name));
            let text: String = others.map(|other| format!("{other}\n")).chain([line]).collect();
            files::write(&place, text.as_bytes(), 0o600, files::Ids::default())
                .map_err(|error| fail(&error))?;
            if commands::uses_clevis(luks) {
                continue;
            }
            let folder = root.directory("/etc/luks").map_err(|error| fail(&error))?;
            files::set_attributes(&folder, Some(0o700), files::Ids::default())
                .map_err(|error| fail(&error))?;
            let key = fs::read(Path::new(KEYS).join(&luks.name)).map_err(|error| fail(&error))?;
            files::write(&folder.join(&luks.name), &key, 0o600, files::Ids::default())
                .map_err(|error| fail(&error))?;
        }
        Ok(())
    }
}

/// Edits boot entries and GRUB's menu; refuses to do it a second time, so that a host is restarted once at most.
fn edit_boot(folder: &Path, wanted: &KernelArguments) -> std::io::Result<bool> {
    let mut changes = Vec::new();
    for loader in ["loader", "grub"] {
        let mut queue = vec![folder.join(loader)];
        while let Some(path) = queue.pop() {
            let Ok(data) = path.metadata() else { continue };
            if data.is_dir() {
                queue.extend(
                    fs::read_dir(&path)?
                        .collect::<Result<Vec<_>, _>>()?
                        .into_iter()
                        .map(|entry| entry.path()),
                );
            } else if path.extension().is_some_and(|kind| kind == "conf" || kind == "cfg")
                && let Some(text) = kargs::edited_file(&fs::read_to_string(&path)?, wanted)
            {
                changes.push((path, text));
            }
        }
    }
    if changes.is_empty() {
        return Ok(false);
    }
    let mark = folder.join(CHANGED);
    if mark.exists() {
        return Err(std::io::Error::other("the arguments were changed before and are not in force"));
    }
    for (path, text) in changes {
        files::write_synced(&path, text.as_bytes(), 0o644)?;
    }
    files::write_synced(&mark, b"changed\n", 0o644)?;
    Ok(true)
}

/// `path` below the sysroot, every part of it a directory or missing.
fn plain_place(sysroot: &Path, path: &str) -> Result<PathBuf, String> {
    let mut place = sysroot.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        place.push(part);
        match place.symlink_metadata() {
            Ok(data) if !data.is_dir() => return Err(format!("{} is no directory", place.display())),
            _ => {}
        }
    }
    Ok(place)
}

/// `ro` and `rw` are flags of the call; the rest is for the filesystem.
fn mount_options(options: &[String]) -> (Access, String) {
    let words: Vec<&str> = options.iter().flat_map(|option| option.split(',')).collect();
    let access = if words.contains(&"ro") { Access::ReadOnly } else { Access::ReadWrite };
    let flags =
        ["ro", "rw", "defaults", "noatime", "relatime", "nodev", "nosuid", "noexec", "sync", "dirsync"];
    let rest: Vec<&str> =
        words.into_iter().filter(|word| !flags.contains(word) && !word.is_empty()).collect();
    (access, rest.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_entries_are_changed_once() {
        let folder = tempfile::tempdir().expect("a directory");
        let entry = folder.path().join("loader/entries/a.conf");
        fs::create_dir_all(entry.parent().expect("a parent")).expect("directories");
        fs::write(&entry, "options root=x quiet\n").expect("a file");
        let wanted = |word: &str| KernelArguments {
            should_exist: Some(vec![word.to_owned()]),
            should_not_exist: None,
        };
        assert!(edit_boot(folder.path(), &wanted("nosmt")).expect("changed"));
        assert_eq!(fs::read_to_string(&entry).expect("text"), "options root=x quiet nosmt\n");
        assert!(!edit_boot(folder.path(), &wanted("nosmt")).expect("right already"));
        assert!(edit_boot(folder.path(), &wanted("other")).is_err(), "one restart at most");
    }

    #[test]
    fn a_mount_point_on_a_link_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/", root.path().join("out")).expect("a link");
        assert!(plain_place(root.path(), "/out/x").is_err());
        assert_eq!(plain_place(root.path(), "/var/x").expect("plain"), root.path().join("var/x"));
        let options = ["ro,noatime".to_owned(), "subvol=a".to_owned()];
        assert_eq!(mount_options(&options), (Access::ReadOnly, "subvol=a".to_owned()));
    }
}
