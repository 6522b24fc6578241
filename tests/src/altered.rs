//! Releases that somebody changed: what a node must not take. Made of links to the real one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::rack::Rack;

/// Another version than was signed, with the signature, in a folder on a node.
pub fn manifest(rack: &Rack, node: &str, release: &Path, folder: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(release.join("release.json"))?;
    let version = text.lines().find(|line| line.contains("\"version\"")).context("a version")?;
    let text = text.replacen(version, "  \"version\": \"99.0.0\",", 1);
    let signature = fs::read_to_string(release.join("release.json.minisig"))?;
    for (name, text) in [("release.json", text), ("release.json.minisig", signature)] {
        rack.ssh(node, &format!("mkdir -p {folder} && cat > {folder}/{name} <<END\n{text}\nEND"))?;
    }
    Ok(())
}

/// As it is, but for the signature of the commit.
pub fn signature(rack: &Rack, release: &Path) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(release.join("release.json"))?;
    let manifest: serde_json::Value = serde_json::from_str(&text)?;
    let commit = manifest["ostree_commit"].as_str().context("a commit")?;
    let (folder, rest) = commit.split_at(2);
    let file = format!("{rest}.commitmeta");
    let copy = rack.directory.join("altered-signature");
    link_all(release, &copy, &["ostree"])?;
    let (from, to) = (release.join("ostree"), copy.join("ostree"));
    // A delta, and the list of deltas, would bring the signature that is right.
    link_all(&from, &to, &["objects", "deltas", "summary"])?;
    link_all(&from.join("objects"), &to.join("objects"), &[folder])?;
    let (from, to) = (from.join("objects").join(folder), to.join("objects").join(folder));
    link_all(&from, &to, &[&file])?;
    let mut metadata = fs::read(from.join(&file))?;
    // The first byte of the signature.
    metadata[24] ^= 1;
    fs::write(to.join(&file), metadata)?;
    Ok(copy)
}

fn link_all(from: &Path, to: &Path, but: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if !but.iter().any(|name| entry.file_name() == *name) {
            symlink(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
