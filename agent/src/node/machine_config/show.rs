//! `ashlar node config`: the machine config of this machine, for the operator at its console. Works without the cluster.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::history::Record;
use super::journal::{Journal, Stage, Store};
use super::{drift, kept, list};

#[derive(Subcommand)]
pub enum Command {
    /// Say which config this machine has, what is being changed, and what was changed by hand.
    Status {
        /// Print for programs.
        #[arg(long)]
        json: bool,
    },
    /// Say what this machine was changed to, when, and how that ended; the newest is last.
    History {
        /// Print for programs.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: &Command) -> anyhow::Result<()> {
    let root = Path::new("/");
    let store = Store::open(root)?;
    match command {
        Command::Status { json } => status(root, &store, *json),
        Command::History { json } => history(&store.history().read()?, *json),
    }
}

fn status(root: &Path, store: &Store, json: bool) -> anyhow::Result<()> {
    let Some(current) = store.current()? else {
        anyhow::bail!(
            "no machine config was applied to this machine: it was not installed by Ashlar, or is being installed"
        )
    };
    let (journal, failure) = (store.journal()?, store.failure()?);
    let kept = kept(&current).map_err(|problems| anyhow::anyhow!(list(&problems)))?;
    let differing = drift::Watch::new(root).differing(&kept);
    if json {
        let text =
            json!({"config": current.name, "changing": journal, "left": failure, "differing": differing});
        println!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    println!("{}\n{} files, {} units", current.name, kept.entries.len(), kept.units.len());
    if let Some(journal) = journal.filter(|journal| !journal.is_over(&current.name)) {
        println!("{}", of_journal(&journal));
    }
    if let Some(failure) = failure {
        println!("left: {}", failure.reason);
    }
    for path in differing {
        println!("{path} is not what the config says: it will be written again");
    }
    Ok(())
}

fn of_journal(journal: &Journal) -> String {
    let step = match journal.stage {
        Stage::Apply => "is being applied",
        Stage::Reboot { .. } => "is applied with this machine's restart",
    };
    match &journal.failure {
        None => format!("{} {step}", journal.to),
        Some(failure) => format!("going back: {} {step}, because {}", journal.to, failure.reason),
    }
}

fn history(records: &[Record], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(records)?);
        return Ok(());
    }
    if records.is_empty() {
        println!("nothing was changed since the install");
    }
    for record in records {
        let end = record.left.as_ref().map_or("kept".to_owned(), |why| format!("left: {why}"));
        println!("{} to {}  {}  {end}", record.began, record.ended, record.to);
    }
    Ok(())
}
