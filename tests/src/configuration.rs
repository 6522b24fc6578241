//! A rack's install-config with another line in it, for as long as that is wanted.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::rack::Rack;

/// Gives the file its old text back when it is dropped, unless it is kept.
pub struct Edited {
    path: PathBuf,
    before: Option<String>,
}

impl Edited {
    /// # Errors
    /// The file does not say `old`.
    pub fn replace(rack: &Rack, old: &str, new: &str) -> anyhow::Result<Self> {
        let path = rack.directory.join("install-config.yaml");
        let before = std::fs::read_to_string(&path).context("reading the configuration")?;
        ensure!(before.contains(old), "the configuration has no `{old}`");
        std::fs::write(&path, before.replacen(old, new, 1)).context("changing the configuration")?;
        Ok(Self { path, before: Some(before) })
    }

    /// The change stays.
    pub fn keep(mut self) {
        self.before = None;
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        if let Err(error) = std::fs::write(&self.path, before) {
            eprintln!("the configuration {} stays changed: {error}", self.path.display());
        }
    }
}
