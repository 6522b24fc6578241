//! Rules of URLs.

use url::Url;

use crate::data_url::{is_data_url, read_data_url};
use crate::version::Version;

/// # Errors
/// What the URL must be.
pub(super) fn check(source: &str, version: Version) -> Result<(), String> {
    if source.chars().any(char::is_control) {
        return Err("must be a URL without control characters".to_owned());
    }
    if is_data_url(source) {
        return read_data_url(source).map(drop).map_err(|error| error.to_string());
    }
    let scheme = source.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    match Version::of_scheme(&scheme) {
        Some(first) if first <= version => {}
        Some(first) => return Err(format!("has the scheme {scheme}, which is known from spec {first} on")),
        None => {
            return Err("must have one of the schemes data, http, https, tftp, s3, gs and arn".to_owned());
        }
    }
    if !escapes_are_whole(source.split('?').next().unwrap_or(source)) {
        return Err("must have two hex digits after each %".to_owned());
    }
    let url = Url::parse(source).map_err(|error| format!("must be a URL ({error})"))?;
    match scheme.as_str() {
        "s3" => version_id(&url),
        "arn" => arn(&url),
        _ => Ok(()),
    }
}

/// The scheme in lower case, when the text is a URL.
pub(super) fn scheme(source: &str) -> Option<String> {
    Url::parse(source).ok().map(|url| url.scheme().to_owned())
}

fn escapes_are_whole(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

fn version_id(url: &Url) -> Result<(), String> {
    match url.query_pairs().find(|(name, _)| name == "versionId") {
        Some((_, value)) if value.is_empty() => Err("must have a versionId that is not empty".to_owned()),
        _ => Ok(()),
    }
}

/// `arn:partition:s3:region:account:bucket/object` or `…:accesspoint/name/object`.
fn arn(url: &Url) -> Result<(), String> {
    let parts: Vec<&str> = url.path().splitn(5, ':').collect();
    let [_, "s3", _, _, resource] = parts[..] else {
        return Err("must be the ARN of an S3 object: arn:aws:s3:::bucket/object".to_owned());
    };
    let wanted = if resource.starts_with("accesspoint/") { 3 } else { 2 };
    if resource.split('/').count() < wanted {
        return Err("must name an object after the bucket or access point".to_owned());
    }
    version_id(url)
}
