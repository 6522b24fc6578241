//! Fetching resources: patient with the network and with servers that are not ready, final with everything that
//! waiting cannot cure.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, RequestBuilder, StatusCode};
use url::Url;

use super::answers;
use super::attempts::{Attempt, Patience, never};
use super::cloud::{self, Store};
use super::report::{Failure, chain};
use super::sink::{Limited, Sink};
use super::tftp;
use crate::resource::{Authority, Proxies, Request, Wanted, shown};

const MOST_REDIRECTS: usize = 10;
const LARGEST_CONFIGURATION: usize = 64 << 20;
const SYSTEM_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Proof of who this host is, and the servers that may see it.
pub struct Identity {
    pub token: String,
    pub certificate_pem: String,
    pub private_key_pem: String,
}

/// One client for each way of connecting.
type Clients = Vec<((bool, Vec<Authority>, Proxies), Client)>;

pub struct Fetcher {
    /// Scheme, host and port of the configuration server: trusted by `server_ca_pem` alone, gets the identity.
    pub(super) own_origins: BTreeSet<String>,
    pub(super) server_ca_pem: String,
    pub(super) identity: Option<Identity>,
    /// Certificates of other servers: those of the image.
    pub(super) system_bundle: Vec<u8>,
    store: Store,
    pub(super) clients: Mutex<Clients>,
    /// Where waiting is told.
    say: fn(&str),
}

impl Fetcher {
    /// For configurations that nobody but their own text vouches for.
    pub fn plain(sysroot: &Path, say: fn(&str)) -> Self {
        Self {
            own_origins: BTreeSet::new(),
            server_ca_pem: String::new(),
            identity: None,
            system_bundle: Self::system_bundle(sysroot),
            store: Store::from_environment(),
            clients: Mutex::default(),
            say,
        }
    }

    /// Fetches with the identity of an enrolled host.
    pub fn of_host(
        own_origins: BTreeSet<String>,
        server_ca_pem: String,
        identity: Option<Identity>,
        sysroot: &Path,
        say: fn(&str),
    ) -> Self {
        Self { own_origins, server_ca_pem, identity, ..Self::plain(sysroot, say) }
    }

    /// For other servers than the configuration server: the certificates of `sysroot`, else of this system.
    fn system_bundle(sysroot: &Path) -> Vec<u8> {
        let places = [sysroot.join(SYSTEM_BUNDLE), Path::new("/").join(SYSTEM_BUNDLE)];
        places.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default()
    }

    /// Fetches into memory until it succeeds, fails for good, or the configuration's own total time is over.
    ///
    /// # Errors
    /// A failure with the URL, the cause and the remedy.
    pub async fn fetch(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let mut patience = Patience::new(request, self.say);
        loop {
            let mut memory = Limited { bytes: Vec::new(), most: LARGEST_CONFIGURATION };
            match patience.limit(self.attempt(request, &Wanted::default(), &mut memory)).await {
                Ok(()) => return Ok(memory.bytes),
                Err(attempt) => patience.after(attempt).await?,
            }
        }
    }

    /// As `fetch`, into a file from its present position on; checked and unpacked on the way.
    ///
    /// # Errors
    /// As `fetch`; the file's end is then not to be used.
    pub async fn fetch_into(
        &self,
        request: &Request,
        wanted: &Wanted,
        file: &mut File,
    ) -> Result<(), Failure> {
        let mut patience = Patience::new(request, self.say);
        let local = |error: io::Error| {
            let cause = format!("writing the temporary file: {error}");
            Failure::because("fetch", shown(&request.url), cause, "check the disk")
        };
        let start = file.stream_position().map_err(local)?;
        loop {
            let mut writer = BufWriter::with_capacity(64 << 10, &mut *file);
            let done = patience.limit(self.attempt(request, wanted, &mut writer)).await;
            drop(writer.into_parts());
            match done {
                Ok(()) => return Ok(()),
                Err(attempt) => patience.after(attempt).await?,
            }
            file.set_len(start).map_err(local)?;
            file.seek(io::SeekFrom::Start(start)).map_err(local)?;
        }
    }

    async fn attempt(&self, request: &Request, wanted: &Wanted, out: &mut impl Write) -> Result<(), Attempt> {
        let url = Url::parse(&request.url).map_err(|error| never(&error.to_string()))?;
        let mut sink = Sink::new(wanted, out);
        match url.scheme() {
            "http" | "https" => self.follow(request, url, &mut sink).await?,
            "tftp" => match tftp::fetch(&url, &mut sink).await {
                Ok(()) => {}
                Err(tftp::Stopped::Later(cause)) => return Err(Attempt::Again(cause)),
                Err(tftp::Stopped::Never(cause) | tftp::Stopped::Write(cause)) => return Err(never(&cause)),
            },
            "s3" | "arn" if wanted.gzip => {
                return Err(never("compression cannot be used with S3"));
            }
            "s3" | "arn" | "gs" => self.object(request, &url, &mut sink).await?,
            other => return Err(never(&format!("nothing is fetched by the scheme {other}"))),
        }
        sink.finish().map_err(answers::refused)
    }

