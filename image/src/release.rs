//! The release directory: what is in it, signed; and the check before anything of it is used.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ashlar_model::release::{File, Release};
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox, SignatureBox};

use crate::stage::hash_file;

pub const MANIFEST: &str = "release.json";
pub const SIGNATURE: &str = "release.json.minisig";
pub const PUBLIC_KEY: &str = "ashlar-release.pub";
/// In the system: the key whose releases a node takes as updates.
pub const TRUSTED_KEY: &str = "usr/share/ashlar/release.pub";
pub const MEDIUM: &str = "ashlar.iso";
pub const MINIMAL_MEDIUM: &str = "ashlar-minimal.iso";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("using the signing key {}", path.display())]
    Key { path: PathBuf, source: minisign::PError },
    #[error("understanding {}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the signature of {} is not valid\nhint: get the release again from where it is published", path.display())]
    Signature { path: PathBuf, source: minisign::PError },
    #[error("{} is not what the release says (has {found}, should have {expected})\nhint: get the release again",
            path.display())]
    Changed { path: PathBuf, found: String, expected: String },
    #[error("the release has format {0}; this program reads format 1")]
    Format(u32),
}

/// Describes files that lie in `dir`, by their path there.
///
/// # Errors
/// One cannot be read.
pub fn describe(dir: &Path, names: &[String]) -> Result<BTreeMap<String, File>, Error> {
    let mut files = BTreeMap::new();
    for name in names {
        let path = dir.join(name);
        let (sha256, bytes) = hash_file(&path).map_err(|source| Error::Read { path, source })?;
        files.insert(name.clone(), File { sha256, bytes });
    }
    Ok(files)
}

/// Writes the manifest, its signature and the public key.
///
/// # Errors
/// The key at `key` cannot be used, or a file cannot be written.
pub fn sign(dir: &Path, release: &Release, key: &Path) -> Result<(), Error> {
    let manifest = dir.join(MANIFEST);
    let text = serde_json::to_vec_pretty(release)
        .map_err(|source| Error::Parse { path: manifest.clone(), source })?;
    write(&manifest, &text)?;
    let bad_key = |source| Error::Key { path: key.to_owned(), source };
    let secret = load_key(key)?;
    let public = PublicKey::from_secret_key(&secret).map_err(bad_key)?;
    let comment = format!("ashlar {}", release.version);
    let signature = minisign::sign(Some(&public), &secret, Cursor::new(&text), Some(&comment), None);
    write(&dir.join(SIGNATURE), signature.map_err(bad_key)?.to_string().as_bytes())?;
    write(&dir.join(PUBLIC_KEY), public.to_box().map_err(bad_key)?.to_string().as_bytes())
}

/// Reads a release directory after checking its signature and every file. `trusted` is a public key; without
/// one, the key beside the release is used, which proves only that nothing broke on the way.
///
/// # Errors
/// A file is missing, changed, or not signed by the key.
pub fn verify(dir: &Path, trusted: Option<&str>) -> Result<Release, Error> {
    let release = read_signed(dir, trusted)?;
    for (name, file) in &release.files {
        let path = dir.join(name);
        let (found, _) = hash_file(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        if found != file.sha256 {
            return Err(Error::Changed { path, found, expected: file.sha256.clone() });
        }
    }
    Ok(release)
}

/// The manifest, with its signature checked but not the files it names.
///
/// # Errors
/// It is missing, not signed by the key, or of another format.
pub fn read_signed(dir: &Path, trusted: Option<&str>) -> Result<Release, Error> {
    let path = dir.join(MANIFEST);
    let text = read(&path)?;
    let key = match trusted {
        Some(key) => key.to_owned(),
        None => String::from_utf8_lossy(&read(&dir.join(PUBLIC_KEY))?).into_owned(),
    };
    let invalid = |source| Error::Signature { path: path.clone(), source };
    let signature = String::from_utf8_lossy(&read(&dir.join(SIGNATURE))?).into_owned();
    let signature = SignatureBox::from_string(&signature).map_err(invalid)?;
    let key =
        minisign::PublicKeyBox::from_string(&key).and_then(|key| key.into_public_key()).map_err(invalid)?;
    minisign::verify(&key, &signature, Cursor::new(&text), true, false, false).map_err(invalid)?;
    let release: Release =
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path: path.clone(), source })?;
    if release.format == 1 { Ok(release) } else { Err(Error::Format(release.format)) }
}

