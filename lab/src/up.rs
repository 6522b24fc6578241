//! Starting a rack: networks, disks, then the daemon.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ashlar_host::cmd::{self, Cmd};
use ashlar_host::netns;

use crate::control::{self, Request};
use crate::rack::{self, Rack};
use crate::spec::{self, RackSpec};
use crate::status::{self, Status};
use crate::{bmc, down, limits, network};

/// First argument of the program when it is to be the daemon; the rack's directory follows.
pub const DAEMON_ARGUMENT: &str = "lab-daemon";
const READY: Duration = Duration::from_secs(30);
const LOG_TAIL: usize = 2000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Spec(#[from] spec::Error),
    #[error("rack `{name}` exists\nhint: `ashlar lab down --name {name}` removes it")]
    Exists { name: String },
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error("making the disk {}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("making the key that the cluster's nodes accept")]
    SshKey { source: cmd::Error },
    #[error("making the rack's networks")]
    Network(#[from] netns::Error),
    #[error("making the BMC of `{server}`")]
    Bmc { server: String, source: bmc::Error },
    #[error(transparent)]
    Limits(#[from] limits::Error),
    #[error("finding our own program, which is the daemon too")]
    OwnProgram { source: io::Error },
    #[error("opening the daemon's log {}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("starting the daemon")]
    Start { source: cmd::Error },
    #[error("the rack's daemon did not start:\n{log}")]
    Daemon { log: String },
    #[error(transparent)]
    Status(#[from] status::Error),
}

/// Starts a rack, all its servers without power, and says how to reach them. Removes what it made if it fails.
///
/// The program that calls this must run [`crate::daemon::run`] when its first argument is [`DAEMON_ARGUMENT`].
///
/// # Errors
/// The rack exists, or something cannot be made.
pub async fn up(spec: &RackSpec) -> Result<Status, Error> {
    spec.validate()?;
    let rack = Rack::named(&spec.name);
    if rack.spec_file().exists() {
        return Err(Error::Exists { name: spec.name.clone() });
    }
    let done = make(&rack, spec).await;
    if done.is_err()
        && let Err(error) = down::down(&spec.name).await
    {
        tracing::error!(%error, "removing the rack that could not be started");
    }
    done
}

async fn make(rack: &Rack, spec: &RackSpec) -> Result<Status, Error> {
    let text = serde_json::to_vec_pretty(spec).expect("a rack is plain data");
    rack::write(&rack.spec_file(), text)?;
    for folder in [rack.pid_directory(), rack.network_directory(), rack.cluster_directory()] {
        std::fs::create_dir_all(&folder).map_err(|source| rack::Error::Write { path: folder, source })?;
    }
    make_ssh_key(rack).await?;
    limits::raise()?;
    for server in &spec.servers {
        for (number, disk) in server.disks.iter().enumerate() {
            make_disk(rack.disk(&server.name, number), disk.bytes())?;
        }
        bmc::make_certificate(rack, server)
            .map_err(|source| Error::Bmc { server: server.name.clone(), source })?;
    }
    network::up(rack, spec).await?;
    start_daemon(rack).await?;
    Ok(status::status(&rack.name).await?)
}

async fn make_ssh_key(rack: &Rack) -> Result<(), Error> {
    let path = rack.ssh_key();
    let folder = path.with_file_name("");
    std::fs::create_dir_all(&folder).map_err(|source| rack::Error::Write { path: folder, source })?;
    let make = Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "ashlar-lab", "-f"]);
    make.arg(&path).run().await.map(drop).map_err(|source| Error::SshKey { source })
}

/// Sparse: takes room only for what is written.
fn make_disk(path: PathBuf, bytes: u64) -> Result<(), Error> {
    let make = || {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        OpenOptions::new().create_new(true).write(true).open(&path)?.set_len(bytes)
    };
    make().map_err(|source| Error::Disk { path: path.clone(), source })
}

async fn start_daemon(rack: &Rack) -> Result<(), Error> {
    let program = std::env::current_exe().map_err(|source| Error::OwnProgram { source })?;
    let path = rack.daemon_log();
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|source| Error::Log { path: path.clone(), source })?;
    let again = log.try_clone().map_err(|source| Error::Log { path: path.clone(), source })?;
    let daemon = netns::enter(&rack.bmc_namespace(), "setsid");
    let mut child = daemon
        .args(["unshare", "--mount", "--propagation", "private", "--"])
        .arg(program)
        .arg(DAEMON_ARGUMENT)
        .arg(&rack.directory)
        .spawn_into(Stdio::from(log), Stdio::from(again))
        .map_err(|source| Error::Start { source })?;
    let end = Instant::now() + READY;
    while control::ask(rack, &Request::Status).await.is_err() {
        let ended = child.try_wait().map_err(|source| Error::Log { path: path.clone(), source })?;
        if ended.is_some_and(|status| !status.success()) || Instant::now() > end {
            return Err(Error::Daemon { log: tail(&std::fs::read_to_string(&path).unwrap_or_default()) });
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(())
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(LOG_TAIL);
    text.chars().skip(skip).collect::<String>().trim().to_owned()
}
