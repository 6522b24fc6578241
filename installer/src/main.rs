//! `ashlar`: installs clusters on bare metal. Parses, sets up logging, calls, reports; nothing else.

mod cli;
mod directory;
mod engine;
mod failure;
mod plan;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A call to a BMC that is still under way must not keep an interrupted command alive.
const LAST_CALLS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let daemon = std::env::args().nth(1).is_some_and(|first| first == ashlar_lab::DAEMON_ARGUMENT);
    let quiet = if daemon { "info" } else { "error" };
    let filter = EnvFilter::try_from_env("ASHLAR_LOG").unwrap_or_else(|_| EnvFilter::new(quiet));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(!daemon).init();
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting: {error}");
            return ExitCode::from(2);
        }
    };
    let end = runtime.block_on(cli::Cli::parse().run());
    runtime.shutdown_timeout(LAST_CALLS);
    match end {
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
