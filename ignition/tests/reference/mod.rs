//! The reference: Debian's package `ignition`, in a root directory of its own.
//!
//! `cargo run -p ashlar-ignition --example reference` makes the root, once, below the cache directory.

#[allow(dead_code, reason = "not every comparison is of trees")]
pub mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root directory, or nothing when it was not made.
pub fn root() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("ashlar"));
    let root = std::env::var_os("ASHLAR_CACHE").map(PathBuf::from).or(cache)?.join("ignition-reference/root");
    root.join("usr/bin/ignition-validate").exists().then_some(root)
}

/// Runs a script inside the root, with a `/proc` of its own mount namespace and `work` at `/compare`.
pub fn run(root: &Path, work: &Path, script: &str) -> String {
    fs::create_dir_all(root.join("compare")).expect("a directory");
    let enter = format!(
        "mount -t proc proc {0}/proc && mount --bind {1} {0}/compare && exec chroot {0} /bin/sh -c \"$1\"",
        root.display(),
        work.display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &enter, "sh", script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
