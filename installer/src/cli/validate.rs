//! `ashlar validate`.

use std::process::ExitCode;

use clap::Args;

use super::{Directory, Output, print_json};
use crate::failure::Failure;
use crate::machine_configs;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    directory: Directory,
}

impl Arguments {
    pub fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let checked = self.directory.open().read()?;
        let problems = checked.as_ref().err().map(Vec::as_slice).unwrap_or_default();
        match output {
            Output::Json => print_json(&problems)?,
            Output::Text => {
                for problem in problems {
                    println!("{problem}");
                }
            }
        }
        match &checked {
            Ok(configuration) => {
                let hosts = configuration.hosts().count();
                let configs = match configuration.machine_configs.len() {
                    0 => String::new(),
                    count => format!(", {count} machine configs"),
                };
                eprintln!(
                    "the configuration of {} is valid: {hosts} hosts{configs}",
                    configuration.install.name
                );
                let remarks = machine_configs::remarks(configuration);
                for remark in configuration.install.remarks.iter().chain(&remarks) {
                    eprintln!("note: {remark}");
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(problems) => {
                eprintln!("{} problems", problems.len());
                Ok(ExitCode::from(1))
            }
        }
    }
}
