//! Builds a release again from its lock, with nothing cached but what was downloaded and the upstream programs, and
//! compares: the commit, the medium, every file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{Session, ashlar};

/// What a second build shares with the first: packages as Debian has them, compiled components, the signing key.
const SHARED: &[&str] = &["packages", "components", "keys"];
/// Cache of the second build, in that of the first.
const AGAIN: &str = ".again";
const LOCK: &str = "packages.lock.json";

/// A cache with nothing in it but what was downloaded or compiled by Go, in that of a release.
pub struct Fresh(PathBuf);

impl Fresh {
    pub fn make(release: &Path) -> Result<Self> {
        // `release` is `CACHE/release/KEY`.
        let cache = release.ancestors().nth(2).context("the release is in no cache")?;
        let fresh = Self(cache.join(AGAIN));
        fresh.remove()?;
        fs::create_dir_all(&fresh.0).with_context(|| format!("making {}", fresh.0.display()))?;
        for name in SHARED {
            let link = fresh.0.join(name);
            symlink(cache.join(name), &link).with_context(|| format!("making {}", link.display()))?;
        }
        Ok(fresh)
    }

    pub fn at<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("ASHLAR_CACHE", &self.0)
    }

    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

pub fn check(session: &Session, release: &Path) -> Result<()> {
    let fresh = Fresh::make(release)?;
    let mut command = ashlar(["release", "build", "--lock"]);
    session.run(
        "Building the release again, with nothing cached but downloads",
        "5 minutes",
        fresh.at(command.arg(release.join(LOCK))),
    )?;
    let second = fresh.0.join("release").join("dev");
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
    fresh.remove()
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
