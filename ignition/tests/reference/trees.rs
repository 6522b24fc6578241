//! File trees: a small image to start from, and what is in a tree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Accounts, skeletons, links of every kind, units that are on, off, masked and templates.
pub fn image(root: &Path, reference: &Path) {
    let unit =
        "[Unit]\nDescription=a\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    let units = "usr/lib/systemd/system";
    for (path, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nold:x:1000:1000::/home/old:/bin/sh\n",
        ),
        ("etc/shadow", "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\nold:!:20000:0:99999:7:::\n"),
        (
            "etc/group",
            "root:x:0:\ndaemon:x:1:\nman:x:12:\nsudo:x:27:\nusers:x:100:\nold:x:1000:\nspare:x:1002:\n",
        ),
        ("etc/gshadow", "root:*::\ndaemon:*::\nman:*::\nsudo:*::\nusers:*::\nold:!::\nspare:!::\n"),
        ("etc/subuid", "old:100000:65536\nother:231072:65536\n"),
        ("etc/subgid", "old:100000:65536\n"),
        ("etc/skel/.profile", "umask 022\n"),
        ("etc/motd", "hello\n"),
        ("etc/issue", "issue\n"),
        ("etc/selinux/config", "SELINUXTYPE=none\n"),
        ("home/old/.keep", ""),
        ("root/.keep", ""),
        ("var/lib/.keep", ""),
        ("usr/lib/systemd/system-preset/90-image.preset", "enable on.service\ndisable *\n"),
        ("usr/bin/tool", ""),
    ] {
        write(&root.join(path), text);
    }
    for name in ["known.service", "on.service", "off.service", "known@.service", "masked.service"] {
        write(&root.join(units).join(name), unit);
    }
    for name in ["etc/login.defs", "etc/default/useradd"] {
        write(&root.join(name), &fs::read_to_string(reference.join(name)).expect("Debian has it"));
    }
    for (path, target) in [
        ("etc/link", "skel"),
        ("etc/absolute", "/etc/skel"),
        ("etc/dangling", "/var/nowhere"),
        ("etc/out", "../../../../../../opt"),
        ("etc/systemd/system/masked.service", "/dev/null"),
        ("etc/systemd/system/multi-user.target.wants/on.service", "/usr/lib/systemd/system/on.service"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        symlink(target, path).expect("a link");
    }
    for (path, mode) in [("etc/shadow", 0o640), ("etc/gshadow", 0o640), ("home/old", 0o700), ("root", 0o700)]
    {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    std::os::unix::fs::chown(root.join("home/old"), Some(1000), Some(1000)).expect("an owner");
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, text).expect("a file");
}

/// Notes of the programs themselves.
fn is_own_note(path: &str) -> bool {
    let notes = ["etc/.ignition-result.json", "etc/.pwd.lock", "etc/.updated", "var/.updated"];
    notes.contains(&path)
        || path.starts_with("etc/.ashlar-")
        || (path.starts_with("etc/") && path.ends_with('-') && !path[4..].contains('/'))
}

/// Every path with kind, mode, owner and contents; hard links by the first of their names.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut inodes: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        let data = path.symlink_metadata().expect("it is there");
        let inside = path.strip_prefix(root).expect("inside").to_owned();
        let name = inside.to_string_lossy().into_owned();
        let what = if data.is_symlink() {
            format!("-> {}", path.read_link().expect("a link").display())
        } else if data.is_dir() {
            let mut entries: Vec<PathBuf> =
                fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
            entries.sort();
            queue.extend(entries.into_iter().rev());
            "directory".to_owned()
        } else if let Some(first) = inodes.get(&data.ino()) {
            format!("= {}", first.display())
        } else {
            inodes.insert(data.ino(), inside.clone());
            text(&name, &fs::read(&path).expect("readable"))
        };
        if !is_own_note(&name) {
            let mode = data.permissions().mode() & 0o7777;
            tree.insert(inside, format!("{mode:o} {}:{} {what}", data.uid(), data.gid()));
        }
    }
    tree
}

/// The reference writes the lines of a preset file in any order.
fn text(name: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    if !name.ends_with("20-ignition.preset") {
        return text;
    }
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// What differs, one line each.
pub fn differences(theirs: &BTreeMap<PathBuf, String>, ours: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let paths: std::collections::BTreeSet<&PathBuf> = theirs.keys().chain(ours.keys()).collect();
    let show = |text: Option<&String>| text.map_or_else(|| "nothing".to_owned(), |text| format!("{text:?}"));
    let differing = paths.into_iter().filter(|path| theirs.get(*path) != ours.get(*path));
    differing
        .map(|path| {
            format!("  /{}: theirs {}, ours {}", path.display(), show(theirs.get(path)), show(ours.get(path)))
        })
        .collect()
}
