//! The key pair that the enrolment token binds to. It leaves this machine only into its own config slot.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::Context;
use ashlar_model::keys::KeyPair;

use crate::durable;

pub const DIRECTORY: &str = "/run/ashlar/identity";

/// The identity of this boot, made when there is none.
pub fn load_or_make(host: &str) -> anyhow::Result<KeyPair> {
    load_or_make_in(Path::new(DIRECTORY), host)
}

fn load_or_make_in(directory: &Path, host: &str) -> anyhow::Result<KeyPair> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("making {}", directory.display()))?;
    let path = directory.join("identity.json");
    if let Ok(text) = std::fs::read(&path) {
        return serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()));
    }
    let pair = ashlar_pki::self_signed(host, &[host.to_owned()], &[])?;
    durable::write(&path, &serde_json::to_vec(&pair)?, 0o600)?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_agent_keeps_its_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = load_or_make_in(&dir.path().join("id"), "master-1").expect("made");
        let read = load_or_make_in(&dir.path().join("id"), "master-1").expect("read");
        assert_eq!(made.private_key_pem, read.private_key_pem);
    }
}
