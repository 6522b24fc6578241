//! Brings a release to this master from one that has it.

use std::time::Duration;

use ashlar_model::bootstrap_api::Role;
use ashlar_model::keys::KeyPair;
use ashlar_model::update::{Index, RELEASE_PATH};
use futures::{StreamExt, TryStreamExt};

use super::store::{Error as StoreError, Store};
use crate::config_server::PORT;
use crate::directory::Directory;

const AT_ONCE: usize = 4;
/// Of one file.
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("asking {url}")]
    Ask { url: String, source: reqwest::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0} files are still missing after all were fetched")]
    Incomplete(usize),
    #[error("using this node's credential")]
    Tls(#[from] ashlar_pki::Error),
}

/// Fetches the release from the first master that has it, unless it is here. Returns whether it is here now.
///
/// # Errors
/// A master has it, and it could not be fetched.
pub async fn fill(
    store: &Store,
    directory: &Directory,
    own: &str,
    commit: &str,
    authority: &str,
    identity: &KeyPair,
) -> Result<bool, Error> {
    if store.index(commit).is_some() {
        return Ok(true);
    }
    let client = ashlar_pki::tls::http_client(authority, Some(identity), TIMEOUT)?;
    for host in directory.all().into_iter().filter(|host| host.role == Role::Master && host.name != own) {
        let Some(address) = host.address else { continue };
        let url = format!("https://{address}:{PORT}");
        let has = client.get(format!("{url}{RELEASE_PATH}/{commit}/index")).timeout(Duration::from_secs(10));
        if has.send().await.is_ok_and(|answer| answer.status().is_success()) {
            tracing::info!(from = host.name, commit, "fetching a release");
            copy(store, &client, &url, commit).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fetches what is missing of a release.
///
/// # Errors
/// The server does not give it, or it cannot be kept.
pub async fn copy(store: &Store, client: &reqwest::Client, url: &str, commit: &str) -> Result<(), Error> {
    let base = format!("{url}{RELEASE_PATH}/{commit}");
    let index: Index = ask(client, &format!("{base}/index")).await?.json().await.map_err(asking(&base))?;
    let missing = store.missing(&index)?;
    let wanted: Vec<(String, String)> = index
        .files
        .iter()
        .filter(|(_, file)| missing.contains(&file.sha256))
        .map(|(path, file)| (format!("{base}/files/{path}"), file.sha256.clone()))
        .collect();
    let one = |(url, sha256): (String, String)| fetch(store.clone(), client.clone(), url, sha256);
    futures::stream::iter(wanted).map(one).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    let missing = store.complete(commit, &index)?;
    if missing.is_empty() { Ok(()) } else { Err(Error::Incomplete(missing.len())) }
}

async fn fetch(store: Store, client: reqwest::Client, url: String, sha256: String) -> Result<(), Error> {
    let mut incoming = store.receive(&sha256)?;
    let mut answer = ask(&client, &url).await?;
    while let Some(part) = answer.chunk().await.map_err(asking(&url))? {
        incoming.add(&part)?;
    }
    Ok(incoming.keep()?)
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<reqwest::Response, Error> {
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    answer.map_err(asking(url))
}

fn asking(url: &str) -> impl FnOnce(reqwest::Error) -> Error {
    let url = url.to_owned();
    move |source| Error::Ask { url, source }
}
