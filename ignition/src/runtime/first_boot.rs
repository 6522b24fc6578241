//! All stages in one, for machines whose root and `/var` are there already: the config slot's configuration is
//! fetched, rendered and applied, once.
//!
//! A stamp in `/etc` names the configuration that was applied; it is written last. Whatever happens before leads to
//! the same work being done again at the next boot.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ashlar_model::slot::{self, Slot, SlotError};

use super::machine::Machine;
use super::prepare::{self, prepare};
use super::report::Failure;
use super::stages::{self, Went};
use super::{finish, mounts, sources};

pub struct FirstBoot {
    pub sysroot: PathBuf,
    /// The config slot: a device or a file, and where in it the slot begins.
    pub slot: PathBuf,
    pub offset: u64,
    pub say: fn(&str),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The slot holds nothing.
    NoConfiguration,
    AlreadyApplied,
    Applied,
    /// The kernel arguments were changed: the rest is done after a restart.
    Restart,
}

pub(super) const INSTALL_AGAIN: &str = "install the host again";

/// # Errors
/// A failure that says at which stage, at which entry, why, and what to do.
pub async fn first_boot(boot: &FirstBoot) -> Result<Outcome, Failure> {
    let machine = boot.machine();
    let Some(slot) = read_slot(&boot.slot, boot.offset)? else { return Ok(Outcome::NoConfiguration) };
    let identity = slot::identity(&slot)
        .map_err(|error| Failure::new("read slot", "identity", &error, INSTALL_AGAIN))?;
    if finish::is_stamped(&machine, &identity)? {
        return Ok(Outcome::AlreadyApplied);
    }
    let sources = sources::find(&machine, None)?;
    let fetcher = prepare::fetcher(sources.slot.as_ref(), &machine);
    let prepared = prepare(&sources, &fetcher).await?;
    if stages::kargs(&machine, &prepared)? == Went::Restart {
        return Ok(Outcome::Restart);
    }
    stages::disks(&machine, &prepared, &fetcher).await?;
    let mounted = stages::config_mounts(&machine, &prepared)?;
    let done = stages::files(&machine, &prepared, &fetcher).await;
    let unmounted = mounts::unmount_all(&mounted);
    let warnings = done?;
    unmounted?;
    finish::record(&machine, &prepared.about, &warnings)?;
    finish::stamp(&machine, &prepared.about)?;
    Ok(Outcome::Applied)
}

impl FirstBoot {
    /// Here the slot is the only source.
    fn machine(&self) -> Machine {
        Machine {
            directories: Vec::new(),
            command_line: PathBuf::new(),
            ..Machine::new(self.sysroot.clone(), self.slot.clone(), self.offset, self.say)
        }
    }
}

/// What the slot holds; nothing when it was never written.
///
/// # Errors
/// When it cannot be read, or was not written completely.
pub fn read_slot(path: &Path, offset: u64) -> Result<Option<Slot>, Failure> {
    let entry = path.display();
    let bytes = read_at(path, offset)
        .map_err(|error| Failure::new("read slot", &entry, &error, "check --slot and the disk"))?;
    match slot::decode(&bytes) {
        Ok(slot) => Ok(Some(slot)),
        Err(SlotError::Empty) => Ok(None),
        Err(error) => Err(Failure::new("read slot", &entry, &error, INSTALL_AGAIN)),
    }
}

fn read_at(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(slot::SLOT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "first_boot_tests.rs"]
mod tests;
