//! One thing that is wrong in a configuration: where it stands, what was found, what is allowed, what to do.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// `platform.baremetal.hosts[0].bmc.address`; `.` is the whole file.
    pub path: String,
    /// The value as written; never a secret.
    pub found: String,
    pub rule: String,
    /// The next thing to try; may be empty.
    pub hint: String,
}

impl Problem {
    pub fn new(path: impl Into<String>, found: impl fmt::Display, rule: impl Into<String>) -> Self {
        Self { path: path.into(), found: found.to_string(), rule: rule.into(), hint: String::new() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (found {})", self.path, self.rule, self.found)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// Exact duplicates removed, problems of the same part of the file together, otherwise in the order found.
pub(super) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    let mut unique: Vec<Problem> = Vec::new();
    problems.retain(|problem| {
        let first = !unique.contains(problem);
        if first {
            unique.push(problem.clone());
        }
        first
    });
    let mut order: Vec<String> = Vec::new();
    for problem in &problems {
        let part = part(&problem.path);
        if !order.contains(&part) {
            order.push(part);
        }
    }
    problems.sort_by_key(|problem| order.iter().position(|part| *part == self::part(&problem.path)));
    problems
}

/// The path up to and with its first index: one host, one machine pool.
fn part(path: &str) -> String {
    path.split_inclusive(']').next().unwrap_or(path).to_owned()
}

/// Text for `found`: quoted, shortened.
pub(super) fn quoted(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let short: String = text.chars().take(80).collect();
    if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
}
