//! A staged system becomes a deployment at the shutdown only. Whether it did is known after the next boot, from a note
//! made when it was staged.

use std::path::Path;

use ashlar_host::ostree::Deployment;
use serde::{Deserialize, Serialize};

use crate::durable;

pub const NOTE: &str = "/var/lib/ashlar/os-staged.json";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const MODE: u32 = 0o600;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    pub version: String,
    /// SHA-256 of the commit.
    pub commit: String,
    /// The commit may have a deployment of before, which is not the one that was staged.
    serial: i32,
    /// The boot in which it was staged.
    boot: String,
}

/// To be called when a system has been staged.
pub fn remember(note: &Path, version: &str, commit: &str, serial: i32) -> anyhow::Result<()> {
    let staged =
        Staged { version: version.to_owned(), commit: commit.to_owned(), serial, boot: this_boot()? };
    Ok(durable::write(note, &serde_json::to_vec(&staged)?, MODE)?)
}

/// The system that was staged in an earlier boot and is not among the deployments.
pub fn lost(note: &Path, deployments: &[Deployment]) -> Option<Staged> {
    let staged: Staged = serde_json::from_slice(&std::fs::read(note).ok()?).ok()?;
    let here = deployments.iter().any(|one| one.commit == staged.commit && one.serial == staged.serial);
    (!here && this_boot().is_ok_and(|boot| boot != staged.boot)).then_some(staged)
}

impl Staged {
    pub fn words(&self) -> String {
        format!(
            "{} was staged and is not here: the power went before it was put in place, or it could not be \
             (`journalctl --boot=-1 --unit=ostree-finalize-staged`); stage it again",
            self.version
        )
    }
}

fn this_boot() -> std::io::Result<String> {
    Ok(std::fs::read_to_string(BOOT)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_system_is_missed_after_the_next_boot_only_and_only_when_it_is_not_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let note = dir.path().join("note");
        assert_eq!(lost(&note, &[]), None);
        remember(&note, "2.0", "c2", 1).expect("noted");
        assert_eq!(lost(&note, &[]), None, "the boot goes on");
        let earlier =
            Staged { version: "2.0".into(), commit: "c2".into(), serial: 1, boot: "another".into() };
        std::fs::write(&note, serde_json::to_vec(&earlier).expect("json")).expect("written");
        assert_eq!(lost(&note, &[]), Some(earlier.clone()));
        let deployment = |serial| Deployment {
            version: "2.0".into(),
            commit: "c2".into(),
            serial,
            booted: true,
            staged: false,
            pinned: false,
        };
        assert_eq!(lost(&note, &[deployment(0)]), Some(earlier), "the one of before is another");
        assert_eq!(lost(&note, &[deployment(0), deployment(1)]), None);
    }
}
