//! Resources: what a `source` names, how it is fetched, checked and unpacked.

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use thiserror::Error;
use url::Url;

use crate::data_url::{is_data_url, read_data_url};
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
    pub proxies: Proxies,
    /// True for configurations, false for contents of files and for certificates.
    pub is_config: bool,
}

/// Through what requests go; a host in `none` is reached directly.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxies {
    pub http: Option<String>,
    pub https: Option<String>,
    pub none: Vec<String>,
}

/// What a configuration says about fetching, its certificates resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub authorities: Vec<Authority>,
    pub timeouts: Timeouts,
    pub proxies: Proxies,
}

impl Settings {
    /// The request for a resource whose source is a URL that must be fetched.
    pub(crate) fn request(&self, resource: &Resource, source: &str, is_config: bool) -> Request {
        let headers = resource.http_headers.iter().flatten();
        let headers = headers.filter_map(|header| Some((header.name.clone(), header.value.clone()?)));
        Request {
            url: source.to_owned(),
            headers: headers.collect(),
            authorities: self.authorities.clone(),
            timeouts: self.timeouts,
            proxies: self.proxies.clone(),
            is_config,
        }
    }
}

/// Where bytes come from: a data URL, already checked and unpacked, or the network.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    Bytes(Vec<u8>),
    Remote { request: Box<Request>, wanted: Wanted },
}

/// How fetched bytes are checked and unpacked on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub hash: Option<Hash>,
    pub gzip: bool,
}

impl Source {
    /// # Errors
    /// A data URL, hash or compression that is wrong.
    pub(crate) fn of(resource: &Resource, settings: &Settings) -> Result<Self, ResourceError> {
        let Some(source) = resource.source.as_deref().filter(|source| !source.is_empty()) else {
            return Ok(Source::Bytes(Vec::new()));
        };
        if is_data_url(source) {
            return Ok(Source::Bytes(check_and_unpack(resource, &read_data_url(source)?)?));
        }
        let hash = hash_of(resource.verification.as_ref()).map(parse_hash).transpose()?;
        let gzip = is_gzip(resource)?;
        Ok(Source::Remote {
            request: Box::new(settings.request(resource, source, false)),
            wanted: Wanted { hash, gzip },
        })
    }
}

fn is_gzip(resource: &Resource) -> Result<bool, ResourceError> {
    match resource.compression.as_deref() {
        None | Some("") => Ok(false),
        Some("gzip") => Ok(true),
        Some(other) => Err(ResourceError::Compression(other.to_owned())),
    }
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

/// "If `compression` is specified, the hash describes the decompressed" contents.
pub(crate) fn check_and_unpack(resource: &Resource, bytes: &[u8]) -> Result<Vec<u8>, ResourceError> {
    let bytes = if is_gzip(resource)? { gunzip(bytes)? } else { bytes.to_vec() };
    if let Some(wanted) = hash_of(resource.verification.as_ref()) {
        let wanted = parse_hash(wanted)?;
        let found = match &wanted {
            Hash::Sha256(_) => Hash::Sha256(hex::encode(Sha256::digest(&bytes))),
            Hash::Sha512(_) => Hash::Sha512(hex::encode(Sha512::digest(&bytes))),
        };
        if wanted != found {
            return Err(ResourceError::Hash { wanted: wanted.text(), found: found.text() });
        }
    }
    Ok(bytes)
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

/// The digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash {
    Sha256(String),
    Sha512(String),
}

impl Hash {
    pub fn text(&self) -> String {
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
    fn the_hash_is_that_of_the_unpacked_bytes() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"text").expect("memory");
        let packed = packer.finish().expect("memory");
        let mut resource = Resource {
            compression: Some("gzip".into()),
            verification: Some(Verification { hash: Some(format!("sha256-{:x}", Sha256::digest(b"text"))) }),
            ..Resource::default()
        };
        assert_eq!(check_and_unpack(&resource, &packed).expect("valid"), b"text");
        resource.verification =
            Some(Verification { hash: Some(format!("sha512-{:x}", Sha512::digest(&packed))) });
        assert!(matches!(check_and_unpack(&resource, &packed), Err(ResourceError::Hash { .. })));
    }

    #[test]
    fn what_is_shown_of_a_url_holds_no_secret() {
        assert_eq!(shown("https://u:p@host/path?token=1"), "https://host/path");
        assert_eq!(shown("data:,secret"), "data:…");
    }
}
