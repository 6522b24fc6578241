//! Checks of the cluster's own: programs in a folder, each of which finds the node healthy or says why it is not.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::Cmd;

const LIMIT: Duration = Duration::from_secs(30);

/// What the first check that fails said: one that ends with another status than 0, or not within 30 s. They are run in the
/// order of their names, before a changed config is kept and before a new system is found good.
pub async fn failed(folder: &Path) -> Option<String> {
    for check in programs(folder) {
        if let Err(error) = Cmd::new(&check).timeout(LIMIT).run().await {
            return Some(format!("the check {} fails: {}", check.display(), crate::failure::chain(&error)));
        }
    }
    None
}

/// Files that may be run; the folder need not exist.
fn programs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let runs = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    let mut found: Vec<PathBuf> = entries.filter(runs).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_that_fails_is_named_with_what_it_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        };
        assert_eq!(failed(&folder.path().join("none")).await, None);
        write("10-good", "#!/bin/sh\nexit 0\n", 0o755);
        write("20-notes", "nobody runs this", 0o644);
        write(".30-half.new", "#!/bin/sh\nexit 1\n", 0o755);
        assert_eq!(failed(folder.path()).await, None);
        write("40-bad", "#!/bin/sh\necho the link is down >&2\nexit 3\n", 0o755);
        let said = failed(folder.path()).await.expect("a failure");
        assert!(said.contains("40-bad") && said.contains("the link is down"), "{said}");
    }
}
