//! What happens during an install, typed: the only source for progress, pages, `--output json` and bundles.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The host it concerns, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    StepStarted {
        step: String,
        title: String,
    },
    StepFinished {
        step: String,
        seconds: f64,
    },
    StepSkipped {
        step: String,
        because: String,
    },
    StepFailed {
        step: String,
        cause: String,
        hint: Option<String>,
    },
    Progress {
        phase: String,
        done: u64,
        total: u64,
    },
    Waiting {
        for_what: String,
        seconds: u64,
    },
    Note {
        message: String,
    },
    /// An act that destroys data, for the audit trail.
    Destructive {
        act: String,
        target: String,
    },
    Installed {
        seconds: f64,
    },
}
