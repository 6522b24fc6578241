//! `ashlar create cluster`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ashlar_model::event::What;
use clap::{Args, Subcommand};

use super::status::node_table;
use super::{Directory, Output, progress};
use crate::directory::InstallDirectory;
use crate::engine::disk::Consent;
use crate::engine::events::now_ms;
use crate::engine::report::{Span, critical_path, spans};
use crate::engine::{Engine, Options, cluster, steps};
use crate::failure::{Fails, Failure};
use crate::machine_configs;

#[derive(Subcommand)]
pub enum Command {
    /// Install the cluster, or go on with it: from powered-off servers to Ready nodes.
    Cluster(Arguments),
    /// Make boot media from a release: a full or a minimal ISO image, a folder for network boot.
    Media(super::create_media::Arguments),
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    directory: Directory,
    #[command(flatten)]
    engine: EngineArguments,
    /// Hosts whose disks may be overwritten though they hold data: names with commas, or `all`.
    #[arg(long, value_name = "HOSTS", default_value = "")]
    wipe: Consent,
    /// Minutes an installed host may take to become a Ready node.
    #[arg(long, value_name = "MINUTES", default_value_t = 20.0)]
    join_timeout: f64,
    /// Minutes the control plane may go without progress.
    #[arg(long, value_name = "MINUTES", default_value_t = 15.0)]
    pivot_timeout: f64,
    /// Write the masters' disks only when the bootstrap serves, for machines that share processors.
    #[arg(long)]
    write_after_serving: bool,
    /// Read every disk back after writing.
    #[arg(long)]
    verify_disks: bool,
}

/// What every run of the engine can be told.
#[derive(Args)]
pub struct EngineArguments {
    /// Address of this computer that BMCs and hosts are told; default: by route.
    #[arg(long, value_name = "ADDRESS")]
    serve_address: Option<IpAddr>,
    /// Release directory; default: the newest of the cache.
    #[arg(long, value_name = "DIR")]
    release: Option<PathBuf>,
    /// Public key (minisign) that must have signed the release; default: the one beside it.
    #[arg(long, value_name = "FILE")]
    release_key: Option<PathBuf>,
    /// Hosts that get the minimal medium and fetch the rest over the machine network, for BMCs whose virtual media are
    /// slow: names with commas, or `all`.
    #[arg(long, value_name = "HOSTS", default_value = "")]
    minimal_media: Consent,
    /// Minutes a host may take from reset to its agent's first word.
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    boot_timeout: f64,
}

/// Journal key: when the install ended, and after how many seconds.
const INSTALLED: &str = "installed";

impl EngineArguments {
    pub fn options(&self) -> Options {
        Options {
            consent: Consent::Nobody,
            serve_address: self.serve_address,
            release: self.release.clone(),
            release_key: self.release_key.clone(),
            minimal_media: self.minimal_media.clone(),
            boot_timeout: minutes(self.boot_timeout),
            join_timeout: minutes(20.0),
            pivot_timeout: minutes(15.0),
            write_after_serving: false,
            verify_disks: false,
        }
    }
}

impl Arguments {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let directory = self.directory.open();
        let configuration = directory.configuration()?;
        configuration.bootstrap()?;
        let options = Options {
            consent: self.wipe.clone(),
            join_timeout: minutes(self.join_timeout),
            pivot_timeout: minutes(self.pivot_timeout),
            write_after_serving: self.write_after_serving,
            verify_disks: self.verify_disks,
            ..self.engine.options()
        };
        let engine = Engine::open(directory.clone(), configuration, options, "ashlar create cluster", false)?;
        let installed: Option<(u64, f64)> =
            engine.journal.get(INSTALLED).failing(|| "reading the journal".into())?;
        if let Some((at_ms, _)) = installed {
            steps::run(&engine, steps::RENEW).await?;
            already(&engine, &directory, at_ms);
            return Ok(ExitCode::SUCCESS);
        }
        machine_configs::unchanged(&engine)?;
        stop_on_signal(&engine);
        let display = progress::show(&engine, output);
        let end = steps::run(&engine, steps::CREATE).await;
        let end = match end {
            Ok(()) => finish(&engine),
            Err(failure) => Err(failure),
        };
        engine.stop.cancel();
        display.end().await;
        end?;
        if output == Output::Text {
            report(&engine, &directory).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub fn minutes(minutes: f64) -> Duration {
    Duration::from_secs_f64((minutes * 60.0).max(1.0))
}

/// An interrupt ends the run cleanly; the next one goes on.
pub fn stop_on_signal(engine: &Arc<Engine>) {
    let stop = engine.stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
}

fn finish(engine: &Engine) -> Result<(), Failure> {
    let events = engine.journal.events().failing(|| "reading the journal".into())?;
    let begun = events.first().map_or_else(now_ms, |event| event.time_ms);
    let seconds = now_ms().saturating_sub(begun) as f64 / 1000.0;
    engine
        .journal
        .put(INSTALLED, &(now_ms(), seconds))
        .failing(|| "recording the end of the install".into())?;
    engine.events.emit(None, What::Installed { seconds });
    Ok(())
}

fn already(engine: &Engine, directory: &InstallDirectory, at_ms: u64) {
    let install = &engine.configuration.install;
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or_default()).unwrap_or_default();
    eprintln!("{} is installed already (since {at}); nothing was done", install.name);
    eprintln!("  API         https://{}:6443", install.api_vip);
    eprintln!("  kubeconfig  {}", directory.kubeconfig().display());
    eprintln!("hint: `ashlar status` shows its nodes; `ashlar destroy cluster` takes it away");
}

/// Nodes, where to go, and where the time went.
async fn report(engine: &Engine, directory: &InstallDirectory) -> Result<(), Failure> {
    let install = &engine.configuration.install;
    let path = directory.kubeconfig();
    let text = std::fs::read_to_string(&path).failing(|| format!("reading {}", path.display()))?;
    let nodes = cluster::nodes(&cluster::client(&text).await?).await?;
    let events = engine.journal.events().failing(|| "reading the journal".into())?;
    let spans = spans(&events);
    let total: Option<(u64, f64)> = engine.journal.get(INSTALLED).failing(|| "reading the journal".into())?;
    println!("\n{}", node_table(&nodes));
    println!("API         https://{}:6443", install.api_vip);
    println!("kubeconfig  {}", std::path::absolute(&path).unwrap_or(path).display());
    println!("\ntime per phase");
    // The install as a whole holds the others.
    let parts: Vec<Span> = spans.into_iter().filter(|span| span.step != "install").collect();
    for span in parts.iter().filter(|span| span.seconds() >= 0.1) {
        println!("  {}", line(span));
    }
    println!("\ncritical path");
    for span in critical_path(&parts) {
        println!("  {}", line(span));
    }
    println!("\ninstalled in {:.1} s", total.map_or(0.0, |(_, seconds)| seconds));
    Ok(())
}

fn line(span: &Span) -> String {
    let who = span.host.as_deref().unwrap_or("cluster");
    format!("{:>7.1} s  {who:<12}  {}", span.seconds(), span.title)
}
