//! Why a task failed, in the words that the operator reads: phase, cause, hint.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use ashlar_model::agent_api::TaskResult;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub phase: &'static str,
    pub cause: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(phase: &'static str, cause: impl Into<String>) -> Self {
        Self { phase, cause: cause.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For `map_err`: the whole chain of an error as the cause.
    pub fn during<E: Error>(phase: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::new(phase, chain(&error))
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.phase, self.cause)?;
        self.hint.iter().try_for_each(|hint| write!(out, "; {hint}"))
    }
}

impl Error for Failure {}

impl From<Failure> for TaskResult {
    fn from(failure: Failure) -> Self {
        Self::Failed { phase: failure.phase.to_owned(), cause: failure.cause, hint: failure.hint }
    }
}

/// An error and what caused it on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
