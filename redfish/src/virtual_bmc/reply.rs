//! How resources are answered: ETag, Allow, schema link, conditional requests, and reading request bodies.

use super::message::{malformed, precondition};
use super::personality::EtagRule;
use axum::Json;
use axum::body::Bytes;
use axum::http::header::{ALLOW, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

pub(super) const READ: &str = "GET, HEAD";
pub(super) const READ_WRITE: &str = "GET, HEAD, PATCH";

/// 200 with the resource, or 304 when the client has it.
pub(super) fn resource(headers: &HeaderMap, body: Value, allow: &'static str) -> Response {
    let etag = etag_of(&body);
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = match known {
        Some(known) if known == "*" || known == etag => StatusCode::NOT_MODIFIED.into_response(),
        _ => Json(&body).into_response(),
    };
    insert(&mut response, ETAG, &etag);
    insert(&mut response, ALLOW, allow);
    if let Some(schema) = schema_of(&body) {
        insert(&mut response, LINK, &format!("<{schema}>; rel=describedby"));
    }
    response
}

pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

pub(super) fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub(super) fn collection(path: &str, kind: &str, members: Vec<String>) -> Value {
    let members: Vec<Value> = members.into_iter().map(|member| json!({"@odata.id": member})).collect();
    json!({
        "@odata.id": path,
        "@odata.type": format!("#{kind}Collection.{kind}Collection"),
        "Name": format!("{kind} collection"),
        "Members": members,
        "Members@odata.count": members.len(),
    })
}

pub(super) fn etag_of(body: &Value) -> String {
    let digest = hex::encode(Sha256::digest(body.to_string()));
    format!("\"{}\"", &digest[..16])
}

/// Whether a change of `current` may go on.
pub(super) fn check_etag(headers: &HeaderMap, current: &Value, rule: EtagRule) -> Result<(), Response> {
    let sent = headers.get(IF_MATCH).and_then(|value| value.to_str().ok());
    let matches = match (sent, rule) {
        (None, EtagRule::Required | EtagRule::OnlyWildcard) => {
            return Err(precondition(StatusCode::PRECONDITION_REQUIRED));
        }
        (None, _) => true,
        (Some("*"), rule) => rule != EtagRule::NoWildcard,
        (Some(_), EtagRule::OnlyWildcard) => false,
        (Some(etag), _) => etag == etag_of(current),
    };
    if matches { Ok(()) } else { Err(precondition(StatusCode::PRECONDITION_FAILED)) }
}

/// An object; no body counts as an empty one.
pub(super) fn read_object(body: &Bytes) -> Result<Map<String, Value>, Response> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(malformed()),
    }
}

fn schema_of(body: &Value) -> Option<String> {
    let kind = body.get("@odata.type")?.as_str()?.strip_prefix('#')?;
    let name = kind.rsplit_once('.')?.0;
    Some(format!("http://redfish.dmtf.org/schemas/v1/{name}.json"))
}
