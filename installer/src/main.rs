//! `ashlar`: installs clusters on bare metal. Parses, sets up logging, calls, reports; nothing else.

mod cli;
mod directory;
mod engine;
mod failure;
mod machine_configs;
mod plan;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let daemon = std::env::args().nth(1).is_some_and(|first| first == ashlar_lab::DAEMON_ARGUMENT);
    let quiet = if daemon { "info" } else { "error" };
    let filter = EnvFilter::try_from_env("ASHLAR_LOG").unwrap_or_else(|_| EnvFilter::new(quiet));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(!daemon).init();
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::Cli::parse().run().await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", failure.cause());
            for hint in failure.hints() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}
