//! Resources: what a `source` names, how it is fetched, checked and unpacked.

use std::collections::BTreeMap;
use std::io::Read;

use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
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

/// `data:;base64,…` of these bytes.
pub fn data_url(bytes: &[u8]) -> String {
    format!("data:;base64,{}", BASE64.encode(bytes))
}

/// The bytes of a data URL (RFC 2397).
pub(crate) fn read_data_url(source: &str) -> Result<Vec<u8>, ResourceError> {
    let rest = source.strip_prefix("data:").ok_or(ResourceError::DataUrl("it does not begin with data:"))?;
    let (is_base64, data) = after_media_type(rest)?;
    if !is_base64 {
        return percent_decoded(data);
    }
    if data.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !b"+/=\n".contains(&byte)) {
        return Err(ResourceError::DataUrl("its data has characters that base64 has not"));
    }
    let compact;
    let text = if data.contains('\n') {
        compact = data.replace('\n', "");
        &compact
    } else {
        data
    };
    BASE64.decode(text).map_err(|_| ResourceError::DataUrl("its data is not base64"))
}

/// Padding is required; bits that nothing uses may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

const fn token(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
}

/// Reads `type/subtype;name=value;base64,`: whether the data is base64, and the data.
fn after_media_type(text: &str) -> Result<(bool, &str), ResourceError> {
    const MEDIA: ResourceError = ResourceError::DataUrl("its media type is malformed");
    const COMMA: ResourceError = ResourceError::DataUrl("it has no comma");
    let word = |text: &str| text.bytes().take_while(|byte| token(*byte)).count();
    let mut rest = text;
    if !rest.starts_with([';', ',']) {
        let (kind, after) = rest.split_at(word(rest));
        let known = ["text", "image", "audio", "video", "application", "message", "multipart", "x-", "X-"];
        if !known.iter().any(|known| kind.starts_with(known)) {
            return Err(if after.is_empty() { COMMA } else { MEDIA });
        }
        let after = after.strip_prefix('/').ok_or(MEDIA)?;
        rest = &after[word(after)..];
    }
    loop {
        if let Some(data) = rest.strip_prefix(',') {
            return Ok((false, data));
        }
        let parameter = rest.strip_prefix(';').ok_or(if rest.is_empty() { COMMA } else { MEDIA })?;
        let (name, after) = parameter.split_at(word(parameter));
        if name.is_empty() {
            return Err(MEDIA);
        }
        if let Some(data) = after.strip_prefix(',') {
            return if name == "base64" { Ok((true, data)) } else { Err(MEDIA) };
        }
        rest = after_value(after.strip_prefix('=').ok_or(MEDIA)?).ok_or(MEDIA)?;
    }
}

/// What follows a parameter's value: a token or a quoted text.
fn after_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text.bytes().take_while(|byte| token(*byte)).count();
        return (length > 0).then(|| &text[length..]);
    };
    let mut bytes = quoted.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(&quoted[at + 1..]),
            b'\\' => drop(bytes.next()),
            byte if byte.is_ascii() => {}
            _ => return None,
        }
    }
    None
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
        } else if first.is_ascii_graphic() && !b"<>#\"{}|\\^[]`".contains(first) {
            bytes.push(*first);
            rest = tail;
        } else {
            return Err(ResourceError::DataUrl(
                "it has characters that must be written as % and two hex digits",
            ));
        }
    }
    Ok(bytes)
}

pub(crate) fn is_data_url(source: &str) -> bool {
    source.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
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
    fn data_urls_are_read_plain_escaped_and_base64() {
        let cases: &[(&str, &[u8])] = &[
            ("data:,hello%20world%0A", b"hello world\n"),
            ("data:text/plain;charset=utf-8,a,b", b"a,b"),
            ("data:;base64,aGk=", b"hi"),
            ("data:text/plain;charset=\"utf-8\";base64,aG\nk=", b"hi"),
            ("data:,", b""),
        ];
        for (source, want) in cases {
            assert_eq!(read_data_url(source).expect(source), *want);
        }
        for source in [
            "data:nothing",
            "data:,%2",
            "data:,%zz",
            "data:;base64,*",
            "http://a",
            "data:;base64,aGk",
            "data:, ",
            "data:what,a",
            "data:;base64;a=b,",
        ] {
            assert!(read_data_url(source).is_err(), "{source}");
        }
    }

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
