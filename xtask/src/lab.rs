//! `cargo xtask lab`: from a fresh clone to a cluster on a virtual rack, and back to nothing.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::process::{Session, ashlar, output, succeeds};
use crate::{release, setup, workspace};

#[derive(Args)]
pub struct Arguments {
    /// Workers besides the three masters
    #[arg(long, default_value_t = 0)]
    workers: u8,
    /// Name of the rack
    #[arg(long, default_value = "lab")]
    name: String,
    /// End the rack and do nothing else
    #[arg(long)]
    down: bool,
    /// End the rack if it is there, then begin again
    #[arg(long)]
    fresh: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("lab")?;
    let name = &arguments.name;
    if arguments.down {
        return down(&session, name);
    }
    setup::ensure(&session)?;
    release::programs(&session)?;
    release::build(&session, 3)?;
    if arguments.fresh && is_up(name) {
        down(&session, name)?;
    }
    if is_up(name) {
        session.say(&format!("rack `{name}` is up; going on with it (--fresh begins again)"));
    } else {
        up(&session, name, arguments.workers)?;
    }
    install(&session, name)?;
    explain(&session, name);
    Ok(())
}

pub fn is_up(name: &str) -> bool {
    succeeds(&mut ashlar(["lab", "status", "--name", name]))
}

/// What an interrupted run left of a rack of this name goes first.
pub fn up(session: &Session, name: &str, workers: u8) -> Result<()> {
    let workers = workers.to_string();
    let up = ["lab", "up", "--fresh", "--name", name, "--workers", &workers];
    session.run("Starting the rack", "5 s", &mut ashlar(up))
}

pub fn down(session: &Session, name: &str) -> Result<()> {
    session.run("Ending the rack", "5 s", &mut ashlar(["lab", "down", "--name", name]))
}

/// Writes the configuration and installs, or goes on with an install.
pub fn install(session: &Session, name: &str) -> Result<()> {
    let folder = output(&mut ashlar(["lab", "config", "--name", name]))?;
    let program = workspace::ashlar();
    let program = program.to_str().context("the path of `ashlar` is not UTF-8")?;
    let create = [program, "create", "cluster", "--dir", &folder];
    session.run("Installing the cluster", "2 minutes", &mut exec(name, &create))
}

/// A command in the rack's administrator namespace.
pub fn exec(name: &str, command: &[&str]) -> Command {
    ashlar(["lab", "exec", "--name", name, "--"].iter().chain(command))
}

fn explain(session: &Session, name: &str) {
    let program = workspace::ashlar();
    let program = program.display();
    let option = if name == "lab" { String::new() } else { format!(" --name {name}") };
    session.say("the cluster runs");
    eprintln!(
        "
use it:
  {program} lab exec{option} -- kubectl get nodes -o wide
  {program} lab exec{option} -- kubectl get pods -A
  {program} lab status{option}                    servers, BMCs and how to log in there
  {program} lab console{option} master-1          what a server prints
  {program} lab power{option} master-1 cut        pull its plug; `on` gives it back

end it:
  cargo xtask lab --down{option}
"
    );
}
