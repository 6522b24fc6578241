//! One BMC's HTTP: a request with a login, a timeout and retries, and a reply read with tolerance.

use super::extended_info::Explanation;
use super::login::{Credentials, Login};
use super::retry::{Verdict, with_retries};
use super::trust::{Refused, client_config};
use super::{Endpoint, Error, Timeouts, Trust};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::{RwLock, Semaphore};
use url::Url;

/// BMCs are small computers; more requests at once make them drop some.
const REQUESTS_AT_ONCE: usize = 2;
/// Pause when the host is in a phase (POST) in which its BMC refuses changes.
const POST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    http: reqwest::Client,
    base: Url,
    pub(super) bmc: String,
    pub(super) credentials: Credentials,
    trust: Trust,
    refused: Refused,
    pub(super) login: RwLock<Login>,
    permits: Semaphore,
    pub(super) timeouts: Timeouts,
}

pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) if_match: Option<&'a str>,
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// An answer of any status; `body` is null when there was none or it was no JSON (then `text` has it).
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    text: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Reply {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, body: Value::Null, text: None, headers: HeaderMap::new() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
    }

    pub(super) fn location(&self) -> Option<&str> {
        self.header("location")
    }

    /// Seconds or an HTTP date.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?;
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        httpdate::parse_http_date(value).ok()?.duration_since(std::time::SystemTime::now()).ok()
    }

    fn explanation(&self) -> Explanation {
        self.text.as_deref().map_or_else(|| Explanation::of_body(&self.body), Explanation::of_text)
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Connection {
    pub(super) fn new(
        endpoint: &Endpoint,
        credentials: &Credentials,
        trust: Trust,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let bmc = endpoint.authority();
        let (tls, refused) = client_config(&trust, &bmc)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .http1_only()
            // Kept connections are dropped by many BMCs without notice.
            .pool_max_idle_per_host(0)
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.request)
            .redirect(redirect::Policy::custom(same_origin))
            .build()
            .map_err(|error| Error::BadAddress { address: endpoint.to_string(), cause: causes(&error) })?;
        Ok(Self {
            http,
            base: endpoint.base().clone(),
            bmc,
            credentials: credentials.clone(),
            trust,
            refused,
            login: RwLock::new(Login::Anonymous),
            permits: Semaphore::new(REQUESTS_AT_ONCE),
            timeouts,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Reply, Error> {
        let reply = self.send(&Request { method: Method::GET, path, body: None, if_match: None }).await?;
        Ok(reply)
    }

    /// The body of a resource.
    pub(super) async fn read(&self, path: &str) -> Result<Value, Error> {
        Ok(self.get(path).await?.body)
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        self.send(&Request { method: Method::POST, path, body: Some(body), if_match: None }).await
    }

    /// Sends with the current login; statuses from 400 on are errors.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Reply, Error> {
        with_retries(&self.timeouts, &request.to_string(), || self.attempt(request)).await
    }

    async fn attempt(&self, request: &Request<'_>) -> Result<Reply, Verdict> {
        let used = self.login.read().await.clone();
        let mut reply = self.exchange(request, &used).await.map_err(|error| judge_failure(request, error))?;
        if reply.status == 401 && matches!(used, Login::Session { .. }) {
            tracing::debug!(bmc = self.bmc, "the session has ended, logging in again");
            self.renew_login(&used).await.map_err(Verdict::Final)?;
            let renewed = self.login.read().await.clone();
            reply = self.exchange(request, &renewed).await.map_err(|error| judge_failure(request, error))?;
        }
        match reply.status {
            401 => Err(Verdict::Final(self.wrong_password())),
            _ if reply.is_success() => Ok(reply),
            _ => Err(judge_refusal(request, &reply, self.refusal(request, &reply))),
        }
    }

    /// One exchange without retries; any status is an `Ok`.
    pub(super) async fn exchange(&self, request: &Request<'_>, login: &Login) -> Result<Reply, Error> {
        let _permit =
            self.permits.acquire().await.map_err(|error| self.broken(request, error.to_string()))?;
        let mut builder = self
            .http
            .request(request.method.clone(), self.url(request.path)?)
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header("OData-Version", "4.0");
        builder = match login {
            Login::Anonymous => builder,
            Login::Session { token, .. } => {
                builder.header(HeaderName::from_static("x-auth-token"), secret_header(token.expose_secret()))
            }
            Login::Basic => {
                let password = self.credentials.password.expose_secret();
                builder.basic_auth(&self.credentials.user, Some(password))
            }
        };
        if let Some(etag) = request.if_match {
            builder = builder.header(header::IF_MATCH, etag);
        }
        if let Some(body) = request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await.map_err(|error| self.failure(request, &error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.map_err(|error| self.failure(request, &error))?;
        self.reply(request, status, headers, text)
    }

    fn reply(
        &self,
        request: &Request<'_>,
        status: u16,
        headers: HeaderMap,
        text: String,
    ) -> Result<Reply, Error> {
        if text.trim().is_empty() {
            return Ok(Reply { status, headers, body: Value::Null, text: None });
        }
        match serde_json::from_str(&text) {
            Ok(body) => Ok(Reply { status, headers, body, text: None }),
            Err(_) if status >= 300 => Ok(Reply { status, headers, body: Value::Null, text: Some(text) }),
            Err(error) => Err(Error::NotRedfish {
                bmc: self.bmc.clone(),
                request: request.to_string(),
                cause: error.to_string(),
            }),
        }
    }

    pub(super) fn refusal(&self, request: &Request<'_>, reply: &Reply) -> Error {
        Error::Refused {
            bmc: self.bmc.clone(),
            request: request.to_string(),
            status: reply.status,
            explanation: reply.explanation(),
        }
    }

    pub(super) fn wrong_password(&self) -> Error {
        Error::WrongPassword { bmc: self.bmc.clone(), user: self.credentials.user.clone() }
    }

    fn broken(&self, request: &Request<'_>, cause: String) -> Error {
        Error::Broken { bmc: self.bmc.clone(), request: request.to_string(), cause }
    }

    /// Links may be paths or whole URLs; either way they mean this BMC.
    fn url(&self, link: &str) -> Result<Url, Error> {
        let path = match Url::parse(link) {
            Ok(url) => url[url::Position::BeforePath..].to_owned(),
            Err(_) => link.to_owned(),
        };
        self.base.join(&path).map_err(|error| Error::NotRedfish {
            bmc: self.bmc.clone(),
            request: format!("link {link}"),
            cause: error.to_string(),
        })
    }

    fn failure(&self, request: &Request<'_>, error: &reqwest::Error) -> Error {
        let bmc = self.bmc.clone();
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(presented), Trust::Fingerprint(expected)) = (refused, &self.trust) {
            return Error::FingerprintMismatch { bmc, expected: *expected, presented };
        }
        if let Some(cause) = certificate_refusal(error) {
            return Error::CertificateRefused { bmc, cause };
        }
        if error.is_connect() {
            return Error::Unreachable { bmc, cause: causes(error) };
        }
        if error.is_timeout() {
            return Error::NoAnswer { bmc, request: request.to_string(), after: self.timeouts.request };
        }
        self.broken(request, causes(error))
    }
}

/// A request that changes something must not be repeated when it may have arrived.
fn judge_failure(request: &Request<'_>, error: Error) -> Verdict {
    let again = match &error {
        Error::Unreachable { .. } => true,
        error => error.may_pass() && request.method != Method::POST,
    };
    match again {
        true => Verdict::Again { error, reason: "no usable answer", after: None },
        false => Verdict::Final(error),
    }
}

fn judge_refusal(request: &Request<'_>, reply: &Reply, error: Error) -> Verdict {
    let explanation = reply.explanation();
    let has = |ids: &[&str]| ids.iter().any(|id| explanation.has_id(id));
    if has(&["UnableToModifyDuringSystemPOST", "InvalidOperationForSystemState"]) {
        return Verdict::Again { error, reason: "the host is in POST", after: Some(POST_PAUSE) };
    }
    let not_ready = matches!(reply.status, 429 | 502 | 503 | 504) || has(&["SYS518", "SYS446"]);
    if not_ready || (reply.status == 500 && request.method == Method::GET) {
        return Verdict::Again { error, reason: "the BMC is not ready", after: reply.retry_after() };
    }
    Verdict::Final(error)
}

fn same_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let first = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() < 4 && first.is_some_and(|first| first == attempt.url().origin()) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn secret_header(token: &str) -> HeaderValue {
    // A token that is no header text makes the BMC ask for a new login.
    let mut value = HeaderValue::from_str(token).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

fn certificate_refusal(error: &reqwest::Error) -> Option<String> {
    let mut next = below(error);
    while let Some(cause) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = cause.downcast_ref() {
            return Some(reason.to_string());
        }
        next = below(cause);
    }
    None
}

/// The cause of an error. An I/O error hides the error it wraps from `source`.
fn below<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The chain below an error, outermost first, without repetitions.
fn causes(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = vec![];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
