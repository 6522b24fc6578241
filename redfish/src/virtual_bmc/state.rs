//! What a BMC remembers over a restart of its own, kept in one small JSON file.

use super::boot::{BootOverride, PowerPolicy};
use super::machine::Medium;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::Path;

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    pub(super) medium: Option<Medium>,
    /// In the slot that does not boot, of the personalities that have one.
    #[serde(default)]
    pub(super) unseen_medium: Option<Medium>,
    pub(super) write_protected: bool,
    pub(super) verify_certificate: bool,
    pub(super) boot: BootOverride,
    pub(super) power_policy: PowerPolicy,
    /// What was asked for last, for `PowerPolicy::LastState`.
    pub(super) wanted_on: bool,
    pub(super) indicator: bool,
    pub(super) asset_tag: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            medium: None,
            unseen_medium: None,
            write_protected: true,
            verify_certificate: false,
            boot: BootOverride::default(),
            power_policy: PowerPolicy::default(),
            wanted_on: false,
            indicator: false,
            asset_tag: String::new(),
        }
    }
}

impl State {
    /// A file that is not there is a BMC as it left the factory.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let state: Self = serde_json::from_slice(&bytes)?;
        match state.version {
            VERSION => Ok(state),
            other => Err(io::Error::other(format!("state of version {other}, this program reads {VERSION}"))),
        }
    }

    /// Whole or not at all.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    }
}
