//! The medium in a machine's drive: fetched from where the BMC was told, through the BMC's own network.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use super::kernel_arguments::KernelArguments;
use crate::iso::{self, Extent};

const CONNECT: Duration = Duration::from_secs(10);
/// A server that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the medium from {url}")]
    Fetch { url: String, source: reqwest::Error },
    #[error("keeping the medium in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Iso(#[from] iso::Error),
    #[error("the medium's boot menu starts no Linux")]
    NoLinux,
}

/// What the boot loader finds on a medium.
pub struct Medium {
    pub file: PathBuf,
    pub root_filesystem: Extent,
    /// The host's own view without its padding; none when nobody wrote one.
    pub host_view: Option<String>,
    pub kernel_arguments: KernelArguments,
}

/// Fetches a medium into `file`. Certificates are not checked, as BMCs do by default.
///
/// # Errors
/// The server cannot be reached, answers with an error or stops sending.
pub async fn fetch(url: &str, file: &Path) -> Result<(), Error> {
    let failed = |source| Error::Fetch { url: url.to_owned(), source };
    let keep = |source| Error::Keep { path: file.to_owned(), source };
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()
        .map_err(failed)?;
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut bytes = answer.map_err(failed)?.bytes_stream();
    let mut target =
        tokio::io::BufWriter::with_capacity(1 << 20, tokio::fs::File::create(file).await.map_err(keep)?);
    while let Some(part) = bytes.next().await {
        target.write_all(&part.map_err(failed)?).await.map_err(keep)?;
    }
    target.flush().await.map_err(keep)
}

/// Reads what is needed to boot from a medium.
///
/// # Errors
/// It is no medium of ours.
pub fn open(file: &Path) -> Result<Medium, Error> {
    let mut image = File::open(file).map_err(|source| Error::Keep { path: file.to_owned(), source })?;
    let mut text = |path: &str| -> Result<String, Error> {
        let extent = iso::find(&mut image, path)?;
        Ok(String::from_utf8_lossy(&iso::read(&mut image, extent)?).into_owned())
    };
    let menu = text("/boot/grub/grub.cfg")?;
    let host_view = host_view(&text("/ashlar/host.json")?);
    let kernel_arguments = KernelArguments::from_grub(&menu).ok_or(Error::NoLinux)?;
    let root_filesystem = iso::find(&mut image, "/ashlar/rootfs.squashfs")?;
    Ok(Medium { file: file.to_owned(), root_filesystem, host_view, kernel_arguments })
}

/// The reserved area ends in blanks; an area that nobody wrote to holds `{}`.
fn host_view(area: &str) -> Option<String> {
    let view = area.trim_matches(['\0', ' ', '\n', '\r', '\t']);
    (!view.is_empty() && view != "{}").then(|| format!("{view}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_area_that_nobody_wrote_to_is_no_view() {
        assert_eq!(host_view("{}\n   \n  "), None);
        assert_eq!(host_view("{\"host\":\"a\"}   \n\n"), Some("{\"host\":\"a\"}\n".into()));
    }
}
