//! A rack's install-config with a mistake in it, for as long as the mistake is wanted.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::rack::Rack;

/// Gives the file its old text back when it is dropped.
pub struct Edited {
    path: PathBuf,
    before: String,
}

impl Edited {
    /// # Errors
    /// The file does not say `old`.
    pub fn replace(rack: &Rack, old: &str, new: &str) -> anyhow::Result<Self> {
        let path = rack.directory.join("install-config.yaml");
        let before = std::fs::read_to_string(&path).context("reading the configuration")?;
        ensure!(before.contains(old), "the configuration has no `{old}`");
        std::fs::write(&path, before.replacen(old, new, 1)).context("changing the configuration")?;
        Ok(Self { path, before })
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.path, &self.before) {
            eprintln!("the configuration {} stays changed: {error}", self.path.display());
        }
    }
}
