//! `ashlar-ignition`: applies the first-boot configuration of an installed disk, and shows what it would do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ashlar_host::cmd::Cmd;
use ashlar_ignition::runtime::{
    Failure, FirstBoot, Machine, Outcome, Stage, Tool, Went, attend, first_boot, network, run, tell,
};
use clap::{Args, Parser, Subcommand};

/// Tells the caller to restart the machine: the kernel arguments were changed.
const RESTART: u8 = 10;

/// Ignition configurations (spec 3.0 to 3.5) on a root file system.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Print for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the configuration in the config slot, unless that was done before. Exit code 10 asks for a restart.
    FirstBoot {
        /// The root of the installed system, with its /etc and /var in place.
        #[arg(long)]
        sysroot: PathBuf,
        /// The config slot: a device or a file, and the byte at which the slot begins.
        #[arg(long, value_name = "PATH[:OFFSET]")]
        slot: String,
    },
    /// Write the network settings in the config slot where NetworkManager reads them.
    Network {
        /// The config slot, as for `first-boot`.
        #[arg(long, value_name = "PATH[:OFFSET]")]
        slot: String,
        /// For example /run/NetworkManager/system-connections.
        #[arg(long)]
        into: PathBuf,
    },
    /// One stage of the first boot, in the initramfs; what it finds out is handed on below /run.
    Stage {
        stage: Stage,
        #[command(flatten)]
        place: Place,
    },
    /// Tell every console why the first boot stopped, and wait for somebody to say how it goes on.
    Emergency,
    #[command(flatten)]
    Tool(Tool),
}

/// Where things are; what is not given is where an installed disk has it.
#[derive(Args, Default)]
struct Place {
    /// Where the root of the installed system is, or will be, mounted.
    #[arg(long, default_value = "/sysroot")]
    sysroot: PathBuf,
    /// The config slot: a device or a file, and the byte at which the slot begins.
    #[arg(long, value_name = "PATH[:OFFSET]", default_value = "/dev/ashlar/config-slot")]
    slot: String,
    /// The boot partition: a device, or the directory that it is mounted at.
    #[arg(long)]
    boot: Option<PathBuf>,
    /// The partition of /var.
    #[arg(long)]
    var: Option<PathBuf>,
    /// What one stage hands to the next; memory that only root reads.
    #[arg(long)]
    run: Option<PathBuf>,
}

impl Place {
    fn machine(&self) -> Machine {
        let (slot, offset) = split_offset(&self.slot);
        let usual = Machine::new(self.sysroot.clone(), slot, offset, say);
        Machine {
            boot: self.boot.clone().unwrap_or_else(|| usual.boot.clone()),
            var: self.var.clone().unwrap_or_else(|| usual.var.clone()),
            run: self.run.clone().unwrap_or_else(|| usual.run.clone()),
            ..usual
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Arguments::parse();
    let ended = match args.command {
        Command::FirstBoot { sysroot, slot } => run_first_boot(sysroot, &slot).await,
        Command::Network { slot, into } => run_network(&slot, &into),
        Command::Stage { stage, place } => run_stage(stage, &place).await,
        Command::Emergency => attend_here().await,
        Command::Tool(tool) => tool.run(args.json).await,
    };
    ended.unwrap_or_else(|error| {
        match error.downcast_ref::<Failure>() {
            Some(failure) => eprintln!("ashlar-ignition failed\n{failure}"),
            None => eprintln!("error: {error:#}"),
        }
        ExitCode::from(1)
    })
}

async fn run_first_boot(sysroot: PathBuf, slot: &str) -> anyhow::Result<ExitCode> {
    let place = Place { sysroot: sysroot.clone(), slot: slot.to_owned(), ..Place::default() };
    let (slot, offset) = split_offset(slot);
    let outcome = match first_boot(&FirstBoot { sysroot, slot, offset, say }).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            tell(&place.machine(), &failure).await;
            return Err(failure.into());
        }
    };
    match outcome {
        Outcome::NoConfiguration => say("the config slot holds no configuration; nothing to do"),
        Outcome::AlreadyApplied => say("the configuration was applied before; nothing to do"),
        Outcome::Applied => say("the first boot is done"),
        Outcome::Restart => return Ok(ExitCode::from(RESTART)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_stage(stage: Stage, place: &Place) -> anyhow::Result<ExitCode> {
    let machine = place.machine();
    match run(stage, &machine).await {
        Ok(Went::On | Went::NothingToDo | Went::NeedsNetwork) => Ok(ExitCode::SUCCESS),
        Ok(Went::Restart) => restart().await,
        Err(failure) => {
            tell(&machine, &failure).await;
            Err(failure.into())
        }
    }
}

/// The unit does not end before the machine does: what comes after it is for the next boot.
async fn restart() -> anyhow::Result<ExitCode> {
    Cmd::new("systemctl").args(["--force", "reboot"]).run().await?;
    std::future::pending().await
}

async fn attend_here() -> anyhow::Result<ExitCode> {
    let place =
        Place { sysroot: "/sysroot".into(), slot: "/dev/ashlar/config-slot".to_owned(), ..Place::default() };
    attend(&place.machine()).await.map(|()| ExitCode::SUCCESS)
}

fn run_network(slot: &str, into: &Path) -> anyhow::Result<ExitCode> {
    let (slot, offset) = split_offset(slot);
    let written = network(&slot, offset, into)?;
    say(&format!("{written} network settings come from the config slot"));
    Ok(ExitCode::SUCCESS)
}

/// `PATH:OFFSET`; a path may contain colons itself (`/dev/disk/by-path/…`).
fn split_offset(slot: &str) -> (PathBuf, u64) {
    match slot.rsplit_once(':').map(|(path, offset)| (path, offset.parse::<u64>())) {
        Some((path, Ok(offset))) if !Path::new(slot).exists() => (path.into(), offset),
        _ => (slot.into(), 0),
    }
}

fn say(text: &str) {
    eprintln!("ashlar-ignition: {text}");
}
