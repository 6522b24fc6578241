//! `cargo xtask test`: everything that CI runs.

use anyhow::Result;
use clap::Args;

use crate::process::{Session, cargo};
use crate::{check, release, setup};

#[derive(Args)]
pub struct Arguments {
    /// Only what needs no rack: rules, unit tests
    #[arg(long, conflicts_with = "whole")]
    unit: bool,
    /// Also the suite that installs a cluster on a rack (15 minutes more)
    #[arg(long)]
    whole: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("test")?;
    setup::ensure(&session)?;
    check::structure(&session)?;
    let unit = ["test", "--workspace", "--exclude", "ashlar-tests"];
    session.run("Unit tests", "8 minutes the first time", &mut cargo(unit))?;
    if arguments.unit {
        return Ok(());
    }
    release::programs(&session)?;
    if !arguments.whole {
        return Ok(());
    }
    release::build(&session, 3)?;
    // One rack at a time: the machines share two cores.
    let whole = ["test", "-p", "ashlar-tests", "--", "--test-threads", "1", "--nocapture"];
    session.run("Whole-system suite", "15 minutes", &mut cargo(whole))
}
