//! Ending a rack: nothing of it stays, even when its daemon was killed. All of it is found by the rack's directory
//! and names, never by what somebody remembers.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::process::{self, Process};
use ashlar_host::{cgroup, loop_device, netns};

use crate::machine::{nspawn, stack};
use crate::rack::{self, Rack};
use crate::{limits, network};

/// The daemon cuts its machines' power and unmounts.
const DAEMON_GRACE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error(transparent)]
    Group(#[from] cgroup::Error),
    #[error(transparent)]
    Loop(#[from] loop_device::Error),
    #[error("removing the rack's networks")]
    Network(#[from] netns::Error),
    #[error("removing {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Limits(#[from] limits::Error),
}

/// Removes a rack with everything in it, disks too.
///
/// # Errors
/// There is no such rack, or something of it cannot be removed.
pub async fn down(name: &str) -> Result<(), Error> {
    let rack = Rack::named(name);
    let spec = rack.spec()?;
    stop_processes(&rack).await?;
    for server in &spec.servers {
        let name = rack.machine_namespace(&server.name);
        end_groups(&name).await?;
        nspawn::forget(&name);
    }
    // Only a daemon that ran in our own mount namespace could have left any.
    stack::take_down(&rack.directory).await;
    release_devices(&rack.directory).await?;
    network::down(&rack, &spec).await?;
    std::fs::remove_dir_all(&rack.directory)
        .map_err(|source| Error::Remove { path: rack.directory.clone(), source })?;
    Ok(limits::restore()?)
}

/// The daemon first: it ends the rest in order. What is left after it is ended here.
async fn stop_processes(rack: &Rack) -> Result<(), Error> {
    if let Some(daemon) = Process::read(&rack.pid_file("daemon"))? {
        daemon.stop(DAEMON_GRACE).await?;
    }
    let files = std::fs::read_dir(rack.pid_directory()).into_iter().flatten().flatten();
    for file in files {
        if let Some(process) = Process::read(&file.path())? {
            for child in process.children() {
                child.signal(libc::SIGKILL)?;
            }
            process.stop(GRACE).await?;
        }
    }
    Ok(())
}

/// Kills what still runs in a machine's control groups and removes them.
async fn end_groups(name: &str) -> Result<(), Error> {
    let end = Instant::now() + DEADLINE;
    for group in cgroup::find(name).into_iter().filter(|group| group.ends_with(name)) {
        loop {
            let members = cgroup::members(&group);
            for pid in &members {
                process::kill(*pid)?;
            }
            match cgroup::remove(&group) {
                Ok(()) => break,
                Err(error) if Instant::now() > end => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    Ok(())
}

/// Loop devices of files in the rack's directory: they clear themselves when the last user is gone; what a
/// killed daemon left in between is detached.
async fn release_devices(directory: &Path) -> Result<(), Error> {
    let end = Instant::now() + DEADLINE;
    loop {
        let devices = loop_device::list().await?;
        let ours: Vec<_> = devices
            .into_iter()
            .filter(|device| device.file.as_ref().is_some_and(|file| file.starts_with(directory)))
            .collect();
        if ours.is_empty() || Instant::now() > end {
            return Ok(());
        }
        for device in &ours {
            // It may clear itself at this moment; the next look at the list decides.
            if let Err(error) = loop_device::detach(&device.name).await {
                tracing::debug!(%error, "detaching");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
