//! A TPM 2.0 for an emulated server (swtpm). What it keeps outlives a power cut, like a chip's memory; the process is
//! there for one boot and ends with the emulator.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};
use ashlar_host::process::Process;

use super::boot::Place;
use crate::rack;

const READY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("keeping the memory of the TPM in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("starting the TPM")]
    Start { source: cmd::Error },
    #[error("the TPM does not listen; see {}", log.display())]
    Silent { log: PathBuf },
    #[error(transparent)]
    Rack(#[from] rack::Error),
}

/// Starts the TPM of a server and gives the socket by which the emulator reaches it.
pub(super) async fn start(place: &Place<'_>) -> Result<PathBuf, Error> {
    let state = place.file("tpm");
    std::fs::create_dir_all(&state).map_err(|source| Error::Keep { path: state.clone(), source })?;
    let (socket, log) = (place.file("tpm.sock"), place.file("tpm.log"));
    // The name of a socket that an earlier boot left is in the way; none is as good.
    drop(std::fs::remove_file(&socket));
    let open = std::fs::File::create(&log).map_err(|source| Error::Keep { path: log.clone(), source });
    let output = open?;
    let errors = output.try_clone().map_err(|source| Error::Keep { path: log.clone(), source })?;
    let mut child = Cmd::new("swtpm")
        .args(["socket", "--tpm2", "--terminate", "--tpmstate"])
        .arg(format!("dir={}", state.display()))
        .arg("--ctrl")
        .arg(format!("type=unixio,path={}", socket.display()))
        .spawn_into(Stdio::from(output), Stdio::from(errors))
        .map_err(|source| Error::Start { source })?;
    if let Some(process) = child.id().and_then(|pid| Process::of(pid).ok()) {
        let written = process.write(&place.rack.pid_file(&format!("tpm-{}", place.server.name)));
        written.unwrap_or_else(|error| tracing::warn!(%error, "`lab down` will not find this TPM"));
    }
    let listens = async {
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let listens = tokio::select! {
        up = tokio::time::timeout(READY, listens) => up.is_ok(),
        _ = child.wait() => false,
    };
    if !listens {
        return Err(Error::Silent { log });
    }
    tokio::spawn(async move { child.wait().await });
    Ok(socket)
}
