//! What this live system has finished, by task: a task that comes again gets its old answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ashlar_model::agent_api::{Task, TaskResult};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable;

const FILE: &str = "/run/ashlar/identity/done.json";

#[derive(Default, Serialize, Deserialize)]
pub struct Done {
    #[serde(skip)]
    path: PathBuf,
    results: BTreeMap<String, TaskResult>,
}

impl Done {
    pub fn load() -> Self {
        Self::load_from(PathBuf::from(FILE))
    }

    fn load_from(path: PathBuf) -> Self {
        let read = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        Self { path, ..read.unwrap_or_default() }
    }

    pub fn result(&self, task: &Task) -> Option<&TaskResult> {
        self.results.get(&key(task))
    }

    /// Failures are tried again when asked. A wipe is always done, and undoes what was finished before.
    pub fn record(&mut self, task: &Task, result: &TaskResult) {
        match (task, result) {
            (Task::Wipe(_), _) => self.results.clear(),
            (_, TaskResult::Failed { .. }) => return,
            _ => drop(self.results.insert(key(task), result.clone())),
        }
        let text = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) = durable::write(&self.path, &text, 0o600) {
            tracing::warn!(%error, "a restarted agent would do this task again");
        }
    }
}

/// Tasks hold secrets: only a hash is kept.
fn key(task: &Task) -> String {
    hex::encode(Sha256::digest(serde_json::to_vec(task).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::agent_api::{InstallTask, WipeTask};

    fn install(disk: &str) -> Task {
        Task::Install(InstallTask {
            disk: disk.into(),
            disk_serial: None,
            disk_size_bytes: 1,
            wipe_consent: true,
            old_systems: Vec::new(),
            ignition: serde_json::Value::Null,
            server_ca_pem: String::new(),
            verify: false,
        })
    }

    #[test]
    fn a_finished_write_is_answered_from_memory_until_a_wipe() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("done.json");
        let installed = TaskResult::Installed { disk: "/dev/vda".into(), bytes: 1, seconds: 1.0 };
        let failed = TaskResult::Failed { phase: "write".into(), cause: "x".into(), hint: None };
        let mut done = Done::load_from(path.clone());
        done.record(&install("/dev/vda"), &failed);
        assert!(done.result(&install("/dev/vda")).is_none());
        done.record(&install("/dev/vda"), &installed);
        let mut again = Done::load_from(path.clone());
        assert_eq!(again.result(&install("/dev/vda")), Some(&installed));
        assert!(again.result(&install("/dev/vdb")).is_none());
        again.record(&Task::Wipe(WipeTask { disks: vec![] }), &TaskResult::Wiped { left: vec![] });
        assert!(Done::load_from(path).result(&install("/dev/vda")).is_none());
    }
}
