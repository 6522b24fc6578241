//! The program on a host: discovers and installs in the live system, brings images into containerd, keeps an
//! installed node as it was ordered to be.

mod backoff;
mod console;
mod disk;
mod durable;
mod failure;
mod images;
mod live;
mod node;
mod os;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(name = "ashlar-agent", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// In the live system: enrol with the engine and do its tasks.
    Live,
    /// On an installed machine: keep it as ordered.
    Node {
        #[command(subcommand)]
        console: Option<Console>,
    },
    /// Import the container images that the operating system carries.
    ImportImages,
    /// Make a file a disk with the operating system and nobody's configuration.
    WriteImage(WriteImage),
}

#[derive(Args)]
struct WriteImage {
    /// The release's disk image; its manifest, `disk.json`, lies beside it
    image: PathBuf,
    /// Is made, and must not exist
    file: PathBuf,
    /// In bytes
    #[arg(long)]
    size: u64,
}

/// What an operator at the machine asks.
#[derive(Subcommand)]
enum Console {
    /// The operating system: what is there, update, rollback.
    #[command(subcommand)]
    Os(os::Command),
    /// The machine config: which it is, what is being changed, what was.
    #[command(subcommand)]
    Config(node::machine_config::show::Command),
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // The journal adds the time.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_ansi(false)
        .init();
    // Fails only when a provider is installed already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let ended = match &arguments.command {
        Command::Node { console: Some(Console::Os(command)) } => os::run(command),
        Command::Node { console: Some(Console::Config(command)) } => node::machine_config::show::run(command),
        command => run(command),
    };
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Live => live::run().await,
        Command::Node { .. } => node::run().await,
        Command::ImportImages => images::import().await,
        Command::WriteImage(WriteImage { image, file, size }) => {
            let report: disk::Report = Arc::new(|_| true);
            disk::install::to_file(image.clone(), file, *size, &report).await?;
            Ok(())
        }
    }
}
