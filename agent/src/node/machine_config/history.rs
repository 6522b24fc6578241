//! What this node was changed to, when, and how that ended: for who asks at its console long afterwards.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::durable;

const KEPT: usize = 200;
const MODE: u32 = 0o600;

/// The newest is last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// RFC 3339.
    pub began: String,
    pub ended: String,
    pub from: String,
    pub to: String,
    /// Why the node went back from `to` to `from`; none when it kept it.
    pub left: Option<String>,
}

pub struct History {
    path: PathBuf,
}

impl History {
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("history.jsonl") }
    }

    /// A change that was noted before a crash is not noted twice. Only the newest 200 are kept.
    pub fn add(&self, record: &Record) -> anyhow::Result<()> {
        let mut all = self.read()?;
        if all.last().is_some_and(|last| last.began == record.began && last.to == record.to) {
            return Ok(());
        }
        all.push(record.clone());
        let from = all.len().saturating_sub(KEPT);
        let lines: Result<Vec<String>, _> = all[from..].iter().map(serde_json::to_string).collect();
        Ok(durable::write(&self.path, format!("{}\n", lines?.join("\n")).as_bytes(), MODE)?)
    }

    /// A line that is not understood is left out: later versions may say more.
    pub fn read(&self) -> anyhow::Result<Vec<Record>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("reading {}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_none_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::new(folder.path());
        assert!(history.read().expect("none yet").is_empty());
        let record = |number: usize| Record {
            began: format!("2026-01-01T00:00:{number}Z"),
            ended: "2026-01-01T01:00:00Z".into(),
            from: "a".into(),
            to: "b".into(),
            left: None,
        };
        for number in 0..KEPT + 5 {
            history.add(&record(number)).expect("noted");
            history.add(&record(number)).expect("noted");
        }
        let all = history.read().expect("read");
        assert_eq!(all.len(), KEPT);
        assert_eq!((&all[0], &all[KEPT - 1]), (&record(5), &record(KEPT + 4)));
    }
}
