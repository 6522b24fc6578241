//! What a running engine leaves beside its journal for `ashlar status`, which cannot open a journal in use.

use std::time::Instant;

use ashlar_model::bootstrap_api::BootstrapStatus;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::events::now_ms;
use super::host::State;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub cluster: String,
    /// Process that wrote it.
    pub process: u32,
    pub written_ms: u64,
    pub hosts: Vec<HostLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapStatus>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostLine {
    pub name: String,
    pub role: String,
    pub state: State,
    /// Seconds in this state, as far as this run knows.
    pub seconds: u64,
    pub address: Option<std::net::Ipv4Addr>,
    pub disk: Option<String>,
}

pub fn lines(engine: &Engine) -> Vec<HostLine> {
    let line = |handle: &std::sync::Arc<super::handle::Handle>| {
        let record = handle.record();
        HostLine {
            name: handle.name().to_owned(),
            role: handle.config.role.as_str().to_owned(),
            seconds: Instant::now().duration_since(handle.since()).as_secs(),
            address: record.address,
            disk: record.disk.map(|disk| disk.name),
            state: record.state,
        }
    };
    engine.hosts.values().map(line).collect()
}

/// Best effort: nothing depends on it but what `status` shows.
pub fn write(engine: &Engine, bootstrap: Option<&BootstrapStatus>) {
    let status = Status {
        cluster: engine.configuration.install.name.clone(),
        process: std::process::id(),
        written_ms: now_ms(),
        hosts: lines(engine),
        bootstrap: bootstrap.cloned(),
    };
    let path = engine.directory.status_file();
    let new = path.with_extension("new");
    let written = serde_json::to_vec_pretty(&status)
        .map_err(std::io::Error::other)
        .and_then(|text| std::fs::write(&new, text))
        .and_then(|()| std::fs::rename(&new, &path));
    if let Err(error) = written {
        tracing::warn!(%error, "writing the status file");
    }
}
