//! What ends a command: exit code, what happened, to what, the chain of causes, and the next thing to try.
//!
//! Nothing here prints; `main` does, once.

use std::error::Error;

/// What the exit code says (house rule: 0 done).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The user must change something: a file, a password, a consent.
    UserMustAct = 1,
    /// The environment or this program is broken.
    Environment = 2,
    /// Something that should have happened did not, in its time.
    TimedOut = 3,
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    pub exit: Exit,
    pub what: String,
    pub hint: Option<String>,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub fn user(what: impl Into<String>) -> Self {
        Self { exit: Exit::UserMustAct, what: what.into(), hint: None, source: None }
    }

    pub fn environment(what: impl Into<String>) -> Self {
        Self { exit: Exit::Environment, ..Self::user(what) }
    }

    pub fn timed_out(what: impl Into<String>) -> Self {
        Self { exit: Exit::TimedOut, ..Self::user(what) }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What happened and why, in one line.
    pub fn cause(&self) -> String {
        chain(self)
    }

    /// What to try next: its own hint, and those of the errors below.
    pub fn hints(&self) -> Vec<String> {
        let mut all: Vec<String> = self.hint.iter().cloned().collect();
        all.extend(hints(self).into_iter().filter(|hint| self.hint.as_ref() != Some(hint)));
        all
    }

    /// One failure for several hosts: each with its cause, all hints once.
    pub fn several(mut failures: Vec<Self>) -> Self {
        if failures.len() == 1 {
            return failures.remove(0);
        }
        let exit = failures.iter().map(|failure| failure.exit).max().unwrap_or(Exit::Environment);
        let lines: String = failures.iter().map(|failure| format!("\n  {}", failure.cause())).collect();
        let mut hints: Vec<String> = failures.iter().flat_map(Self::hints).collect();
        hints.dedup();
        let hint = (!hints.is_empty()).then(|| hints.join("\nhint: "));
        Self { exit, what: format!("{} problems:{lines}", failures.len()), hint, source: None }
    }
}

/// `doing a: doing b: cause`. An error that repeats its source says it once; hints are left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        let part = part.split("\nhint: ").next().unwrap_or_default().trim();
        if text.is_empty() {
            part.clone_into(&mut text);
        } else if !text.ends_with(part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}

/// Hints that the errors of a chain carry in their own texts (`\nhint: …`).
pub fn hints(error: &dyn Error) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        for hint in error.to_string().split("\nhint: ").skip(1) {
            if !found.iter().any(|known| known == hint) {
                found.push(hint.trim().to_owned());
            }
        }
        next = error.source();
    }
    found
}

/// Turns a library's error into a failure of the environment.
pub trait Fails<T> {
    /// `doing` is a gerund phrase with its object.
    fn failing(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Fails<T> for Result<T, E> {
    fn failing(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::environment(doing()).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_inside_error_texts_are_taken_apart() {
        let failure = Failure::environment("doing x").because("it is gone\nhint: get it again").hint("mine");
        assert_eq!(failure.cause(), "doing x: it is gone");
        assert_eq!(failure.hints(), ["mine", "get it again"]);
    }

    #[test]
    fn several_failures_keep_every_cause_and_the_worst_exit_code() {
        let failure = Failure::several(vec![
            Failure::user("disk of a").because("no match").hint("change the hints"),
            Failure::timed_out("host b never reported").hint("change the hints"),
        ]);
        assert_eq!(failure.to_string(), "2 problems:\n  disk of a: no match\n  host b never reported");
        assert_eq!((failure.exit, failure.hint.as_deref()), (Exit::TimedOut, Some("change the hints")));
    }
}
