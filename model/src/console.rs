//! What the screens of a machine show. Whoever works writes it to `STATUS_FILE`; the console program draws it on
//! every console.

use serde::{Deserialize, Serialize};

pub const STATUS_FILE: &str = "/run/ashlar/console/status.json";
/// Written by the network form: the URL of an engine, asked before those of the host's view.
pub const ENGINE_FILE: &str = "/run/ashlar/console/engine-url";
/// Written by the network form before there is a root file system: the URL that the rest of the medium comes from.
pub const SOURCE_FILE: &str = "/run/ashlar/console/source-url";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub host: String,
    pub cluster: String,
    /// `live system`, `bootstrap`, `master`, `worker`.
    pub role: String,
    pub release: String,
    /// What the machine does or waits for now.
    pub doing: String,
    /// Bytes done and bytes in all.
    #[serde(default)]
    pub progress: Option<(u64, u64)>,
    #[serde(default)]
    pub failed: Option<Failed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub what: String,
    pub cause: String,
    #[serde(default)]
    pub remedy: Option<String>,
}
