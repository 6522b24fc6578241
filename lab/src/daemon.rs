//! The rack's daemon: holds the machines and their BMCs. It runs in the BMCs' network namespace and in a mount
//! namespace of its own, so that whatever it mounts goes when it and its machines go.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};
use ashlar_host::mount;
use ashlar_host::process::{self, Process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bmc::{self, Bmc};
use crate::control::{Answer, PowerAction, Request, ServerNow, line};
use crate::machine::Machine;
use crate::network;
use crate::rack::{self, Rack};

/// Programs that the rack's networks need.
const HELPER_GRACE: Duration = Duration::from_secs(2);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(150);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error("starting the rack's {what}")]
    Helper { what: &'static str, source: cmd::Error },
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("starting the BMC of `{server}`")]
    Bmc { server: String, source: bmc::Error },
    #[error("listening on the control socket")]
    Control { source: io::Error },
    #[error("waiting for signals")]
    Signal { source: io::Error },
    #[error("opening the log of {what}")]
    Log { what: &'static str, source: io::Error },
}

struct Server {
    machine: Machine,
    bmc: Arc<Bmc>,
}

type Servers = Arc<BTreeMap<String, Server>>;

/// Runs until it is told to stop (SIGTERM, SIGINT); then cuts every machine's power and ends.
///
/// # Errors
/// Something of the rack cannot be started.
pub async fn run(directory: &Path) -> Result<(), Error> {
    let rack = Rack::at(directory);
    let spec = rack.spec()?;
    // Another part of the program may have installed it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Process::of(std::process::id())?.write(&rack.pid_file("daemon"))?;
    // systemd-nspawn keeps a copy of our mounts, hidden; it must let go of other machines' disks when we do.
    mount::share_all()?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|source| Error::Signal { source })?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|source| Error::Signal { source })?;
    let helpers = [
        ("dnsmasq", network::names::server(&rack, &spec)?),
        ("chronyd", network::time::server(&rack, &spec)?),
    ];
    let mut running = Vec::new();
    for (what, command) in helpers {
        running.push((what, start_helper(&rack, what, command)?));
    }
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let mut servers = BTreeMap::new();
    for server in &spec.servers {
        let (machine, task) = Machine::start(&rack, server);
        tasks.spawn(task);
        let bmc = bmc::start(&rack, server, &machine, &tasks, stop.clone()).await;
        let bmc = bmc.map_err(|source| Error::Bmc { server: server.name.clone(), source })?;
        servers.insert(server.name.clone(), Server { machine, bmc });
    }
    let servers = Arc::new(servers);
    let socket = rack.control_socket();
    // A socket of an earlier daemon is in the way; a missing one is as good.
    drop(std::fs::remove_file(&socket));
    let listener = UnixListener::bind(&socket).map_err(|source| Error::Control { source })?;
    tasks.spawn(listen(listener, servers.clone(), stop.clone()));
    tracing::info!(rack = rack.name, "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = helper_dies(&mut running) => {}
    }
    tracing::info!("stopping");
    let cuts = servers.values().map(|server| server.machine.cut());
    futures::future::join_all(cuts).await;
    stop.cancel();
    stop_helpers(running).await;
    drop(servers);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn start_helper(rack: &Rack, what: &'static str, command: Cmd) -> Result<tokio::process::Child, Error> {
    let log = rack.network_directory().join(format!("{what}.log"));
    let log = OpenOptions::new().create(true).append(true).open(log);
    let log = log.map_err(|source| Error::Log { what, source })?;
    let again = log.try_clone().map_err(|source| Error::Log { what, source })?;
    let child = command.spawn_into(Stdio::from(log), Stdio::from(again));
    let child = child.map_err(|source| Error::Helper { what, source })?;
    if let Some(pid) = child.id() {
        Process::of(pid)?.write(&rack.pid_file(what))?;
    }
    Ok(child)
}

/// Logs helpers that die; without them machines get no address, which nobody would understand later.
async fn helper_dies(running: &mut [(&'static str, tokio::process::Child)]) {
    let deaths = running.iter_mut().map(|(what, child)| Box::pin(async { (*what, child.wait().await) }));
    let ((what, status), ..) = futures::future::select_all(deaths).await;
    tracing::error!(
        what,
        ?status,
        "a program of the rack's network has ended; its log is beside its configuration"
    );
}

async fn stop_helpers(running: Vec<(&'static str, tokio::process::Child)>) {
    for (what, mut child) in running {
        let Some(process) = child.id().and_then(|pid| Process::of(pid).ok()) else { continue };
        if let Err(error) = process.stop(HELPER_GRACE).await {
            tracing::error!(%error, what, "it does not stop");
        }
        drop(child.wait().await);
    }
}

async fn listen(listener: UnixListener, servers: Servers, stop: CancellationToken) {
    let conversations = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(conversations.spawn(converse(stream, servers.clone()))),
            Err(error) => tracing::warn!(%error, "a control connection was not accepted"),
        }
    }
    conversations.close();
    conversations.wait().await;
}

async fn converse(stream: UnixStream, servers: Servers) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let answer = match serde_json::from_str::<Request>(&text) {
            Ok(request) => answer(&request, &servers).await,
            Err(error) => Answer::Refused { reason: format!("not a request: {error}") },
        };
        if let Err(error) = write.write_all(line(&answer).as_bytes()).await {
            return tracing::debug!(%error, "a control connection broke");
        }
    }
}

async fn answer(request: &Request, servers: &Servers) -> Answer {
    match request {
        Request::Status => {
            let servers = servers.iter().map(|(name, server)| {
                let (medium, boot_override) = server.bmc.settings();
                ServerNow { name: name.clone(), on: server.machine.is_on(), medium, boot_override }
            });
            Answer::Servers { servers: servers.collect() }
        }
        Request::Power { server, action } => match servers.get(server) {
            Some(server) => power(server, *action).await,
            None => Answer::Refused { reason: format!("the rack has no server `{server}`") },
        },
    }
}

async fn power(server: &Server, action: PowerAction) -> Answer {
    let machine = &server.machine;
    match action {
        PowerAction::On if machine.is_on() => {}
        PowerAction::On => machine.power_on(server.bmc.next_boot()).await,
        PowerAction::Cut => machine.cut().await,
        PowerAction::Reset => {
            machine.cut().await;
            machine.power_on(server.bmc.next_boot()).await;
        }
        PowerAction::Off => {
            machine.shut_down();
            if tokio::time::timeout(SHUTDOWN_LIMIT, machine.is_off()).await.is_err() {
                return Answer::Refused { reason: "the machine did not stop".into() };
            }
        }
    }
    Answer::Done
}

/// Logging of the daemon: its stderr is the rack's `daemon.log`.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ASHLAR_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    if subscriber.with_writer(std::io::stderr).try_init().is_err() {
        tracing::debug!("logging is set up already");
    }
}
