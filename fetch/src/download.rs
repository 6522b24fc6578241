//! Fetches by HTTP ranges, goes on after a broken connection where it stopped, and never gives up unless told to.
//! Certificates of HTTPS servers are not checked: what arrives is, by hashes that came with the medium.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_model::console::Failed;
use ashlar_model::release::FetchList;
use reqwest::{Client, Response, StatusCode, header};

use crate::assembly::{Assembly, WrongChunk};
use crate::report::Report;
use crate::sources::is_full_medium;

const CONNECT: Duration = Duration::from_secs(10);
/// A server that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(20);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

pub struct Wanted<'a> {
    pub list: &'a FetchList,
    pub to: &'a Path,
    pub attempts: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no server is named that the system could be fetched from")]
    NoSource,
    #[error("{url} cannot be reached")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{url} answers {status}")]
    Refused { url: String, status: StatusCode },
    #[error("{url} sends the whole file when a part is asked for")]
    NoRanges { url: String },
    #[error("{url} is {found} long; this medium belongs to a file that is not")]
    Size { url: String, found: String },
    #[error("the connection to {url} broke at byte {at}")]
    Broken { url: String, at: u64, source: Option<reqwest::Error> },
    #[error("{url} has other bytes than this medium says, in chunk {} (bytes {} to {})",
            .chunk.index, .chunk.range.start, .chunk.range.end)]
    Wrong { url: String, chunk: WrongChunk },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("making the HTTP client")]
    Client(#[source] reqwest::Error),
}

impl Error {
    fn remedy(&self, version: &str) -> String {
        match self {
            Self::NoSource => {
                "add the kernel argument ashlar.source=http://SERVER/DIR/ (`ashlar media customize \
                               --source`), or type the URL into the network form of this console"
                    .into()
            }
            Self::Unreachable { .. } => {
                "check this machine's address, gateway and VLAN (network form of this \
                                         console), and that the server runs (`ashlar media serve`)"
                    .into()
            }
            Self::Refused { .. } => {
                "check the URL; the server must have rootfs.squashfs or the full medium there".into()
            }
            Self::NoRanges { .. } => {
                "use a server that knows ranges: `ashlar media serve`, nginx, Apache".into()
            }
            Self::Size { .. } | Self::Wrong { .. } => {
                format!("serve rootfs.squashfs or ashlar.iso of release {version}")
            }
            Self::Broken { .. } => "it goes on where it stopped".into(),
            Self::Write { .. } | Self::Client(_) => {
                "restart the machine; use the full medium if it stays".into()
            }
        }
    }

    pub fn failed(&self, version: &str) -> Failed {
        let mut cause = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        Failed { what: "fetching the system".into(), cause, remedy: Some(self.remedy(version)) }
    }
}

/// Returns when the file is whole and every chunk of it checked. `choose` is asked before every attempt: a person
/// may have typed another server meanwhile.
///
/// # Errors
/// The file cannot be written, or the attempts are used up.
pub async fn run(
    wanted: &Wanted<'_>,
    choose: &dyn Fn() -> Vec<String>,
    report: &Report,
) -> Result<(), Error> {
    let write = |source| Error::Write { path: wanted.to.to_owned(), source };
    let file = File::create(wanted.to).map_err(write)?;
    file.set_len(wanted.list.size).map_err(write)?;
    let client = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .no_proxy()
        .build()
        .map_err(Error::Client)?;
    let mut assembly = Assembly::new(wanted.list);
    let (mut failures, mut pause) = (0u32, SHORTEST_PAUSE);
    while !assembly.is_complete() {
        let sources = choose();
        let before = assembly.checked();
        let tried = match sources.get(failures as usize % sources.len().max(1)) {
            None => Err(Error::NoSource),
            Some(url) => attempt(&client, url, wanted, &file, &mut assembly, report).await,
        };
        let Err(error) = tried else { continue };
        if matches!(error, Error::Write { .. }) {
            report.failed(&error.failed(&wanted.list.version));
            return Err(error);
        }
        if assembly.checked() > before {
            (failures, pause) = (0, SHORTEST_PAUSE);
        }
        failures += 1;
        report.failed(&error.failed(&wanted.list.version));
        if wanted.attempts.is_some_and(|attempts| failures >= attempts) {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    file.sync_all().map_err(write)
}

async fn attempt(
    client: &Client,
    url: &str,
    wanted: &Wanted<'_>,
    file: &File,
    assembly: &mut Assembly<'_>,
    report: &Report,
) -> Result<(), Error> {
    let list = wanted.list;
    let mut answer = ask(client, url, list, assembly.position()).await?;
    report.fetching(url, assembly.checked(), list.size);
    while !assembly.is_complete() {
        let at = assembly.position();
        let piece = match answer.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Err(Error::Broken { url: url.to_owned(), at, source: None }),
            Err(source) => return Err(Error::Broken { url: url.to_owned(), at, source: Some(source) }),
        };
        let mut rest: &[u8] = &piece;
        while !rest.is_empty() && !assembly.is_complete() {
            let taken = assembly.take(rest);
            let (chunk, left) = taken.map_err(|chunk| Error::Wrong { url: url.to_owned(), chunk })?;
            if let Some((at, chunk)) = chunk {
                let written = file.write_all_at(&chunk, at);
                written.map_err(|source| Error::Write { path: wanted.to.to_owned(), source })?;
                report.fetching(url, assembly.checked(), list.size);
            }
            rest = left;
        }
    }
    Ok(())
}

/// Everything from byte `from` of the file on.
async fn ask(client: &Client, url: &str, list: &FetchList, from: u64) -> Result<Response, Error> {
    let full = is_full_medium(url);
    let offset = if full { list.medium_offset } else { 0 };
    let (first, last) = (offset + from, offset + list.size - 1);
    let asked = client.get(url).header(header::RANGE, format!("bytes={first}-{last}")).send().await;
    let answer = asked.map_err(|source| Error::Unreachable { url: url.to_owned(), source })?;
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let size = |found: &str| Error::Size { url: url.to_owned(), found: format!("{found} bytes") };
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => match text(header::CONTENT_RANGE).rsplit_once('/') {
            Some((_, all)) if !full && all != "*" && all != list.size.to_string() => Err(size(all)),
            Some((part, _)) if part.starts_with(&format!("bytes {first}-")) => Ok(answer),
            _ => Err(Error::NoRanges { url: url.to_owned() }),
        },
        // As good, when everything was asked for.
        StatusCode::OK if first == 0 => match text(header::CONTENT_LENGTH) {
            length if length == list.size.to_string() => Ok(answer),
            length => Err(size(length)),
        },
        StatusCode::OK => Err(Error::NoRanges { url: url.to_owned() }),
        StatusCode::RANGE_NOT_SATISFIABLE => {
            Err(size(text(header::CONTENT_RANGE).trim_start_matches("bytes */")))
        }
        status => Err(Error::Refused { url: url.to_owned(), status }),
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
