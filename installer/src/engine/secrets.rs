//! Encryption of what the journal keeps secret: an age identity in a file (0600) outside the install directory, so
//! that a copy of that directory gives nothing away.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the key file {} of this install is missing: the journal cannot be read without it", path.display())]
    Missing { path: PathBuf },
    #[error("the key file {} is not an age identity: {found}", path.display())]
    NotAKey { path: PathBuf, found: &'static str },
    #[error("the key file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("encrypting")]
    Encrypt(#[source] age::EncryptError),
    #[error("decrypting: it was encrypted with another key, or changed")]
    Decrypt(#[source] age::DecryptError),
}

pub struct Secrets {
    identity: Identity,
    path: PathBuf,
}

/// `$ASHLAR_KEYS` or `~/.config/ashlar/keys`.
pub fn default_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("ASHLAR_KEYS") {
        return PathBuf::from(folder);
    }
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    config.unwrap_or_else(|| home.join(".config")).join("ashlar/keys")
}

impl Secrets {
    /// # Errors
    /// The file cannot be written.
    pub fn create(folder: &Path, cluster: &str, id: &str) -> Result<Self, Error> {
        let path = file(folder, cluster, id);
        let failed = |source| Error::File { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let identity = Identity::generate();
        let mut open = fs::OpenOptions::new();
        let mut out = open.write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
        out.write_all(identity.to_string().expose_secret().as_bytes()).map_err(failed)?;
        out.sync_all().map_err(failed)?;
        Ok(Self { identity, path })
    }

    /// # Errors
    /// The file is missing or holds no key.
    pub fn load(folder: &Path, cluster: &str, id: &str) -> Result<Self, Error> {
        let path = file(folder, cluster, id);
        match fs::read_to_string(&path) {
            Ok(text) => match Identity::from_str(text.trim()) {
                Ok(identity) => Ok(Self { identity, path }),
                Err(found) => Err(Error::NotAKey { path, found }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing { path }),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        age::encrypt(&self.identity.to_public(), plain).map_err(Error::Encrypt)
    }

    pub fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        age::decrypt(&self.identity, sealed).map_err(Error::Decrypt)
    }
}

fn file(folder: &Path, cluster: &str, id: &str) -> PathBuf {
    folder.join(format!("{cluster}-{id}.key"))
}
