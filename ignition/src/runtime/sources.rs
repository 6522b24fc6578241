//! Which configuration a machine is to have: one of the user's, the first that is there, over the base
//! configurations of the initramfs. Nothing is fetched here.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_host::clock;
use ashlar_model::slot::Slot;
use serde_json::json;

use super::first_boot::{INSTALL_AGAIN, read_slot};
use super::machine::Machine;
use super::prepare::accept;
use super::report::Failure;
use crate::parse::ParseError;
use crate::{Config, Parsed, merge, parse, parse_value};

const STAGE: &str = "read";
/// On the boot partition.
const ON_BOOT: &str = "ignition/config.ign";
/// When the kernel argument `ignition.platform.id` does not say another one.
const PLATFORM: &str = "metal";

/// Where the user's configuration comes from; earlier ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    KernelArgument,
    /// `user.ign` of one of the directories.
    SystemFile(PathBuf),
    BootPartition,
    ConfigSlot,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::KernelArgument => f.write_str("the kernel argument ignition.config.url"),
            Origin::SystemFile(path) => write!(f, "{}", path.display()),
            Origin::BootPartition => write!(f, "{ON_BOOT} on the boot partition"),
            Origin::ConfigSlot => f.write_str("the config slot"),
        }
    }
}

/// What was found.
pub struct Sources {
    pub user: Option<(Origin, Parsed)>,
    /// The base configurations, merged in the order of their names.
    pub base: Option<Config>,
    /// Present when the disk has one, whichever source is taken: it says who this host is.
    pub slot: Option<Slot>,
}

impl Sources {
    pub fn is_empty(&self) -> bool {
        self.user.is_none() && self.base.is_none()
    }
}

/// # Errors
/// A source that is there and cannot be read, or is no configuration: another one is not taken in its place.
pub fn find(machine: &Machine, boot: Option<&Path>) -> Result<Sources, Failure> {
    let line = match fs::read_to_string(&machine.command_line) {
        Ok(line) => line,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::new(STAGE, machine.command_line.display(), &error, "mount /proc"));
        }
    };
    let slot = if machine.slot.exists() { read_slot(&machine.slot, machine.offset)? } else { None };
    // With a dead battery the clock is years behind, and no server's certificate would be valid yet.
    match clock::not_before(slot.as_ref().map_or(0, |slot| slot.issued_at)) {
        Ok(true) => (machine.say)("the clock was behind: it is set to when this machine was installed"),
        Ok(false) => {}
        Err(error) => (machine.say)(&format!("the clock is behind and cannot be set: {error}")),
    }
    let base = base(&machine.directories, argument(&line, "ignition.platform.id").unwrap_or(PLATFORM))?;
    Ok(Sources { user: user(machine, &line, boot, slot.as_ref())?, base, slot })
}

fn user(
    machine: &Machine,
    line: &str,
    boot: Option<&Path>,
    slot: Option<&Slot>,
) -> Result<Option<(Origin, Parsed)>, Failure> {
    if let Some(url) = argument(line, "ignition.config.url") {
        let value = json!({"ignition": {"version": "3.5.0", "config": {"replace": {"source": url}}}});
        let parsed = parse_value(value).map_err(|error| wrong(&Origin::KernelArgument, &error))?;
        return Ok(Some((Origin::KernelArgument, parsed)));
    }
    let files = machine.directories.iter().map(|directory| directory.join("user.ign"));
    let files = files.map(|path| (Origin::SystemFile(path.clone()), path));
    let on_boot = boot.map(|boot| (Origin::BootPartition, boot.join(ON_BOOT)));
    for (origin, path) in files.chain(on_boot) {
        if let Some(parsed) = read(&path)? {
            return Ok(Some((origin, parsed)));
        }
    }
    let Some(slot) = slot else { return Ok(None) };
    let parsed = parse_value(slot.ignition.clone())
        .map_err(|error| Failure::new("read slot", "the slot's configuration", &error, INSTALL_AGAIN))?;
    Ok(Some((Origin::ConfigSlot, parsed)))
}

/// The last value, as the kernel takes it; an empty one counts as none.
fn argument<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let values = line.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    values.rev().find(|value| !value.is_empty())
}

/// `base.d`, and over it `base.platform.d/PLATFORM`.
fn base(directories: &[PathBuf], platform: &str) -> Result<Option<Config>, Failure> {
    let mut merged = None;
    for folder in ["base.d".to_owned(), format!("base.platform.d/{platform}")] {
        let mut files: BTreeMap<_, PathBuf> = BTreeMap::new();
        for directory in directories {
            for path in list(&directory.join(&folder))? {
                files.entry(path.file_name().unwrap_or_default().to_owned()).or_insert(path);
            }
        }
        for path in files.values() {
            let Some(parsed) = read(path)? else { continue };
            accept(parsed.report().errors, "validate")?;
            if parsed.config.ignition.config.as_ref().is_some_and(|other| *other != Default::default()) {
                let cause = "a base configuration names other configurations, which are never fetched for it";
                return Err(Failure::because(STAGE, path.display(), cause, "put all that it says into it"));
            }
            merged = Some(match merged {
                None => parsed.config,
                Some(before) => merge(&before, &parsed.config),
            });
        }
    }
    Ok(merged)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |error: io::Error| Failure::new(STAGE, folder.display(), &error, "check the initramfs");
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(fail)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(fail(error)),
    }
}

fn read(path: &Path) -> Result<Option<Parsed>, Failure> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::new(STAGE, path.display(), &error, "make it readable, or remove it"));
        }
    };
    parse(&bytes).map(Some).map_err(|error| wrong(&Origin::SystemFile(path.to_owned()), &error))
}

fn wrong(origin: &Origin, error: &ParseError) -> Failure {
    Failure::new(STAGE, origin, error, error.remedy())
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
