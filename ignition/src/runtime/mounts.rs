//! Mounting the configuration's filesystems below the sysroot, and taking them away again.

use std::path::{Path, PathBuf};

use ashlar_host::mount;
use rustix::mount::MountFlags;

use super::report::Failure;
use crate::spec::Filesystem;

const STAGE: &str = "mount";

/// Mounts, outer ones first. A mount point lies on directories only, so that no link leads it elsewhere.
///
/// # Errors
/// The path, why, and what to do; what was mounted stays, and is recognised by the next run.
pub(super) fn mount_all(sysroot: &Path, filesystems: &[Filesystem]) -> Result<Vec<PathBuf>, Failure> {
    let mut mounted = Vec::new();
    for (path, entry) in in_order(filesystems) {
        let place = plain_place(sysroot, path)
            .map_err(|cause| Failure::because(STAGE, path, cause, "choose a path without links"))?;
        if !is_mounted(&place) {
            let options = entry.mount_options.as_deref().unwrap_or_default();
            let format = entry.format.as_deref().unwrap_or("");
            mount_one(Path::new(&entry.device), &place, format, options).map_err(|cause| {
                Failure::because(STAGE, path, cause, "correct the device or mountOptions")
            })?;
        }
        mounted.push(place);
    }
    Ok(mounted)
}

/// Innermost first; what is not mounted is fine.
///
/// # Errors
/// A mount point is busy.
pub(super) fn unmount_all(places: &[PathBuf]) -> Result<(), Failure> {
    for place in places.iter().rev().filter(|place| is_mounted(place)) {
        mount::unmount(place)
            .map_err(|error| Failure::new("umount", place.display(), &error, "restart the host"))?;
    }
    Ok(())
}

pub(super) fn is_mounted(place: &Path) -> bool {
    mount::below(place).is_ok_and(|points| points.iter().any(|point| point == place))
}

