//! Before a BMC says that a medium is inserted it has read from it: so does this one.

use super::message::{Message, general};
use crate::client::Trust;
use crate::client::trust::client_config;
use reqwest::header::RANGE;
use reqwest::{Client, redirect};
use std::time::Duration;
use url::Url;

/// Proves that the image can be read. The error is for the client.
pub(super) async fn check(url: &Url, trust: Trust, limit: Duration) -> Result<(), Message> {
    let (tls, _) = client_config(&trust, url.as_str()).map_err(|error| general(error.to_string()))?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .http1_only()
        .redirect(redirect::Policy::none())
        .timeout(limit)
        .build()
        .map_err(|error| general(error.to_string()))?;
    let head = client.head(url.clone()).send().await.map_err(|error| unreachable(url, &error))?;
    if head.status().is_success() {
        return Ok(());
    }
    // Not every file server knows HEAD.
    let first = client.get(url.clone()).header(RANGE, "bytes=0-0").send().await;
    let first = first.map_err(|error| unreachable(url, &error))?;
    if first.status().is_success() { Ok(()) } else { Err(refused(url, first.status().as_u16())) }
}

/// The URL of an image, or what is wrong with it.
pub(super) fn parse(text: &str, only_https: bool) -> Result<Url, Message> {
    let url = Url::parse(text).map_err(|error| malformed(text, &error.to_string()))?;
    let schemes: &[&str] = if only_https { &["https"] } else { &["http", "https"] };
    if !schemes.contains(&url.scheme()) {
        return Err(malformed(text, &format!("only {} can be used", schemes.join(" and "))));
    }
    if text.contains(['?', '&', '#']) {
        return Err(malformed(text, "it must be a plain path without a query"));
    }
    if image_name(&url).is_empty() {
        return Err(malformed(text, "it names no file"));
    }
    Ok(url)
}

pub(super) fn image_name(url: &Url) -> String {
    url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default().to_owned()
}

fn malformed(text: &str, cause: &str) -> Message {
    Message::new(
        "ActionParameterValueFormatError",
        format!(
            "The value '{text}' for the parameter Image in the action InsertMedia cannot be used: {cause}."
        ),
        &[text, "Image", "InsertMedia"],
        "Correct the URL and resubmit the request.",
    )
    .about("Image")
}

fn unreachable(url: &Url, error: &reqwest::Error) -> Message {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Message::new(
        "CouldNotEstablishConnection",
        format!("The service failed to establish a connection with the URI '{url}': {cause}."),
        &[url.as_str()],
        "Ensure that the URI contains a valid and reachable node name, protocol information and other components.",
    )
    .about("Image")
}

fn refused(url: &Url, status: u16) -> Message {
    Message::new(
        "ResourceMissingAtURI",
        format!("The resource at the URI '{url}' was not found: the server answered {status}."),
        &[url.as_str()],
        "Place a valid resource at the URI or correct the URI and resubmit the request.",
    )
    .about("Image")
}
