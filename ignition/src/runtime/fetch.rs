//! Fetching resources over HTTP(S): patient with the network and with servers that are not ready, final with
//! everything that waiting cannot cure.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::report::{Failure, chain};
use crate::resource::{Request, shown};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A wait that goes on for the same reason is told again this often.
const REMINDER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 10;
const SYSTEM_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Proof of who this host is, and the servers that may see it.
pub struct Identity {
    pub token: String,
    pub certificate_pem: String,
    pub private_key_pem: String,
}

pub struct Fetcher {
    /// Scheme, host and port of the configuration server: trusted by `server_ca_pem` alone, gets the identity.
    pub own_origins: BTreeSet<String>,
    pub server_ca_pem: String,
    pub identity: Option<Identity>,
    /// Certificates of other servers: those of the image.
    pub system_bundle: Vec<u8>,
    /// Where waiting is told.
    pub say: fn(&str),
}

/// Why one attempt failed.
enum Attempt {
    Again(String),
    Final { cause: String, remedy: &'static str },
}

impl Fetcher {
    /// For other servers than the configuration server: the certificates of `sysroot`, else of this system.
    pub fn system_bundle(sysroot: &Path) -> Vec<u8> {
        let places = [sysroot.join(SYSTEM_BUNDLE), Path::new("/").join(SYSTEM_BUNDLE)];
        places.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default()
    }

    /// Fetches until it succeeds, fails for good, or the configuration's own total time is over.
    ///
    /// # Errors
    /// A failure with the URL, the cause and the remedy.
    pub async fn fetch(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told: Option<(String, Instant)> = None;
        loop {
            let cause = match self.attempt(request).await {
                Ok(bytes) => return Ok(bytes),
                Err(Attempt::Final { cause, remedy }) => return Err(failure(request, cause, remedy)),
                Err(Attempt::Again(cause)) => cause,
            };
            let total = Duration::from_secs(request.timeouts.total);
            if !total.is_zero() && began.elapsed() >= total {
                let cause =
                    format!("no answer in {} s (ignition.timeouts.httpTotal): {cause}", total.as_secs());
                return Err(failure(
                    request,
                    cause,
                    "check the network and the server, then restart the host",
                ));
            }
            let is_new = told.as_ref().is_none_or(|(last, at)| *last != cause || at.elapsed() >= REMINDER);
            if is_new {
                let seconds = began.elapsed().as_secs();
                (self.say)(&format!("waiting for {} since {seconds} s: {cause}", shown(&request.url)));
                told = Some((cause, Instant::now()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Vec<u8>, Attempt> {
        let mut url = Url::parse(&request.url).map_err(|error| never(&error.to_string()))?;
        for redirects in 0..=MOST_REDIRECTS {
            let response = self.send(request, &url, redirects == 0).await?;
            let status = response.status();
            if status.is_redirection() {
                let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                url = target
                    .and_then(|target| url.join(target).ok())
                    .ok_or_else(|| never("a redirect to nowhere"))?;
                continue;
            }
            return self.body(response, status, &url).await;
        }
        Err(never("too many redirects"))
    }

    /// Headers of the configuration are dropped after a redirect.
    async fn send(&self, request: &Request, url: &Url, first: bool) -> Result<reqwest::Response, Attempt> {
        let own = self.own_origins.contains(&origin(url));
        let client = self.client(request, own)?;
        let mut message = client.get(url.clone());
        if request.is_config {
            message = message.header(ACCEPT, crate::ACCEPT);
        }
        if let Some(identity) = self.identity.as_ref().filter(|_| own && url.scheme() == "https") {
            let mut value = HeaderValue::try_from(format!("Bearer {}", identity.token))
                .map_err(|_| never("the token in the config slot is no text for a header"))?;
            value.set_sensitive(true);
            message = message.header(AUTHORIZATION, value);
        }
        for (name, value) in request.headers.iter().filter(|_| first) {
            let name = HeaderName::try_from(name).map_err(|_| never("a header has an invalid name"))?;
            let value = HeaderValue::try_from(value).map_err(|_| never("a header has an invalid value"))?;
            message = message.header(name, value);
        }
        let headers = Duration::from_secs(request.timeouts.response_headers.max(1));
        match tokio::time::timeout(headers, message.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Attempt::Again(chain(&error.without_url()))),
            Err(_) => Err(Attempt::Again(format!("no answer in {} s", headers.as_secs()))),
        }
    }

    async fn body(
        &self,
        response: reqwest::Response,
        status: StatusCode,
        url: &Url,
    ) -> Result<Vec<u8>, Attempt> {
        if status.is_success() {
            let bytes =
                response.bytes().await.map_err(|error| Attempt::Again(chain(&error.without_url())))?;
            return Ok(bytes.to_vec());
        }
        // The configuration server may not know the host yet; elsewhere a missing file stays missing.
        let not_yet =
            [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::TOO_EARLY];
        let own = self.own_origins.contains(&origin(url));
        let later = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || (own && not_yet.contains(&status));
        let text = response.text().await.unwrap_or_default();
        let said: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        let cause =
            if said.is_empty() { format!("answer {status}") } else { format!("answer {status}: {said}") };
        if later {
            return Err(Attempt::Again(cause));
        }
        let remedy = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "the server does not accept this host's token or key: install the host again"
            }
            _ => "correct the source in the configuration and install the host again",
        };
        Err(Attempt::Final { cause, remedy })
    }

    fn client(&self, request: &Request, own: bool) -> Result<Client, Attempt> {
        let mut roots = RootCertStore::empty();
        if own {
            add_certificates(&mut roots, self.server_ca_pem.as_bytes());
        } else {
            add_certificates(&mut roots, &self.system_bundle);
        }
        for authority in &request.authorities {
            if add_certificates(&mut roots, &authority.0) == 0 {
                return Err(never("a certificate authority of the configuration is not PEM"));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| never(&error.to_string()))?
            .with_root_certificates(roots);
        let tls = match self.identity.as_ref().filter(|_| own) {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) =
                    identity.pair().ok_or_else(|| never("the identity in the config slot is not PEM"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| never(&error.to_string()))?
            }
        };
        Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(STALLED)
            .user_agent(concat!("ashlar-ignition/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| never(&chain(&error)))
    }
}

impl Identity {
    fn pair(&self) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty())?;
        Some((chain, PrivateKeyDer::from_pem_slice(self.private_key_pem.as_bytes()).ok()?))
    }
}

fn add_certificates(roots: &mut RootCertStore, pem: &[u8]) -> usize {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates).0
}

fn never(cause: &str) -> Attempt {
    Attempt::Final { cause: cause.to_owned(), remedy: "correct the configuration and install the host again" }
}

fn failure(request: &Request, cause: String, remedy: &str) -> Failure {
    Failure { stage: "fetch", entry: shown(&request.url), cause, remedy: remedy.to_owned() }
}

/// `https://host:port`.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
