//! Builds a release again from its lock, with nothing cached but what was downloaded and the upstream programs, and
//! compares: the commit, the medium, every file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{Session, ashlar};

/// What a second build shares with the first: packages as Debian has them, compiled components, the signing key.
const SHARED: &[&str] = &["packages", "components", "keys"];
/// Cache of the second build, in that of the first.
const AGAIN: &str = ".again";
const LOCK: &str = "packages.lock.json";

pub fn check(session: &Session, release: &Path) -> Result<()> {
    // `release` is `CACHE/release/KEY`.
    let cache = release.ancestors().nth(2).context("the release is in no cache")?;
    let again = cache.join(AGAIN);
    remove(&again)?;
    fs::create_dir_all(&again).with_context(|| format!("making {}", again.display()))?;
    for name in SHARED {
        let link = again.join(name);
        symlink(cache.join(name), &link).with_context(|| format!("making {}", link.display()))?;
    }
    let mut command = ashlar(["release", "build", "--lock"]);
    command.arg(release.join(LOCK)).env("ASHLAR_CACHE", &again);
    session.run(
        "Building the release again, with nothing cached but downloads",
        "5 minutes",
        &mut command,
    )?;
    let second = again.join("release").join("dev");
    let differences = differences(&manifest(release)?, &manifest(&second)?);
    if !differences.is_empty() {
        // Kept, to be looked at.
        bail!(
            "two builds of one lock differ in {}: {} and {}",
            differences.join(", "),
            release.display(),
            second.display()
        );
    }
    session.say("both builds are the same: commit, medium and all other files");
    remove(&again)
}

fn manifest(release: &Path) -> Result<Value> {
    let path = release.join("release.json");
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understanding {}", path.display()))
}

/// Names of what is not the same.
fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut names = Vec::new();
    if one["ostree_commit"] != other["ostree_commit"] || !one["ostree_commit"].is_string() {
        names.push("the commit of the system".to_owned());
    }
    let files = |of: &Value| of["files"].as_object().cloned().unwrap_or_default();
    let (one, other) = (files(one), files(other));
    let mut all: Vec<&String> = one.keys().chain(other.keys()).collect();
    all.sort();
    all.dedup();
    names.extend(all.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned());
    names
}

fn remove(path: &PathBuf) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_named() {
        let of = |commit: &str, iso: &str| serde_json::json!({"ostree_commit": commit, "files": {"ashlar.iso": {"sha256": iso}}});
        assert!(differences(&of("a", "1"), &of("a", "1")).is_empty());
        assert_eq!(differences(&of("a", "1"), &of("b", "2")), ["the commit of the system", "ashlar.iso"]);
        assert_eq!(differences(&Value::Null, &Value::Null), ["the commit of the system"]);
    }
}
