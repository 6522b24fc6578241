//! Where the system of another release comes from, and the proof that it is one.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use ashlar_host::ostree::Credential;
use ashlar_model::keys::KeyPair;
use ashlar_model::node::{IDENTITY_CERTIFICATE, IDENTITY_KEY};
use ashlar_model::release::Release;
use minisign_verify::{PublicKey, Signature};

/// In the system: the key whose releases this machine takes.
const KEY: &str = "/usr/share/ashlar/release.pub";
const MANIFEST: &str = "release.json";
const SIGNATURE: &str = "release.json.minisig";
const REPOSITORY: &str = "ostree";
/// A manifest is a few hundred kilobytes.
const LARGEST: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Without a slash at its end.
    Url(String),
    Directory(PathBuf),
    /// The same as a URL, of the own cluster's masters.
    Cluster(String),
}

/// What a node has from its enrolment.
pub const CREDENTIAL: Credential<'static> =
    Credential { authority: AUTHORITY, certificate: IDENTITY_CERTIFICATE, key: IDENTITY_KEY };
/// Whom the node trusts as configuration server; written from its node file.
pub const AUTHORITY: &str = "/var/lib/ashlar/node/configuration-server-ca.crt";
const TIMEOUT: Duration = Duration::from_secs(60);

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.trim_end_matches('/').to_owned()));
        }
        match std::fs::canonicalize(text) {
            Ok(path) => Ok(Self::Directory(path)),
            Err(error) => Err(format!("{text} is neither a URL nor a directory: {error}")),
        }
    }
}

impl Source {
    /// What the release says of itself, signed by the key that this machine's own release has.
    pub fn release(&self) -> anyhow::Result<Release> {
        let key = std::fs::read_to_string(KEY).with_context(|| format!("reading {KEY}"))?;
        let (manifest, signature) = (self.read(MANIFEST)?, self.read(SIGNATURE)?);
        verified(&key, &manifest, &signature).with_context(|| format!("the release at {self} is not taken"))
    }

    /// The URL of its OSTree repository.
    pub fn repository(&self) -> String {
        match self {
            Self::Url(url) | Self::Cluster(url) => format!("{url}/{REPOSITORY}"),
            Self::Directory(path) => format!("file://{}", path.join(REPOSITORY).display()),
        }
    }

    /// What is shown to the repository, and whom it must be.
    pub fn credential(&self) -> Option<Credential<'static>> {
        matches!(self, Self::Cluster(_)).then_some(CREDENTIAL)
    }

    fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Url(url) => fetch(&reqwest::Client::new(), &format!("{url}/{name}")),
            Self::Cluster(url) => fetch(&cluster_client()?, &format!("{url}/{name}")),
            Self::Directory(path) => read(&path.join(name)),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) | Self::Cluster(url) => f.write_str(url),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

fn verified(key: &str, manifest: &[u8], signature: &[u8]) -> anyhow::Result<Release> {
    let key = PublicKey::decode(key).with_context(|| format!("{KEY} is no minisign key"))?;
    let signature = std::str::from_utf8(signature).context("its signature is no text")?;
    let signature = Signature::decode(signature).context("its signature is no minisign signature")?;
    key.verify(manifest, &signature, false)
        .context("it is not signed by the key of this machine's release")?;
    serde_json::from_slice(manifest).context("understanding its manifest")
}

fn cluster_client() -> anyhow::Result<reqwest::Client> {
    let text =
        |path: &str| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&read(Path::new(path))?).into_owned());
    let identity =
        KeyPair { certificate_pem: text(CREDENTIAL.certificate)?, private_key_pem: text(CREDENTIAL.key)? };
    Ok(ashlar_pki::tls::http_client(&text(CREDENTIAL.authority)?, Some(&identity), TIMEOUT)?)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[tokio::main(flavor = "current_thread")]
async fn fetch(client: &reqwest::Client, url: &str) -> anyhow::Result<Vec<u8>> {
    let context = || format!("fetching {url}");
    let mut answer =
        client.get(url).send().await.and_then(reqwest::Response::error_for_status).with_context(context)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.with_context(context)? {
        bytes.extend_from_slice(&chunk);
        anyhow::ensure!(bytes.len() as u64 <= LARGEST, "{url} is larger than a release's manifest can be");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_url_or_a_directory_that_exists() {
        assert_eq!("http://a:1/r/".parse(), Ok(Source::Url("http://a:1/r".into())));
        assert_eq!("/usr/..".parse(), Ok(Source::Directory("/".into())));
        assert!("/nowhere".parse::<Source>().is_err());
        assert_eq!(Source::Directory("/m".into()).repository(), "file:///m/ostree");
    }

    #[test]
    fn what_another_key_signed_is_not_taken() {
        // The key and the signature that minisign's documentation shows.
        let key = "untrusted comment: k\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let signature = b"untrusted comment: signature from minisign secret key\n\
            RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
            trusted comment: timestamp:1556193335\tfile:test\n\
            y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";
        let error = verified(key, b"{}", signature).expect_err("another text");
        assert!(format!("{error:#}").contains("not signed by the key"), "{error:#}");
    }
}
