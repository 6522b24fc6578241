//! `ashlar explain`.

use std::process::ExitCode;

use ashlar_model::config;
use clap::Args;

use super::{Output, print_json};
use crate::failure::Failure;

#[derive(Args)]
pub struct Arguments {
    /// Path of a field, e.g. platform.baremetal.hosts.bmc; without one, the fields of both files.
    #[arg(default_value = "")]
    field: String,
}

impl Arguments {
    pub fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let text = config::explain(&self.field).map_err(|error| {
            Failure::user(format!("no field is called `{}`", error.path)).hint(error.hint)
        })?;
        match output {
            Output::Text => print!("{text}"),
            Output::Json => print_json(&config::json_schema())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
