//! How a failure is told on the console: stage, entry, cause and remedy.

use std::error::Error;
use std::fmt;

/// Something that stopped the work. Holds no secret.
#[derive(Debug)]
pub struct Failure {
    /// `read slot`, `fetch`, `render`, `validate`, `plan`, `apply`, `finish`.
    pub stage: &'static str,
    /// The path, URL or device it happened to.
    pub entry: String,
    pub cause: String,
    pub remedy: String,
}

impl Failure {
    pub fn new(stage: &'static str, entry: impl fmt::Display, cause: &dyn Error, remedy: &str) -> Self {
        Self { stage, entry: entry.to_string(), cause: chain(cause), remedy: remedy.to_owned() }
    }
}

/// The error and what caused it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        source = error.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stage:  {}", self.stage)?;
        writeln!(f, "entry:  {}", self.entry)?;
        writeln!(f, "cause:  {}", self.cause)?;
        write!(f, "remedy: {}", self.remedy)
    }
}

impl Error for Failure {}
