//! Applying plans to temporary directories.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

fn actions(mut value: Value) -> Vec<Action> {
    value["ignition"]["version"] = "3.5.0".into();
    let config = crate::parse_value(value).expect("a configuration").config;
    assert_eq!(crate::validate(&config), []);
    crate::plan(&config, &Default::default()).expect("possible")
}

fn apply(actions: &[Action], root: &Root) -> Result<Vec<String>, (String, ApplyError)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fetcher = Fetcher::plain(Path::new("/"), |_| {});
    runtime.block_on(super::apply(actions, root, &fetcher))
}

/// A small image: accounts, a skeleton, a unit, `/home` as a link into `/var`.
fn image() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    };
    write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    write("etc/shadow", "root:*:1::::::\n");
    write("etc/group", "root:x:0:\nsudo:x:27:\n");
    write("etc/skel/.profile", "umask 022\n");
    write("etc/default/useradd", "SHELL=/bin/bash\n");
    write("etc/issue", "hello\n");
    write("usr/lib/systemd/system/kubelet.service", "[Unit]\n[Install]\nWantedBy=multi-user.target\n");
    symlink("var/home", dir.path().join("home")).expect("a link");
    dir
}

/// Every path with kind, mode, owner and contents.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        let data = path.symlink_metadata().expect("it is there");
        let what = if data.is_symlink() {
            format!("-> {}", path.read_link().expect("a link").display())
        } else if data.is_dir() {
            queue.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()));
            "directory".to_owned()
        } else {
            fs::read_to_string(&path).expect("text")
        };
        let mode = data.permissions().mode() & 0o7777;
        tree.insert(
            path.strip_prefix(root).expect("inside").to_owned(),
            format!("{mode:o} {}: {what}", data.uid()),
        );
    }
    tree
}

fn everything() -> Vec<Action> {
    actions(json!({
        "passwd": {"users": [{"name": "core", "groups": ["sudo"], "sshAuthorizedKeys": ["ssh-ed25519 AAAA one"]}]},
        "storage": {
            "directories": [{"path": "/etc/kubernetes/manifests", "mode": 0o700}],
            "files": [
                {"path": "/etc/kubernetes/a.conf", "mode": 0o600, "contents": {"source": "data:,secret"}},
                {"path": "/etc/motd"},
                {"path": "/etc/issue", "append": [{"source": "data:,more%0A"}]},
                {"path": "/home/core/note", "contents": {"source": "data:,hi"}, "user": {"name": "core"}}],
            "links": [{"path": "/etc/soft", "target": "kubernetes"},
                {"path": "/etc/hard", "target": "/etc/motd", "hard": true}]},
        "systemd": {"units": [
            {"name": "kubelet.service", "enabled": true, "dropins": [{"name": "10.conf", "contents": "[Service]\nA=b\n"}]},
            {"name": "own@1.service", "enabled": true},
            {"name": "own@.service", "contents": "[Unit]\n[Install]\nWantedBy=a.target\n"},
            {"name": "bad.service", "mask": true},
            {"name": "lost.service", "enabled": true}]}}))
}

#[test]
fn applying_twice_gives_the_same_tree() {
    let dir = image();
    let root = Root::new(dir.path());
    let warnings = apply(&everything(), &root).expect("it applies");
    assert_eq!(warnings, ["lost.service is enabled, but there is no such unit"]);
    let first = tree(dir.path());
    apply(&everything(), &root).expect("it applies again");
    assert_eq!(tree(dir.path()), first);
    let at = |path: &str| first.get(Path::new(path)).map(String::as_str);
    assert_eq!(at("etc/kubernetes/a.conf"), Some("600 0: secret"));
    assert_eq!(at("etc/kubernetes/manifests"), Some("700 0: directory"));
    assert_eq!(at("etc/issue"), Some("644 0: hello\nmore\n"));
    assert_eq!(at("etc/motd"), Some("644 0: "));
    assert_eq!(at("var/home/core"), Some("700 1000: directory"));
    assert_eq!(at("var/home/core/.profile"), Some("644 1000: umask 022\n"));
    assert_eq!(at("var/home/core/.ssh/authorized_keys"), Some("600 1000: ssh-ed25519 AAAA one\n"));
    assert_eq!(at("var/home/core/note"), Some("644 1000: hi"));
    let wants = "etc/systemd/system/multi-user.target.wants/kubelet.service";
    assert_eq!(at(wants), Some("777 0: -> /usr/lib/systemd/system/kubelet.service"));
    let instance = "etc/systemd/system/a.target.wants/own@1.service";
    assert_eq!(at(instance), Some("777 0: -> /etc/systemd/system/own@.service"));
    assert_eq!(at("etc/systemd/system/bad.service"), Some("777 0: -> /dev/null"));
    assert_eq!(
        at("etc/systemd/system-preset/20-ignition.preset"),
        Some("644 0: enable kubelet.service\nenable own@.service 1\nenable lost.service\n")
    );
}

#[test]
fn an_interrupted_run_is_completed_by_the_next_one() {
    let whole = image();
    apply(&everything(), &Root::new(whole.path())).expect("it applies");
    let want = tree(whole.path());
    for stop in 0..everything().len() {
        let dir = image();
        let root = Root::new(dir.path());
        apply(&everything()[..stop], &root).expect("the first part applies");
        // What a power cut leaves behind: a temporary file.
        fs::write(dir.path().join("etc/.motd.ashlar-new"), "half").expect("a file");
        apply(&everything(), &root).expect("it applies");
        fs::remove_file(dir.path().join("etc/.motd.ashlar-new")).ok();
        assert_eq!(tree(dir.path()), want, "stopped before action {stop}");
    }
}

#[test]
fn what_is_there_is_only_replaced_when_the_entry_says_so() {
    let dir = image();
    let root = Root::new(dir.path());
    let file = |overwrite: bool| {
        actions(json!({"storage": {"files": [
            {"path": "/etc/issue", "overwrite": overwrite, "contents": {"source": "data:,new"}}]}}))
    };
    let (entry, error) = apply(&file(false), &root).unwrap_err();
    assert_eq!(
        (entry.as_str(), error.to_string().as_str()),
        ("file /etc/issue (3 bytes)", "/etc/issue exists with other contents")
    );
    assert!(error.remedy().contains("overwrite"));
    apply(&file(true), &root).expect("it applies");
    assert_eq!(fs::read_to_string(dir.path().join("etc/issue")).expect("text"), "new");
    let replaced =
        actions(json!({"storage": {"links": [{"path": "/etc", "target": "/usr", "overwrite": true}]}}));
    assert!(matches!(apply(&replaced, &root), Err((_, ApplyError::TopLevel { .. }))));
}

#[test]
fn a_link_of_the_image_never_leads_out_of_the_root() {
    let dir = image();
    let outside = tempfile::tempdir().expect("a directory");
    symlink(outside.path(), dir.path().join("etc/out")).expect("a link");
    let escaping = actions(
        json!({"storage": {"files": [{"path": "/etc/out/file", "contents": {"source": "data:,x"}}]}}),
    );
    apply(&escaping, &Root::new(dir.path())).expect("it applies inside");
    assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
    let inside = dir.path().join(outside.path().strip_prefix("/").expect("absolute")).join("file");
    assert_eq!(fs::read_to_string(inside).expect("text"), "x");
}
