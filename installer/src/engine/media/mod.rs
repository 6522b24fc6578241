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
    image: Arc<Image>,
    patches: Arc<Vec<Patch>>,
}

/// A medium of the release.
struct Image {
    path: PathBuf,
    file: File,
    length: u64,
    layout: release::Media,
}

/// What is being served. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    full: Arc<Image>,
    minimal: Option<Arc<Image>>,
    media: RwLock<HashMap<String, Medium>>,
    served: RwLock<HashMap<String, Arc<Served>>>,
}

/// What a host's BMC or live system has fetched.
#[derive(Default)]
pub struct Served {
    pub requests: AtomicU64,
    pub bytes: AtomicU64,
}

impl Image {
    fn open(iso: &FilePath, layout: release::Media) -> std::io::Result<Arc<Self>> {
        let file = File::open(iso)?;
        let length = file.metadata()?.len();
        Ok(Arc::new(Self { path: iso.to_owned(), file, length, layout }))
    }
}

impl Media {
    /// `minimal`: the small medium of the same release, where hosts are to have it.
    ///
    /// # Errors
    /// An ISO file cannot be opened.
    pub fn open(
        iso: &FilePath,
        layout: release::Media,
        minimal: Option<(&FilePath, release::Media)>,
    ) -> std::io::Result<Self> {
        let minimal = minimal.map(|(iso, layout)| Image::open(iso, layout)).transpose()?;
        let full = Image::open(iso, layout)?;
        let inner = Inner { full, minimal, media: RwLock::default(), served: RwLock::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Serves `view` to whoever knows `secret`; a host's older path ends. `small`: on the minimal medium, if there is
    /// one, and the full one beside it, for the host's own fetching.
    ///
    /// # Errors
    /// The view (compact JSON) does not fit into the reserved range.
    pub fn offer(&self, host: &str, secret: &str, view: &[u8], small: bool) -> Result<(), host_view::Error> {
        let minimal = self.inner.minimal.as_ref().filter(|_| small);
        let image = minimal.unwrap_or(&self.inner.full).clone();
        let patches = Arc::new(host_view::patches(&image.layout, view, &[])?);
        let mut media = self.inner.media.write().unwrap_or_else(PoisonError::into_inner);
        media.retain(|_, medium| medium.host != host);
        media.insert(secret.to_owned(), Medium { host: host.to_owned(), image, patches });
        Ok(())
    }

    /// Path of what a minimal medium fetches: nobody's full medium.
    pub fn rest_path(host: &str, secret: &str) -> String {
        format!("/media/{secret}/{host}-rest.iso")
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
        let medium = media.get(secret)?;
        let name = file.strip_suffix(".iso")?;
        if name == medium.host {
            return Some(medium.clone());
        }
        let rest = medium.image.layout.root_filesystem.is_none() && name == format!("{}-rest", medium.host);
        rest.then(|| Medium { image: self.inner.full.clone(), patches: Arc::default(), ..medium.clone() })
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
    let length = medium.image.length;
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
        Body::from_stream(stream(medium.image, medium.patches, counter, start, end))
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
    image: Arc<Image>,
    patches: Arc<Vec<Patch>>,
    counter: Arc<Served>,
    start: u64,
    end: u64,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    futures::stream::try_unfold(start, move |offset| {
        let (image, patches, counter) = (image.clone(), patches.clone(), counter.clone());
        async move {
            if offset >= end {
                return Ok(None);
            }
            let length = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
            let read = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<u8>> {
                let mut buffer = vec![0; length];
                image.file.read_exact_at(&mut buffer, offset).map_err(|error| {
                    std::io::Error::new(error.kind(), format!("reading {}: {error}", image.path.display()))
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
