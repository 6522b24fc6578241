//! Every problem of a configuration, each with its JSON path (`$.storage.files.0.path`).
//!
//! Errors make a configuration invalid; warnings are for what is valid and surely not meant. One file per section
//! of the specification; a new rule is one line in the function of its object.

mod disks;
mod duplicates;
mod luks;
mod passwd;
mod resources;
mod storage;
mod systemd;
mod urls;

use ashlar_model::config::Problem;

use crate::Config;
use crate::version::Version;

/// What is wrong with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Report {
    fn error(&mut self, problem: Problem) {
        self.errors.push(problem);
    }

    fn warning(&mut self, problem: Problem) {
        self.warnings.push(problem);
    }
}

/// An empty answer means that the configuration is valid by the rules of the latest version.
pub fn validate(config: &Config) -> Vec<Problem> {
    report(config, Version::LATEST).errors
}

/// Errors and warnings by the rules of one version.
pub fn report(config: &Config, version: Version) -> Report {
    let mut report = Report::default();
    resources::check(config, version, &mut report);
    if let Some(storage) = &config.storage {
        storage::check(storage, config.systemd.as_ref(), &mut report);
        disks::check(storage, version, &mut report);
    }
    if let Some(systemd) = &config.systemd {
        systemd::check(systemd, &mut report);
    }
    if let Some(passwd) = &config.passwd {
        passwd::check(passwd, &mut report);
    }
    duplicates::check(config, &mut report);
    report
}

fn quoted(text: &str) -> String {
    format!("`{}`", text.chars().take(80).collect::<String>())
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// An absolute path without `.`, `..`, `//` and a slash at its end.
fn path(text: &str, place: String, report: &mut Report) {
    let parts = || text.split('/').skip(1);
    let rule = if text.is_empty() {
        "is required"
    } else if !text.starts_with('/') {
        "must be an absolute path"
    } else if text.contains('\0') {
        "must not contain a zero byte"
    } else if text != "/" && parts().any(|part| part.is_empty() || part == "." || part == "..") {
        "must be a path without `.`, `..`, `//` and a slash at its end"
    } else {
        return;
    };
    report.error(Problem::new(place, quoted(text), rule).hint("for example /etc/motd"));
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
