//! Developer commands: `cargo xtask setup|check|test|lab|cold|bench|release|docs`. Depends on nothing of ours and on no
//! system library, because it installs what the rest needs before the rest is compiled.

mod bench;
mod check;
mod cold;
mod docs;
mod lab;
mod process;
mod release;
mod reproducible;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, tests and demonstrates Ashlar.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and the lab need: Debian packages, Go when it is missing
    Setup,
    /// Check the rules of the house: dependencies, processes, file lengths, formatting, clippy
    Check,
    /// Set up, build, run the unit tests, build a release, run the whole-system suite
    Test(test::Arguments),
    /// Install a cluster on a virtual rack, from nothing to `kubectl`
    Lab(lab::Arguments),
    /// Prove that a fresh clone works on a fresh Debian with nothing cached
    Cold(cold::Arguments),
    /// Measure an install and compare it with what is allowed
    Bench(bench::Arguments),
    /// Build the programs and a release
    Release(release::Arguments),
    /// Write the pages of docs/ that are made from the code
    Docs,
}

fn main() -> ExitCode {
    let end = match Arguments::parse().command {
        Command::Setup => setup::run(),
        Command::Check => check::run(),
        Command::Test(arguments) => test::run(&arguments),
        Command::Lab(arguments) => lab::run(&arguments),
        Command::Cold(arguments) => cold::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Release(arguments) => release::run(&arguments),
        Command::Docs => docs::run(),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
