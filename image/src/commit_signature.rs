//! Signs a commit of the operating system with the release's key, in libostree's own format.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_model::commit_signature::{RELEASE_KEY, TRUSTED_KEYS, detached_metadata};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::release;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Release(#[from] release::Error),
    #[error("the signing key {} is damaged: {reason}", path.display())]
    Key { path: PathBuf, reason: ring::error::KeyRejected },
    #[error("reading or writing {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// Writes the public half of the key to where libostree looks for keys, below `root`.
///
/// # Errors
/// The key cannot be used, or the file cannot be written.
pub fn trust(key: &Path, root: &Path) -> Result<(), Error> {
    let pair = pair(key)?;
    let path = root.join(TRUSTED_KEYS).join(RELEASE_KEY);
    let text = format!("{}\n", base64(pair.public_key().as_ref()));
    let written = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, text));
    written.map_err(|source| Error::File { path, source })
}

/// Signs `commit` of the repository `repo`.
///
/// # Errors
/// The key cannot be used, the repository lacks the commit, or it cannot be written to.
pub fn sign(key: &Path, repo: &Path, commit: &str) -> Result<(), Error> {
    let (folder, rest) = commit.split_at(commit.len().min(2));
    let object = repo.join("objects").join(folder).join(format!("{rest}.commit"));
    let bytes = fs::read(&object).map_err(|source| Error::File { path: object.clone(), source })?;
    let signature = pair(key)?.sign(&bytes);
    let mut signed = [0; 64];
    signed.copy_from_slice(signature.as_ref());
    let path = object.with_extension("commitmeta");
    fs::write(&path, detached_metadata(&signed)).map_err(|source| Error::File { path, source })
}

/// minisign's keys are Ed25519 keys.
fn pair(path: &Path) -> Result<Ed25519KeyPair, Error> {
    let (seed, public) = release::key_bytes(path)?;
    Ed25519KeyPair::from_seed_and_public_key(&seed, &public)
        .map_err(|reason| Error::Key { path: path.to_owned(), reason })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_signature_is_one_of_the_releases_key_over_the_commit() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let key = dir.path().join("release.key");
        release::ensure_key(&key).expect("a key");
        let commit = "ab".repeat(32);
        let folder = dir.path().join("objects/ab");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{}.commit", "ab".repeat(31))), "the commit").expect("write");
        sign(&key, dir.path(), &commit).expect("signed");
        let metadata = fs::read(folder.join(format!("{}.commitmeta", "ab".repeat(31)))).expect("signed");

        release::write_public_key(&key, &dir.path().join("pub")).expect("public");
        let (_, public) = release::key_bytes(&key).expect("a key");
        let public = UnparsedPublicKey::new(&ED25519, public);
        assert!(public.verify(b"the commit", &metadata[24..88]).is_ok());
        assert!(public.verify(b"the Commit", &metadata[24..88]).is_err());

        trust(&key, dir.path()).expect("written");
        let text = fs::read_to_string(dir.path().join(TRUSTED_KEYS).join(RELEASE_KEY)).expect("read");
        assert_eq!(text.trim().len(), 44);
    }
}
