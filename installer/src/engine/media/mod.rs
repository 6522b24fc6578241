//! The media server: one base ISO for all hosts; each host's own view is laid over its reserved range while bytes
//! go out. BMCs know plain HTTP paths that end in `.iso`, HEAD, and ranges; the path is unguessable and is all the
//! protection there is, because BMCs can do no better.

mod range;

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ashlar_image::host_view::{self, Patch};
use ashlar_model::release;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;

use range::{Answer, answer};

/// Large enough to keep a disk busy, small enough for many hosts at once.
const CHUNK: usize = 512 * 1024;

/// Which file, and whose view goes into it.
#[derive(Clone)]
struct Medium {
    host: String,
    patches: Arc<Vec<Patch>>,
}

/// What is being served. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    file: File,
    length: u64,
    layout: release::Media,
    media: RwLock<HashMap<String, Medium>>,
    served: RwLock<HashMap<String, Arc<Served>>>,
}

/// What a host's BMC or live system has fetched.
#[derive(Default)]
pub struct Served {
    pub requests: AtomicU64,
    pub bytes: AtomicU64,
}

impl Media {
    /// # Errors
    /// The ISO file cannot be opened.
    pub fn open(iso: &FilePath, layout: release::Media) -> std::io::Result<Self> {
        let file = File::open(iso)?;
        let length = file.metadata()?.len();
        let inner = Inner {
            path: iso.to_owned(),
            file,
            length,
            layout,
            media: RwLock::default(),
            served: RwLock::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Serves `view` to whoever knows `secret`; a host's older path ends.
    ///
    /// # Errors
    /// The view (compact JSON) does not fit into the reserved range.
    pub fn offer(&self, host: &str, secret: &str, view: &[u8]) -> Result<(), host_view::Error> {
        let patches = Arc::new(host_view::patches(&self.inner.layout, view, &[])?);
        let mut media = self.inner.media.write().unwrap_or_else(PoisonError::into_inner);
        media.retain(|_, medium| medium.host != host);
        media.insert(secret.to_owned(), Medium { host: host.to_owned(), patches });
        Ok(())
    }

    /// Path of a host's medium, from the server's root.
    pub fn path(host: &str, secret: &str) -> String {
        format!("/media/{secret}/{host}.iso")
    }

    pub fn served(&self, host: &str) -> Arc<Served> {
        let mut served = self.inner.served.write().unwrap_or_else(PoisonError::into_inner);
        served.entry(host.to_owned()).or_default().clone()
    }

    fn find(&self, secret: &str, file: &str) -> Option<Medium> {
        let media = self.inner.media.read().unwrap_or_else(PoisonError::into_inner);
        media.get(secret).filter(|medium| file == format!("{}.iso", medium.host)).cloned()
    }
}

pub fn app(media: Media) -> Router {
    Router::new().route("/media/{secret}/{file}", get(serve)).with_state(media)
}

async fn serve(
    State(media): State<Media>,
    Path((secret, file)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let Some(medium) = media.find(&secret, &file) else { return plain(StatusCode::NOT_FOUND, Body::empty()) };
    let length = media.inner.length;
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let counter = media.served(&medium.host);
    counter.requests.fetch_add(1, Ordering::Relaxed);
    let (status, start, end) = match answer(asked, length) {
        Answer::Whole => (StatusCode::OK, 0, length),
        Answer::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
        Answer::Unsatisfiable => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty());
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
            return response;
        }
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(stream(media.inner.clone(), medium.patches, counter, start, end))
    };
    let mut response = plain(status, body);
    set(&mut response, header::CONTENT_LENGTH, &(end - start).to_string());
    set(&mut response, header::CONTENT_TYPE, "application/x-iso9660-image");
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1));
    }
    response
}

/// Bytes `start..end` of the medium, a chunk at a time, counted as they leave.
fn stream(
    inner: Arc<Inner>,
    patches: Arc<Vec<Patch>>,
    counter: Arc<Served>,
    start: u64,
    end: u64,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    futures::stream::try_unfold(start, move |offset| {
        let (inner, patches, counter) = (inner.clone(), patches.clone(), counter.clone());
        async move {
            if offset >= end {
                return Ok(None);
            }
            let length = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
            let read = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<u8>> {
                let mut buffer = vec![0; length];
                inner.file.read_exact_at(&mut buffer, offset).map_err(|error| {
                    std::io::Error::new(error.kind(), format!("reading {}: {error}", inner.path.display()))
                })?;
                host_view::apply(&patches, offset, &mut buffer);
                Ok(buffer)
            });
            let buffer = read.await.map_err(std::io::Error::other)??;
            counter.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            Ok(Some((Bytes::from(buffer), offset + length as u64)))
        }
    })
}

fn plain(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = header::HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// URL of a host's medium on this server; `scheme` is `http` or `https`.
pub fn url(scheme: &str, address: SocketAddr, host: &str, secret: &str) -> String {
    format!("{scheme}://{address}{}", Media::path(host, secret))
}

#[cfg(test)]
mod tests;
