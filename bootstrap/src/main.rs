//! `ashlar-bootstrap`: the bootstrap machine's program.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "ashlar-bootstrap", version, about = "Ashlar's temporary control plane")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the temporary control plane from its bundle, pivots to the masters and stops it
    Run,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).with_ansi(false).init();
    let Arguments { command: Command::Run } = Arguments::parse();
    match ashlar_bootstrap::run::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
