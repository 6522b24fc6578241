//! What happens to every request before and after its handler: faults, login, headers, error bodies.

use super::config::VirtualBmc;
use super::faults::Fate;
use super::message::{Message, not_found, refuse};
use super::reply::insert;
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// Marks an answer that must never be sent; the listener closes the connection instead.
#[derive(Clone)]
pub(super) struct DropConnection;

const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");
const PUBLIC: &[&str] = &["/redfish", "/redfish/v1", "/redfish/v1/odata", "/redfish/v1/$metadata"];
const LOGIN: &[&str] =
    &["/redfish/v1/SessionService/Sessions", "/redfish/v1/SessionService/Sessions/Members"];

pub(super) async fn guard(State(bmc): State<Arc<VirtualBmc>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match bmc.fate() {
        Fate::Normal => admit(&bmc, request, next).await,
        Fate::Slow(delay) => {
            tokio::time::sleep(delay).await;
            admit(&bmc, request, next).await
        }
        Fate::Unavailable => unavailable(),
        Fate::WrongAnswer => {
            (StatusCode::OK, axum::response::Html("<html>Please wait</html>")).into_response()
        }
        Fate::Drop => {
            let mut response = StatusCode::OK.into_response();
            response.extensions_mut().insert(DropConnection);
            response
        }
    };
    if method == Method::POST && bmc.strikes(|faults| &mut faults.lost_answers) {
        response.extensions_mut().insert(DropConnection);
        return response;
    }
    if !response.headers().contains_key(CONTENT_TYPE) && response.status().is_client_error() {
        response = explain(response, &method, &path);
    }
    insert(&mut response, ODATA_VERSION, "4.0");
    insert(&mut response, CACHE_CONTROL, "no-cache");
    response
}

pub(super) fn unavailable() -> Response {
    let message = Message::new(
        "ServiceTemporarilyUnavailable",
        "The service is temporarily unavailable. Retry in 0 seconds.".into(),
        &["0"],
        "Wait for the indicated retry duration and retry the operation.",
    );
    let mut response = message.with(StatusCode::SERVICE_UNAVAILABLE);
    insert(&mut response, RETRY_AFTER, "0");
    response
}

async fn admit(bmc: &VirtualBmc, request: Request, next: Next) -> Response {
    if request.headers().get(ODATA_VERSION).is_some_and(|version| version != "4.0") {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let path = request.uri().path();
    let is_login = request.method() == Method::POST && LOGIN.contains(&path);
    let is_public = matches!(*request.method(), Method::GET | Method::HEAD) && PUBLIC.contains(&path);
    if !is_login && !is_public && !is_authentic(bmc, request.headers()) {
        return unauthorized();
    }
    next.run(request).await
}

fn is_authentic(bmc: &VirtualBmc, headers: &HeaderMap) -> bool {
    if let Some(token) = headers.get("x-auth-token") {
        return token.to_str().is_ok_and(|token| bmc.sessions.accepts(token));
    }
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let decoded = basic.and_then(|encoded| STANDARD.decode(encoded).ok());
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.split_once(':'))
        .is_some_and(|(user, password)| bmc.accepts(user, password))
}

pub(super) fn unauthorized() -> Response {
    let message = Message::new(
        "ResourceAtUriUnauthorized",
        "There is no valid session established and the credentials given are not accepted.".into(),
        &[],
        "Ensure that the appropriate access is provided and resubmit the request.",
    );
    let mut response = message.with(StatusCode::UNAUTHORIZED);
    insert(&mut response, WWW_AUTHENTICATE, "Basic realm=\"Redfish\"");
    response
}

/// The router's own refusals have no body.
fn explain(response: Response, method: &Method, path: &str) -> Response {
    let headers = response.headers();
    let allow = headers.get(ALLOW).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut explained = match response.status() {
        StatusCode::NOT_FOUND => not_found(path),
        StatusCode::METHOD_NOT_ALLOWED => refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            &[Message::new(
                "OperationNotAllowed",
                format!("The HTTP method {method} is not allowed on this resource."),
                &[],
                "None.",
            )],
        ),
        status => refuse(status, &[super::message::general(status.to_string())]),
    };
    if let Some(allow) = allow {
        insert(&mut explained, ALLOW, &allow);
    }
    if *method == Method::HEAD {
        explained.headers_mut().remove(CONTENT_LENGTH);
    }
    explained
}
