//! The configuration server's part in updates: takes a release's files from the operator, gives them to nodes and to
//! the other masters. Nodes prove themselves by the key that they enrolled with, the operator by the key that the
//! `ClusterUpdate` names, which only an administrator of the cluster can write.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use ashlar_model::update::{Index, RELEASE_PATH};
use ashlar_pki::Peer;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use futures::StreamExt;
use tokio_util::io::ReaderStream;

use super::Store;
use super::store::Error;
use crate::config_server::error;
use crate::directory::Directory;

/// Of a release's list of files: ten thousand are a megabyte and a half.
const LONGEST_INDEX: usize = 32 << 20;

/// Shared with who follows the `ClusterUpdate`.
#[derive(Clone)]
pub struct Releases {
    pub store: Store,
    pub directory: Directory,
    /// Commit, and SHA-256 of the key that may bring its files.
    pub allowed: Arc<RwLock<Option<(String, String)>>>,
}

pub fn router(releases: Releases) -> Router {
    Router::new()
        .route(&format!("{RELEASE_PATH}/{{commit}}/index"), get(index).put(put_index))
        .route(&format!("{RELEASE_PATH}/{{commit}}/files/{{*path}}"), get(file))
        .route(&format!("{RELEASE_PATH}/{{commit}}/blob/{{sha256}}"), put(put_blob))
        .layer(DefaultBodyLimit::max(LONGEST_INDEX))
        .with_state(releases)
}

async fn index(
    State(releases): State<Releases>,
    Extension(peer): Extension<Peer>,
    Path(commit): Path<String>,
) -> Response {
    if !releases.knows(&peer) {
        return refused(&peer);
    }
    releases.store.index(&commit).map_or_else(|| absent(&commit), |index| Json(index).into_response())
}

async fn file(
    State(releases): State<Releases>,
    Extension(peer): Extension<Peer>,
    Path((commit, path)): Path<(String, String)>,
) -> Response {
    if !releases.knows(&peer) {
        return refused(&peer);
    }
    let Some(index) = releases.store.index(&commit) else { return absent(&commit) };
    let Some(file) = index.files.get(&path) else {
        return error(StatusCode::NOT_FOUND, format!("the release has no file {path}"), None);
    };
    let opened = match releases.store.blob(&file.sha256) {
        Ok(place) => tokio::fs::File::open(place).await,
        Err(cause) => Err(io::Error::other(cause)),
    };
    match opened {
        Ok(opened) => {
            let length = [(axum::http::header::CONTENT_LENGTH, file.bytes.to_string())];
            (length, Body::from_stream(ReaderStream::with_capacity(opened, 1 << 18))).into_response()
        }
        Err(cause) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, format!("opening {path} of {commit}: {cause}"), None)
        }
    }
}

async fn put_index(
    State(releases): State<Releases>,
    Extension(peer): Extension<Peer>,
    Path(commit): Path<String>,
    Json(index): Json<Index>,
) -> Response {
    if !releases.may_bring(&peer, &commit) {
        return refused(&peer);
    }
    let store = releases.store.clone();
    let done = tokio::task::spawn_blocking(move || store.complete(&commit, &index)).await;
    match done.map_err(io::Error::other) {
        Ok(Ok(missing)) => Json(missing).into_response(),
        Ok(Err(cause)) => failed(&cause),
        Err(cause) => error(StatusCode::INTERNAL_SERVER_ERROR, cause.to_string(), None),
    }
}

async fn put_blob(
    State(releases): State<Releases>,
    Extension(peer): Extension<Peer>,
    Path((commit, sha256)): Path<(String, String)>,
    body: Body,
) -> Response {
    if !releases.may_bring(&peer, &commit) {
        return refused(&peer);
    }
    let mut incoming = match releases.store.receive(&sha256) {
        Ok(incoming) => incoming,
        Err(cause) => return failed(&cause),
    };
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let added = match part {
            Ok(part) => incoming.add(&part),
            Err(cause) => return error(StatusCode::BAD_REQUEST, format!("{sha256}: {cause}"), None),
        };
        if let Err(cause) = added {
            return failed(&cause);
        }
    }
    match incoming.keep() {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(cause) => failed(&cause),
    }
}

impl Releases {
    fn knows(&self, peer: &Peer) -> bool {
        peer.key_sha256.as_deref().is_some_and(|key| self.directory.by_key(key).is_some())
    }

    fn may_bring(&self, peer: &Peer, commit: &str) -> bool {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        matches!((&*allowed, &peer.key_sha256), (Some((of, key)), Some(shown)) if of == commit && key == shown)
    }
}

fn refused(peer: &Peer) -> Response {
    tracing::warn!(target: "audit", address = %peer.address, "a release is refused");
    error(
        StatusCode::UNAUTHORIZED,
        "this key may not have or bring the release's files".into(),
        Some("`ashlar update start` makes a key and names it in the cluster".into()),
    )
}

fn absent(commit: &str) -> Response {
    error(
        StatusCode::NOT_FOUND,
        format!("the release {commit} is not here as a whole"),
        Some("ask again".into()),
    )
}

fn failed(cause: &Error) -> Response {
    let status = match cause {
        Error::File { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Error::Name(_) | Error::Changed { .. } | Error::Path(_) => StatusCode::BAD_REQUEST,
    };
    let source = std::error::Error::source(cause).map(|source| format!(": {source}")).unwrap_or_default();
    error(status, format!("{cause}{source}"), None)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
