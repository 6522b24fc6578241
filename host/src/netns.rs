//! Network namespaces and the links in them (`ip -n`); never `ip netns exec`, which touches mounts.

use std::io;
use std::path::{Path, PathBuf};

use crate::cmd::{self, Cmd};

const DIRECTORY: &str = "/run/netns";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("changing network namespace `{namespace}`")]
    Ip { namespace: String, source: cmd::Error },
    #[error("listing {DIRECTORY}")]
    List { source: io::Error },
}

/// The file that names a namespace, for `nsenter --net=` and the like.
#[must_use]
pub fn path(namespace: &str) -> PathBuf {
    Path::new(DIRECTORY).join(namespace)
}

/// Makes a namespace with its loopback up.
///
/// # Errors
/// It exists already, or the kernel refuses.
pub async fn add(namespace: &str) -> Result<(), Error> {
    let run = Cmd::new("ip").args(["netns", "add", namespace]).run().await;
    run.map_err(|source| Error::Ip { namespace: namespace.to_owned(), source })?;
    ip(namespace, "link set lo up").await
}

/// Removes a namespace and, with it, its links.
///
/// # Errors
/// It does not exist.
pub async fn delete(namespace: &str) -> Result<(), Error> {
    let run = Cmd::new("ip").args(["netns", "delete", namespace]).run().await;
    run.map(drop).map_err(|source| Error::Ip { namespace: namespace.to_owned(), source })
}

/// Names of all namespaces of this machine.
///
/// # Errors
/// The directory of namespaces cannot be read (a missing one has no namespaces).
pub fn list() -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| Error::List { source })?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(|source| Error::List { source })
}

/// Unmounts the directory that `ip netns` mounted on itself, when no namespace is left in it.
///
/// # Errors
/// The directory cannot be read or unmounted.
pub fn forget_empty_directory() -> Result<(), Error> {
    if !Path::new(DIRECTORY).exists() || !list()?.is_empty() {
        return Ok(());
    }
    let mounted = crate::mount::below(Path::new(DIRECTORY)).unwrap_or_default();
    for point in mounted {
        if let Err(error) = crate::mount::unmount(&point) {
            tracing::debug!(%error, "leaving the directory of network namespaces mounted");
        }
    }
    Ok(())
}

/// `ip -n NAMESPACE …`, the arguments separated by blanks.
///
/// # Errors
/// `ip` fails.
pub async fn ip(namespace: &str, arguments: &str) -> Result<(), Error> {
    let run = Cmd::new("ip").args(["-n", namespace]).args(arguments.split_whitespace()).run().await;
    run.map(drop).map_err(|source| Error::Ip { namespace: namespace.to_owned(), source })
}

/// `ip -n NAMESPACE -batch`: many commands (one a line) in one process.
///
/// # Errors
/// One of them fails; the rest is not run.
pub async fn batch(namespace: &str, commands: &[String]) -> Result<(), Error> {
    let mut script = commands.join("\n");
    script.push('\n');
    let run = Cmd::new("ip").args(["-n", namespace, "-batch", "-"]).stdin(script).run().await;
    run.map(drop).map_err(|source| Error::Ip { namespace: namespace.to_owned(), source })
}

/// Puts a command into a network namespace; mounts stay as they are.
pub fn enter(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Cmd {
    Cmd::new("nsenter").arg(format!("--net={}", path(namespace).display())).arg("--").arg(program)
}
