//! Resources: what a `source` names, how it is fetched, checked and unpacked.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use thiserror::Error;
use url::Url;

use crate::spec::{Resource, Verification};

/// A configuration's own files are at most this large when unpacked.
const LARGEST: u64 = 512 << 20;

/// One resource that must be fetched over the network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub url: String,
    /// In order; names may repeat.
    pub headers: Vec<(String, String)>,
    /// Trusted in addition to what the caller trusts.
    pub authorities: Vec<Authority>,
    pub timeouts: Timeouts,
    /// True for configurations, false for contents of files and for certificates.
    pub is_config: bool,
}

/// PEM certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority(pub Vec<u8>);

/// Seconds; a total of 0 means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timeouts {
    pub response_headers: u64,
    pub total: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { response_headers: 10, total: 0 }
    }
}

/// What the caller has fetched so far.
pub type Fetched = BTreeMap<Request, Vec<u8>>;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ResourceError {
    #[error("the data URL is malformed: {0}")]
    DataUrl(&'static str),
    #[error("the hash is malformed: `{0}` is not sha256-<64 hex digits> or sha512-<128 hex digits>")]
    HashForm(String),
    #[error("the contents have the hash {found}, not {wanted}")]
    Hash { wanted: String, found: String },
    #[error("compression `{0}` is unknown; only gzip is")]
    Compression(String),
    #[error("the contents are not valid gzip: {0}")]
    Gzip(String),
    #[error("the contents are larger than {} MiB", LARGEST >> 20)]
    TooLarge,
}

/// `data:;base64,…` of these bytes.
pub fn data_url(bytes: &[u8]) -> String {
    format!("data:;base64,{}", STANDARD.encode(bytes))
}

/// The bytes of a data URL (RFC 2397).
pub(crate) fn read_data_url(source: &str) -> Result<Vec<u8>, ResourceError> {
    let rest = source.get(5..).filter(|_| source[..5].eq_ignore_ascii_case("data:"));
    let rest = rest.ok_or(ResourceError::DataUrl("it does not begin with data:"))?;
    let (media, data) = rest.split_once(',').ok_or(ResourceError::DataUrl("it has no comma"))?;
    let bytes = percent_decoded(data)?;
    if !media.rsplit(';').next().is_some_and(|last| last.eq_ignore_ascii_case("base64")) {
        return Ok(bytes);
    }
    let text: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD
        .decode(&text)
        .or_else(|_| STANDARD_NO_PAD.decode(&text))
        .map_err(|_| ResourceError::DataUrl("its data is not base64"))
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, ResourceError> {
    const WRONG: ResourceError = ResourceError::DataUrl("a % is not followed by two hex digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).ok_or(WRONG)?;
            bytes.extend(hex::decode(digits).map_err(|_| WRONG)?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Ok(bytes)
}

pub(crate) fn is_data_url(source: &str) -> bool {
    source.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// The hash is that of the fetched bytes, before they are unpacked.
pub(crate) fn check_and_unpack(resource: &Resource, bytes: &[u8]) -> Result<Vec<u8>, ResourceError> {
    if let Some(wanted) = hash_of(resource.verification.as_ref()) {
        let wanted = parse_hash(wanted)?;
        let found = match &wanted {
            Hash::Sha256(_) => Hash::Sha256(hex::encode(Sha256::digest(bytes))),
            Hash::Sha512(_) => Hash::Sha512(hex::encode(Sha512::digest(bytes))),
        };
        if wanted != found {
            return Err(ResourceError::Hash { wanted: wanted.text(), found: found.text() });
        }
    }
    match resource.compression.as_deref() {
        None | Some("") => Ok(bytes.to_vec()),
        Some("gzip") => gunzip(bytes),
        Some(other) => Err(ResourceError::Compression(other.to_owned())),
    }
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, ResourceError> {
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(LARGEST + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| ResourceError::Gzip(error.to_string()))?;
    if unpacked.len() as u64 > LARGEST {
        return Err(ResourceError::TooLarge);
    }
    Ok(unpacked)
}

pub(crate) fn hash_of(verification: Option<&Verification>) -> Option<&str> {
    verification?.hash.as_deref().filter(|hash| !hash.is_empty())
}

#[derive(PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256(String),
    Sha512(String),
}

impl Hash {
    fn text(&self) -> String {
        match self {
            Hash::Sha256(digits) => format!("sha256-{digits}"),
            Hash::Sha512(digits) => format!("sha512-{digits}"),
        }
    }
}

pub(crate) fn parse_hash(text: &str) -> Result<Hash, ResourceError> {
    let wrong = || ResourceError::HashForm(text.to_owned());
    let (function, digits) = text.split_once('-').ok_or_else(wrong)?;
    let digits = digits.to_ascii_lowercase();
    let bytes = hex::decode(&digits).map_err(|_| wrong())?;
    match (function, bytes.len()) {
        ("sha256", 32) => Ok(Hash::Sha256(digits)),
        ("sha512", 64) => Ok(Hash::Sha512(digits)),
        _ => Err(wrong()),
    }
}

/// A URL as it may be shown: without user, password, query and data.
pub(crate) fn shown(source: &str) -> String {
    if is_data_url(source) {
        return "data:…".to_owned();
    }
    match Url::parse(source) {
        Ok(mut url) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        Err(_) => "a malformed URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn data_urls_are_read_plain_escaped_and_base64() {
        let cases: &[(&str, &[u8])] = &[
            ("data:,hello%20world%0A", b"hello world\n"),
            ("data:text/plain;charset=utf-8,a,b", b"a,b"),
            ("data:;base64,aGk=", b"hi"),
            ("data:text/plain;base64,aGk", b"hi"),
            ("DATA:,", b""),
        ];
        for (source, want) in cases {
            assert_eq!(read_data_url(source).expect(source), *want);
        }
        for source in ["data:nothing", "data:,%2", "data:,%zz", "data:;base64,*", "http://a"] {
            assert!(read_data_url(source).is_err(), "{source}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_packed_bytes() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"text").expect("memory");
        let packed = packer.finish().expect("memory");
        let mut resource = Resource {
            compression: Some("gzip".into()),
            verification: Some(Verification { hash: Some(format!("sha256-{:x}", Sha256::digest(&packed))) }),
            ..Resource::default()
        };
        assert_eq!(check_and_unpack(&resource, &packed).expect("valid"), b"text");
        resource.verification =
            Some(Verification { hash: Some(format!("sha512-{:x}", Sha512::digest(b"text"))) });
        assert!(matches!(check_and_unpack(&resource, &packed), Err(ResourceError::Hash { .. })));
    }

    #[test]
    fn what_is_shown_of_a_url_holds_no_secret() {
        assert_eq!(shown("https://u:p@host/path?token=1"), "https://host/path");
        assert_eq!(shown("data:,secret"), "data:…");
    }
}
