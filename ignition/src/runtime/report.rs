//! How a failure is told: stage, entry, cause and remedy.

use std::error::Error;
use std::fmt;

use ashlar_model::bootstrap_api::FirstBootFailure;

/// Something that stopped the work. Holds no secret.
#[derive(Debug)]
pub struct Failure {
    /// `read slot`, `fetch`, `render`, `validate`, `plan`, `kargs`, `disks`, `mount`, `files`, `umount`, `finish`.
    pub stage: &'static str,
    /// The path, URL or device it happened to.
    pub entry: String,
    pub cause: String,
    pub remedy: String,
    /// The network or a server is the cause: the same may succeed later.
    pub may_pass: bool,
}

impl Failure {
    pub fn new(stage: &'static str, entry: impl fmt::Display, cause: &dyn Error, remedy: &str) -> Self {
        Self::because(stage, entry, chain(cause), remedy)
    }

    pub fn because(
        stage: &'static str,
        entry: impl fmt::Display,
        cause: impl Into<String>,
        remedy: &str,
    ) -> Self {
        let (entry, cause) = (entry.to_string(), cause.into());
        Self { stage, entry, cause, remedy: remedy.to_owned(), may_pass: false }
    }

    /// For the engine.
    pub fn told(&self) -> FirstBootFailure {
        FirstBootFailure {
            stage: self.stage.to_owned(),
            entry: self.entry.clone(),
            cause: self.cause.clone(),
            remedy: self.remedy.clone(),
            may_pass: self.may_pass,
        }
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
