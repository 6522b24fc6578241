//! `ashlar ignition`: the same commands as those of `ashlar-ignition`.

use std::process::ExitCode;

use ashlar_ignition::runtime::Tool;

use super::Output;
use crate::failure::Failure;

/// # Errors
/// What is wrong with the configuration, or could not be read, fetched or done.
pub async fn run(tool: Tool, output: Output) -> Result<ExitCode, Failure> {
    tool.run(output == Output::Json).await.map_err(|error| Failure::user(format!("{error:#}")))
}
