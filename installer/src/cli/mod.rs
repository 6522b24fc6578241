//! The command line: one file per subcommand, each with its arguments and `run`. Data goes to stdout, talk to stderr.

mod create;
mod create_media;
mod destroy;
mod explain;
mod ignition;
mod lab;
mod media;
mod plan;
mod progress;
mod release;
mod status;
mod table;
mod update;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::directory::InstallDirectory;
use crate::failure::{Fails, Failure};

/// Installs Kubernetes clusters on bare metal: drives BMCs over Redfish virtual media, resumes after any interruption.
#[derive(Parser)]
#[command(name = "ashlar", version, propagate_version = true)]
pub struct Cli {
    /// Form of what is printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// Which install.
#[derive(Args)]
pub struct Directory {
    /// Install directory: holds install-config.yaml and agent-config.yaml.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

impl Directory {
    pub fn open(&self) -> InstallDirectory {
        InstallDirectory::new(&self.dir)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration: every problem at once.
    Validate(validate::Arguments),
    /// Describe a field of the configuration.
    Explain(explain::Arguments),
    /// Say what an install would do, before anything is touched.
    Plan(plan::Arguments),
    /// Install; make boot media.
    #[command(subcommand)]
    Create(create::Command),
    /// Take an install away.
    #[command(subcommand)]
    Destroy(destroy::Command),
    /// Say how far an install is.
    Status(status::Arguments),
    /// Judge, show and carry out Ignition configurations.
    #[command(subcommand)]
    Ignition(ashlar_ignition::runtime::Tool),
    /// Build, show and check releases.
    #[command(subcommand)]
    Release(release::Command),
    /// Look at boot media, change them in place, check and serve them.
    #[command(subcommand)]
    Media(media::Command),
    /// Take a cluster to another release.
    #[command(subcommand)]
    Update(update::Command),
    /// Virtual racks with virtual BMCs on this computer.
    #[command(subcommand)]
    Lab(lab::Command),
    /// What `lab up` leaves running.
    #[command(name = ashlar_lab::DAEMON_ARGUMENT, hide = true)]
    LabDaemon {
        /// The rack's directory.
        directory: PathBuf,
    },
}

impl Cli {
    /// # Errors
    /// What ended the command.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let output = self.output;
        match self.command {
            Command::Validate(arguments) => arguments.run(output),
            Command::Explain(arguments) => arguments.run(output),
            Command::Plan(arguments) => arguments.run(output).await,
            Command::Create(create::Command::Cluster(arguments)) => arguments.run(output).await,
            Command::Create(create::Command::Media(arguments)) => arguments.run(output),
            Command::Destroy(destroy::Command::Cluster(arguments)) => arguments.run(output).await,
            Command::Status(arguments) => arguments.run(output).await,
            Command::Ignition(tool) => ignition::run(tool, output).await,
            Command::Release(command) => command.run(output).await,
            Command::Media(command) => command.run(output).await,
            Command::Update(command) => command.run(output).await,
            Command::Lab(command) => command.run(output).await,
            Command::LabDaemon { directory } => {
                let end = ashlar_lab::daemon::run(&directory).await;
                end.failing(|| format!("running the rack in {}", directory.display()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Prints a value for programs.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::environment("writing JSON").because(error))?;
    println!("{text}");
    Ok(())
}
