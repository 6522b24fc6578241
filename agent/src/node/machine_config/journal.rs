//! What is known across restarts of daemon and machine: the config that the node has, the change that is being made, the
//! config that could not be had.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ashlar_model::machine_config::{Applied, CURRENT_FILE};
use serde::{Deserialize, Serialize};

use super::below;
use super::history::History;
use crate::durable::{self, read_json};

const FOLDER: &str = "/var/lib/ashlar/machine-config";
const MODE: u32 = 0o600;
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A change from one config to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub from: String,
    pub to: String,
    pub stage: Stage,
    /// Why we are going back to `to`; none on the way there.
    pub failure: Option<Failure>,
    /// When the way there began (RFC 3339).
    #[serde(default)]
    pub began: String,
}

impl Journal {
    /// `current` is what the node has. Whoever kept it and was stopped there has nothing left to do but to forget the
    /// change: the config that it came from is no longer kept.
    pub fn is_over(&self, current: &str) -> bool {
        self.failure.is_none() && self.to == current
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Stage {
    /// Doing a step again is harmless.
    Apply,
    /// All is written, and the machine was to restart in this boot.
    Reboot { boot: String },
}

/// A config that this node could not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub name: String,
    pub reason: String,
}

pub struct Store {
    folder: PathBuf,
    current: PathBuf,
}

impl Store {
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let folder = below(root, FOLDER);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder, current: below(root, CURRENT_FILE) })
    }

    pub fn originals(&self) -> PathBuf {
        self.folder.join("originals")
    }

    pub fn history(&self) -> History {
        History::new(&self.folder)
    }

    pub fn current(&self) -> anyhow::Result<Option<Applied>> {
        read_json(&self.current)
    }

    pub fn become_current(&self, config: &Applied) -> anyhow::Result<()> {
        write(&self.current, config)
    }

    pub fn journal(&self) -> anyhow::Result<Option<Journal>> {
        read_json(&self.folder.join("journal.json"))
    }

    pub fn note(&self, journal: &Journal) -> anyhow::Result<()> {
        write(&self.folder.join("journal.json"), journal)
    }

    /// The change is over.
    pub fn end(&self) -> anyhow::Result<()> {
        remove(&self.folder.join("journal.json"))?;
        remove(&self.folder.join("next.json"))
    }

    /// Keeps a config that is to be changed to; the one that the node has is kept already.
    pub fn keep(&self, config: &Applied) -> anyhow::Result<()> {
        write(&self.folder.join("next.json"), config)
    }

    /// A config of the journal's.
    pub fn config(&self, name: &str) -> anyhow::Result<Applied> {
        let known = [self.current()?, read_json(&self.folder.join("next.json"))?];
        let found = known.into_iter().flatten().find(|config: &Applied| config.name == name);
        found.with_context(|| format!("{name} is not kept in {}", self.folder.display()))
    }

    pub fn failure(&self) -> anyhow::Result<Option<Failure>> {
        read_json(&self.folder.join("failure.json"))
    }

    pub fn fail(&self, name: &str, reason: &str) -> anyhow::Result<()> {
        let failure = Failure { name: name.to_owned(), reason: reason.to_owned() };
        write(&self.folder.join("failure.json"), &failure)
    }

    pub fn forget_failure(&self) -> anyhow::Result<()> {
        remove(&self.folder.join("failure.json"))
    }
}

pub fn boot_id() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(BOOT).with_context(|| format!("reading {BOOT}"))?.trim().to_owned())
}

fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    Ok(durable::write(path, &serde_json::to_vec(value)?, MODE)?)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> Applied {
        Applied { name: name.to_owned(), config: serde_json::json!({}) }
    }

    #[test]
    fn a_change_whose_config_was_kept_is_over_and_a_way_back_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(below(folder.path(), CURRENT_FILE).parent().expect("a parent"))
            .expect("made");
        let store = Store::open(folder.path()).expect("opened");
        store.become_current(&config("old")).expect("kept");
        store.keep(&config("new")).expect("kept");
        let (from, to, began) = ("old".into(), "new".into(), "2026-01-01T00:00:00Z".into());
        let there = Journal { from, to, stage: Stage::Apply, failure: None, began };
        assert!(!there.is_over("old"));
        let failure = Failure { name: "new".into(), reason: "it broke".into() };
        let back = Journal { from: "new".into(), to: "old".into(), failure: Some(failure), ..there.clone() };
        assert!(!back.is_over("old"), "the failure is not noted yet, and both configs are kept");
        assert_eq!(store.config("new").expect("kept").name, "new");

        store.become_current(&config("new")).expect("kept");
        assert!(there.is_over("new"));
        assert!(store.config("old").is_err(), "so nothing can be compared with it any more");
    }
}