    /// Headers of the configuration are dropped after a redirect.
    async fn follow<W: Write>(
        &self,
        request: &Request,
        url: Url,
        sink: &mut Sink<'_, W>,
    ) -> Result<(), Attempt> {
        let mut url = url;
        for redirects in 0..=MOST_REDIRECTS {
            let headers = if redirects == 0 { request.headers.as_slice() } else { &[] };
            let response = self.send(request, &url, headers).await?;
            let status = response.status();
            if !status.is_redirection() {
                return self.body(response, status, &url, sink).await;
            }
            let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = target
                .and_then(|target| url.join(target).ok())
                .ok_or_else(|| never("a redirect to nowhere"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(never("a redirect from https to a connection that is not encrypted"));
            }
            url = next;
        }
        Err(never("too many redirects"))
    }

    /// An object of a store; asked for once more when the store says that the bucket is in another region.
    async fn object<W: Write>(
        &self,
        request: &Request,
        source: &Url,
        sink: &mut Sink<'_, W>,
    ) -> Result<(), Attempt> {
        let mut region = self.store.region.clone().unwrap_or_else(|| cloud::DEFAULT_REGION.to_owned());
        for last in [false, true] {
            let url = self.store.url(source, &region).map_err(|error| never(&error))?;
            let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
            let headers = self.store.headers(source.scheme(), &url, &region, &now);
            let response = self.send(request, &url, &headers).await?;
            let status = response.status();
            let told = response.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
            match told.filter(|told| !last && !status.is_success() && *told != region) {
                Some(told) => region = told.to_owned(),
                None => return self.body(response, status, &url, sink).await,
            }
        }
        Err(never("the store names one region after the other"))
    }

    async fn send(
        &self,
        request: &Request,
        url: &Url,
        headers: &[(String, String)],
    ) -> Result<reqwest::Response, Attempt> {
        let own = self.own_origins.contains(&origin(url));
        let mut message = self.client(request, own)?.get(url.clone());
        if request.is_config {
            message = message.header(ACCEPT, crate::ACCEPT);
        }
        message = self.with_token(message, url)?;
        for (name, value) in headers {
            let name = HeaderName::try_from(name).map_err(|_| never("a header has an invalid name"))?;
            let value = HeaderValue::try_from(value).map_err(|_| never("a header has an invalid value"))?;
            message = message.header(name, value);
        }
        let wait = Duration::from_secs(request.timeouts.response_headers);
        if wait.is_zero() {
            return message.send().await.map_err(|error| Attempt::Again(chain(&error.without_url())));
        }
        match tokio::time::timeout(wait, message.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Attempt::Again(chain(&error.without_url()))),
            Err(_) => Err(Attempt::Again(format!("no answer in {} s", wait.as_secs()))),
        }
    }

    /// The token goes to our own servers alone, and never without TLS.
    fn with_token(&self, message: RequestBuilder, url: &Url) -> Result<RequestBuilder, Attempt> {
        let own = self.own_origins.contains(&origin(url)) && url.scheme() == "https";
        let Some(identity) = self.identity.as_ref().filter(|_| own) else { return Ok(message) };
        let mut value = HeaderValue::try_from(format!("Bearer {}", identity.token))
            .map_err(|_| never("the token in the config slot is no text for a header"))?;
        value.set_sensitive(true);
        Ok(message.header(AUTHORIZATION, value))
    }

    /// JSON to one of our own servers.
    pub(super) async fn post(&self, request: &Request, url: &Url, body: Vec<u8>) -> Result<(), Attempt> {
        let own = self.own_origins.contains(&origin(url));
        let message = self.client(request, own)?.post(url.clone());
        let message = self.with_token(message, url)?.header(CONTENT_TYPE, "application/json").body(body);
        let response = message.send().await.map_err(|error| Attempt::Again(chain(&error.without_url())))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(Attempt::Again(format!("answer {status}"))),
        }
    }

    async fn body<W: Write>(
        &self,
        mut response: reqwest::Response,
        status: StatusCode,
        url: &Url,
        sink: &mut Sink<'_, W>,
    ) -> Result<(), Attempt> {
        if status.is_success() {
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => {
                        sink.write_all(&chunk).map_err(|error| answers::refused(sink.refusal(error)))?
                    }
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(Attempt::Again(chain(&error.without_url()))),
                }
            }
        }
        Err(answers::unsuccessful(response, status, self.own_origins.contains(&origin(url))).await)
    }
}

/// `https://host:port`.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