/// What has a path to be mounted at; the root is mounted already.
fn in_order(filesystems: &[Filesystem]) -> Vec<(&str, &Filesystem)> {
    let given =
        |entry: &'_ Filesystem| !matches!(entry.format.as_deref().unwrap_or(""), "" | "swap" | "none");
    let all = filesystems.iter().filter(|entry| given(entry));
    let mut wanted: Vec<(&str, &Filesystem)> = all
        .filter_map(|entry| Some((entry.path.as_deref()?, entry)))
        .filter(|(path, _)| !path.trim_end_matches('/').is_empty())
        .collect();
    wanted.sort_by_key(|(path, _)| path.split('/').filter(|part| !part.is_empty()).count());
    wanted
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

pub(super) fn mount_one(device: &Path, place: &Path, format: &str, options: &[String]) -> Result<(), String> {
    let (flags, rest) = flags_of(options);
    std::fs::create_dir_all(place).map_err(|error| format!("making {}: {error}", place.display()))?;
    let data = std::ffi::CString::new(rest.as_str()).map_err(|_| "an option has a zero byte".to_owned())?;
    rustix::mount::mount(device, place, format, flags, Some(data.as_c_str())).map_err(|error| {
        let options = options.join(",");
        format!("mounting {} ({format}, options `{options}`): {error}", device.display())
    })
}

/// What `mount` means by its options: flags of the call, words for the filesystem, and words of `/etc/fstab` that
/// mean nothing here. Later words win.
fn flags_of(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut rest = Vec::new();
    for word in options.iter().flat_map(|option| option.split(',')).filter(|word| !word.is_empty()) {
        let known = FLAGS.iter().find(|(name, _, _)| *name == word);
        match known {
            Some((_, flag, true)) => flags |= *flag,
            Some((_, flag, false)) => flags -= *flag,
            None if is_of_fstab(word) => {}
            None => rest.push(word),
        }
    }
    (flags, rest.join(","))
}

/// Name, flag, and whether it sets or clears the flag.
const FLAGS: &[(&str, MountFlags, bool)] = &[
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("suid", MountFlags::NOSUID, false),
    ("nodev", MountFlags::NODEV, true),
    ("dev", MountFlags::NODEV, false),
    ("noexec", MountFlags::NOEXEC, true),
    ("exec", MountFlags::NOEXEC, false),
    ("sync", MountFlags::SYNCHRONOUS, true),
    ("async", MountFlags::SYNCHRONOUS, false),
    ("dirsync", MountFlags::DIRSYNC, true),
    ("noatime", MountFlags::NOATIME, true),
    ("atime", MountFlags::NOATIME, false),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("diratime", MountFlags::NODIRATIME, false),
    ("relatime", MountFlags::RELATIME, true),
    ("norelatime", MountFlags::RELATIME, false),
    ("strictatime", MountFlags::STRICTATIME, true),
    ("nostrictatime", MountFlags::STRICTATIME, false),
    ("lazytime", MountFlags::LAZYTIME, true),
    ("nolazytime", MountFlags::LAZYTIME, false),
    ("silent", MountFlags::SILENT, true),
    ("loud", MountFlags::SILENT, false),
    ("nosymfollow", NO_LINKS, true),
    ("symfollow", NO_LINKS, false),
];

/// `MS_NOSYMFOLLOW`.
const NO_LINKS: MountFlags = MountFlags::from_bits_retain(256);

fn is_of_fstab(word: &str) -> bool {
    let words =
        ["defaults", "auto", "noauto", "nofail", "user", "nouser", "users", "owner", "group", "_netdev"];
    words.contains(&word) || word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_mount_point_on_a_link_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/", root.path().join("out")).expect("a link");
        assert!(plain_place(root.path(), "/out/x").is_err());
        assert_eq!(plain_place(root.path(), "/var/x").expect("plain"), root.path().join("var/x"));
    }

    #[test]
    fn options_become_flags_and_later_words_win() {
        let (flags, rest) =
            flags_of(&words("ro,noatime nosuid,nodev noexec x-systemd.growfs,nofail subvol=a"));
        let wanted = MountFlags::RDONLY
            | MountFlags::NOATIME
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC;
        assert_eq!((flags, rest.as_str()), (wanted, "subvol=a"));
        assert_eq!(flags_of(&words("ro rw defaults")), (MountFlags::empty(), String::new()));
    }

    #[test]
    fn outer_mount_points_come_first_and_the_root_is_left_alone() {
        let entry = |path: &str, format: &str| -> Filesystem {
            let value = serde_json::json!({"device": format!("/dev{path}"), "path": path, "format": format});
            serde_json::from_value(value).expect("a filesystem")
        };
        let list = [
            entry("/var/lib/data", "xfs"),
            entry("/var", "ext4"),
            entry("/", "ext4"),
            entry("/swap", "swap"),
            entry("/none", "none"),
            entry("/srv", "ext4"),
        ];
        let paths: Vec<&str> = in_order(&list).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/var", "/srv", "/var/lib/data"]);
    }

    /// The flags that the kernel says are in force, in a mount namespace of the test's own thread.
    #[test]
    fn the_kernel_has_the_flags_that_were_asked_for() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root mounts");
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let place = root.path().join("data");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: only this thread's view of the mounts changes; it shares no state that depends on it.
                unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
                    .expect("a namespace");
                let private =
                    rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
                rustix::mount::mount_change("/", private).expect("private");
                mount_one(Path::new("tmpfs"), &place, "tmpfs", &words("noatime,nosuid nodev,noexec size=1m"))
                    .expect("mounted");
                let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("a table");
                let line = table.lines().find(|line| line.contains(place.to_str().expect("text")));
                let line = line.expect("it is mounted");
                assert!(line.contains(" rw,nosuid,nodev,noexec,noatime "), "{line}");
                assert!(line.contains("size=1024k"), "{line}");
                let refused = mount_one(Path::new("tmpfs"), &place, "tmpfs", &words("no-such-option"));
                assert!(refused.expect_err("unknown").contains("no-such-option"));
            });
        });
    }
}
