//! `cargo xtask bench`: an install on a fresh rack, measured against what is allowed.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process::Session;
use crate::{lab, release, setup};

/// From powered-off servers to three Ready masters with the bootstrap gone.
const INSTALL_SECONDS: f64 = 180.0;
const MEDIUM_BYTES: u64 = 1 << 30;

#[derive(Args)]
pub struct Arguments {
    /// Installs to measure; the slowest counts
    #[arg(long, default_value_t = 1)]
    runs: u32,
}

/// Name of the rack, so that somebody's lab is not in the way of more than its networks.
const RACK: &str = "bench";

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("bench")?;
    setup::ensure(&session)?;
    release::programs(&session)?;
    let folder = release::build(&session, 3)?;
    let medium = size(&folder.join("ashlar.iso"))?;
    let mut slowest = 0.0_f64;
    for run in 1..=arguments.runs {
        if lab::is_up(RACK) {
            lab::down(&session, RACK)?;
        }
        lab::up(&session, RACK, 0)?;
        let start = Instant::now();
        let end = lab::install(&session, RACK);
        slowest = slowest.max(start.elapsed().as_secs_f64());
        lab::down(&session, RACK)?;
        end?;
        session.say(&format!("run {run}: {:.1} s", start.elapsed().as_secs_f64()));
    }
    println!("{:<48}{:>10}{:>12}{:>8}", "figure", "measured", "allowed", "ratio");
    let seconds = row("create cluster (s)", slowest, INSTALL_SECONDS);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let size = row("medium (MiB)", mebibytes(medium), mebibytes(MEDIUM_BYTES));
    if seconds && size { Ok(()) } else { bail!("a figure is above what is allowed") }
}

fn row(name: &str, measured: f64, allowed: f64) -> bool {
    println!("{name:<48}{measured:>10.1}{allowed:>12.1}{:>8.2}", measured / allowed);
    measured <= allowed
}

fn size(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| format!("reading {}", path.display()))?.len())
}