/// A new key pair at `path`, unless there is one: for builds that nobody else is to trust.
///
/// # Errors
/// It cannot be made or kept.
pub fn ensure_key(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let fail = |source| Error::Key { path: path.to_owned(), source };
    let pair = KeyPair::generate_unencrypted_keypair().map_err(fail)?;
    let text = pair.sk.to_box(Some("ashlar development key")).map_err(fail)?.to_string();
    let write = |source| Error::Write { path: path.to_owned(), source };
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(write)?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(write)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(write)
}

/// Writes the public half of the key at `key`.
///
/// # Errors
/// The key cannot be used, or the file cannot be written.
pub fn write_public_key(key: &Path, to: &Path) -> Result<(), Error> {
    let bad_key = |source| Error::Key { path: key.to_owned(), source };
    let public = PublicKey::from_secret_key(&load_key(key)?).map_err(bad_key)?;
    let text = public.to_box().map_err(bad_key)?.to_string();
    fs::create_dir_all(to.parent().unwrap_or(to))
        .map_err(|source| Error::Write { path: to.to_owned(), source })?;
    write(to, text.as_bytes())
}

/// Seed and public half of the key at `path`: minisign's keys are Ed25519 keys.
pub(crate) fn key_bytes(path: &Path) -> Result<([u8; 32], [u8; 32]), Error> {
    // Two-letter algorithms (three), salt (32), two limits (8 each), key number (8); then seed and public half.
    const SEED: usize = 62;
    let bytes = load_key(path)?.to_bytes();
    let (mut seed, mut public) = ([0; 32], [0; 32]);
    seed.copy_from_slice(&bytes[SEED..SEED + 32]);
    public.copy_from_slice(&bytes[SEED + 32..SEED + 64]);
    Ok((seed, public))
}

fn load_key(path: &Path) -> Result<SecretKey, Error> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let key = SecretKeyBox::from_string(&text).and_then(|key| key.into_unencrypted_secret_key());
    key.map_err(|source| Error::Key { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(dir: &Path) -> Release {
        fs::write(dir.join(MEDIUM), "iso").expect("write");
        Release {
            format: 1,
            version: "1.2.3".into(),
            kubernetes_version: "1.35.8".into(),
            ostree_commit: "c".into(),
            images: Vec::new(),
            files: describe(dir, &[MEDIUM.to_owned()]).expect("described"),
            packages: BTreeMap::new(),
        }
    }

    #[test]
    fn a_signed_release_verifies_until_something_changes() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let key = dir.path().join("keys/release.key");
        ensure_key(&key).expect("a key");
        sign(dir.path(), &release(dir.path()), &key).expect("signed");
        assert_eq!(verify(dir.path(), None).expect("untouched").version, "1.2.3");

        fs::write(dir.path().join(MEDIUM), "changed").expect("write");
        assert!(matches!(verify(dir.path(), None), Err(Error::Changed { .. })));
        let manifest = fs::read_to_string(dir.path().join(MANIFEST)).expect("read");
        fs::write(dir.path().join(MANIFEST), manifest.replace("1.2.3", "1.2.4")).expect("write");
        assert!(matches!(verify(dir.path(), None), Err(Error::Signature { .. })));
    }

    #[test]
    fn another_key_is_not_trusted() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (key, other) = (dir.path().join("key"), dir.path().join("other"));
        ensure_key(&key).and_then(|()| ensure_key(&other)).expect("keys");
        sign(dir.path(), &release(dir.path()), &other).expect("signed");
        let trusted = fs::read_to_string(dir.path().join(PUBLIC_KEY)).expect("read");
        sign(dir.path(), &release(dir.path()), &key).expect("signed");
        assert!(matches!(read_signed(dir.path(), Some(&trusted)), Err(Error::Signature { .. })));
    }
}
