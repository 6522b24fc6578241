//! `ashlar destroy cluster`.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::create::{EngineArguments, stop_on_signal};
use super::{Directory, Output, progress};
use crate::engine::handle::Record;
use crate::engine::{Engine, journal, steps};
use crate::failure::{Fails, Failure};

#[derive(Subcommand)]
pub enum Command {
    /// Wipe the disks of every host, switch the hosts off, forget the install.
    Cluster(Arguments),
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    directory: Directory,
    #[command(flatten)]
    engine: EngineArguments,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let directory = self.directory.open();
        let configuration = directory.configuration()?;
        let name = configuration.install.name.clone();
        if !directory.journal_folder().join(journal::FILE).exists() {
            eprintln!(
                "nothing of {name} was installed from {}; nothing was done",
                directory.path().display()
            );
            return Ok(ExitCode::SUCCESS);
        }
        let hosts: Vec<&str> = configuration.hosts().map(|host| host.name.as_str()).collect();
        consent(self.yes, &name, &hosts)?;
        let options = self.engine.options();
        let engine = Engine::open(directory.clone(), configuration, options, "ashlar destroy cluster", true)?;
        stop_on_signal(&engine);
        let display = progress::show(&engine, output);
        let end = steps::run(&engine, steps::DESTROY).await;
        engine.stop.cancel();
        display.end().await;
        end?;
        let done = summary(&engine)?;
        let journal = engine.journal.clone();
        drop(engine);
        let archive = retire(&directory, journal).await?;
        eprint!("{done}");
        eprintln!("the journal is kept in {}; its key and the credentials are gone", archive.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn consent(yes: bool, name: &str, hosts: &[&str]) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let what = format!("this wipes the disks of {} and ends the cluster {name}", hosts.join(", "));
    if !std::io::stdin().is_terminal() {
        return Err(Failure::user(format!("{what}; nothing was done")).hint("--yes says that you mean it"));
    }
    eprint!("{what}.\nType the cluster's name to go on: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).failing(|| "reading your answer".into())?;
    if answer.trim() == name { Ok(()) } else { Err(Failure::user("that is not its name; nothing was done")) }
}

fn summary(engine: &Engine) -> Result<String, Failure> {
    let mut text = String::new();
    for handle in engine.hosts.values() {
        let key = format!("host/{}", handle.name());
        let installed: Option<Record> = engine.journal.get(&key).failing(|| "reading the journal".into())?;
        let disk = installed.filter(|record| record.touched).and_then(|record| record.disk);
        let what = match disk {
            Some(disk) => format!("{} wiped and read back, off, no medium", disk.name),
            None => "disk never written, off, no medium".into(),
        };
        text += &format!("  {:<12}  {what}\n", handle.name());
    }
    Ok(text)
}

/// Moves the journal aside under the first free number; credentials of a cluster that is gone are removed.
async fn retire(
    directory: &crate::directory::InstallDirectory,
    journal: journal::Journal,
) -> Result<std::path::PathBuf, Failure> {
    let folder = directory.journal_folder();
    let number = (1..).find(|number| !folder.join(format!("destroyed-{number}")).exists()).unwrap_or(1);
    let archive =
        journal.archive(&format!("destroyed-{number}")).failing(|| "putting the journal aside".into())?;
    for path in [directory.status_file(), folder.join("holder")] {
        if path.exists() {
            std::fs::remove_file(&path).failing(|| format!("removing {}", path.display()))?;
        }
    }
    if directory.auth().exists() {
        let auth = directory.auth();
        std::fs::remove_dir_all(&auth).failing(|| format!("removing {}", auth.display()))?;
    }
    Ok(archive)
}
