//! `cargo xtask release`: the programs, then a release of them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::process::{Session, ashlar, cargo, output};
use crate::{setup, workspace};

#[derive(Args)]
pub struct Arguments {
    /// zstd level of the medium: 3 for speed, 19 for publishing
    #[arg(long, default_value_t = 3)]
    compression: u32,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("release")?;
    setup::ensure(&session)?;
    programs(&session)?;
    let small = ["build", "--profile", "initramfs", "--package", "ashlar-ignition"];
    session.run(
        "Compiling what is in every initramfs, small",
        "4 minutes the first time",
        &mut cargo(small),
    )?;
    let ignition = workspace::root().join("target/initramfs/ashlar-ignition");
    println!("{}", build_with(&session, arguments.compression, Some(&ignition))?.display());
    Ok(())
}

/// Compiles our programs.
pub fn programs(session: &Session) -> Result<()> {
    // All packages: a choice of them would give some dependencies other features, and compile them anew.
    session.run("Compiling Ashlar", "5 minutes the first time", &mut cargo(["build", "--workspace"]))
}

/// Builds the release, or finds that it is there. Returns its folder.
pub fn build(session: &Session, compression: u32) -> Result<PathBuf> {
    build_with(session, compression, None)
}

fn build_with(session: &Session, compression: u32, ignition: Option<&Path>) -> Result<PathBuf> {
    let level = compression.to_string();
    let mut command = ashlar(["release", "build", "--compression", &level]);
    if let Some(ignition) = ignition {
        command.arg("--ignition").arg(ignition);
    }
    session.run("Building the release", "25 minutes the first time, 1 after that", &mut command)?;
    let shown = output(&mut ashlar(["release", "show"]))?;
    Ok(PathBuf::from(shown.lines().next().unwrap_or_default()))
}
