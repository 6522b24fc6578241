//! The first boot of an installed disk: the config slot's configuration is fetched, rendered and applied, once.
//!
//! A stamp in `/etc` names the configuration that was applied; it is written last. Whatever happens before leads to
//! the same work being done again at the next boot.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ashlar_model::slot::{self, Slot, SlotError};
use serde_json::json;
use url::Url;

use super::fetch::{Fetcher, Identity, origin};
use super::files::{self, Ids};
use super::report::{Failure, chain};
use super::root::Root;
use super::stages::{Ended, Stages};
use crate::spec::Ignition;
use crate::{Config, Fetched, Problem, Rendered, Rendering, parse_value, plan, render, validate};

/// SHA-256 of the configuration that was applied, in hex.
pub const STAMP: &str = "/etc/.ashlar-ignition-applied";
pub const RESULT: &str = "/etc/.ignition-result.json";

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
    Applied {
        actions: usize,
    },
    /// The kernel arguments were changed: the rest is done after a restart.
    Restart,
}

/// # Errors
/// A failure that says at which stage, at which entry, why, and what to do.
pub async fn first_boot(boot: &FirstBoot) -> Result<Outcome, Failure> {
    let Some(slot) = read_slot(&boot.slot, boot.offset)? else { return Ok(Outcome::NoConfiguration) };
    if is_applied(&slot, &boot.sysroot)? {
        return Ok(Outcome::AlreadyApplied);
    }
    let parsed = parse_value(slot.ignition.clone())
        .map_err(|error| Failure::new("read slot", "the slot's configuration", &error, INSTALL_AGAIN))?;
    accept(parsed.report().errors, "validate")?;
    let fetcher = fetcher(&slot, &parsed.config, boot);
    let rendered = fetch_all(&parsed.config, &fetcher).await?;
    accept(validate(&rendered.config), "validate")?;
    let actions = plan(&rendered.config, &rendered.settings)
        .or_else(|problems| accept(problems, "plan").map(|()| Vec::new()))?;
    let root = Root::new(&boot.sysroot);
    let stages = Stages { sysroot: &boot.sysroot, fetcher: &fetcher, say: boot.say };
    let warnings = match stages.run(&rendered, &actions).await? {
        Ended::Restart => return Ok(Outcome::Restart),
        Ended::Done(warnings) => warnings,
    };
    for warning in parsed.warnings.iter().chain(&warnings) {
        (boot.say)(&format!("warning: {warning}"));
    }
    finish(&slot, &root, boot, &warnings)
        .map_err(|error| Failure::new("finish", STAMP, &error, "check the disk, then restart the host"))?;
    Ok(Outcome::Applied { actions: actions.len() })
}

const INSTALL_AGAIN: &str = "install the host again";

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

/// True when this configuration was applied to this root.
///
/// # Errors
/// When the stamp cannot be read.
pub fn is_applied(slot: &Slot, sysroot: &Path) -> Result<bool, Failure> {
    let stage = "read slot";
    let wanted =
        slot::identity(slot).map_err(|error| Failure::new(stage, "identity", &error, INSTALL_AGAIN))?;
    let place = Root::new(sysroot).follow(STAMP);
    let place = place.map_err(|error| Failure::new(stage, STAMP, &error, "check --sysroot"))?;
    match fs::read_to_string(place) {
        Ok(text) => Ok(text.trim() == wanted),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::new(stage, STAMP, &error, "check --sysroot")),
    }
}

/// The configuration server is whatever the slot's own configuration names.
fn fetcher(slot: &Slot, config: &Config, boot: &FirstBoot) -> Fetcher {
    let identity = slot.secret.as_ref().map(|secret| Identity {
        token: secret.token.clone(),
        certificate_pem: secret.certificate_pem.clone(),
        private_key_pem: secret.private_key_pem.clone(),
    });
    let origins = own_origins(&config.ignition);
    Fetcher::of_host(origins, slot.server_ca_pem.clone(), identity, &boot.sysroot, boot.say)
}

fn own_origins(ignition: &Ignition) -> BTreeSet<String> {
    let references = ignition.config.clone().unwrap_or_default();
    let resources = references.merge.into_iter().flatten().chain(references.replace);
    let sources = resources.filter_map(|resource| Url::parse(resource.source.as_deref()?).ok());
    sources.filter(|url| url.scheme() != "data").map(|url| origin(&url)).collect()
}

/// Fetches every configuration that this one names, and merges them.
///
/// # Errors
/// What cannot be fetched, or is no configuration.
pub async fn fetch_all(config: &Config, fetcher: &Fetcher) -> Result<Rendered, Failure> {
    let mut fetched = Fetched::new();
    loop {
        match render(config, &fetched) {
            Ok(Rendering::Done(rendered)) => return Ok(*rendered),
            Ok(Rendering::Fetch(request)) => {
                let bytes = fetcher.fetch(&request).await?;
                fetched.insert(request, bytes);
            }
            Err(error) => {
                let remedy = "correct the configuration on the server and restart the host";
                return Err(Failure::new("render", "the configuration", &error, remedy));
            }
        }
    }
}

/// Problems become one failure; none become nothing.
fn accept(problems: Vec<Problem>, stage: &'static str) -> Result<(), Failure> {
    let Some(first) = problems.first() else { return Ok(()) };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(Failure {
        stage,
        entry: first.path.clone(),
        cause: lines.join("\n        "),
        remedy: "correct the configuration on the server and restart the host".to_owned(),
    })
}

/// Result, sync, stamp: in this order.
fn finish(slot: &Slot, root: &Root, boot: &FirstBoot, warnings: &[String]) -> Result<(), io::Error> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let result = json!({
        "provisioningBootID": boot_id.trim(),
        "provisioningDate": jiff::Timestamp::now().to_string(),
        "userConfigProvided": true,
        "host": slot.host,
        "warnings": warnings,
    });
    let place = |path: &str| root.place(path).map_err(|error| io::Error::other(chain(&error)));
    let text = serde_json::to_vec_pretty(&result).map_err(io::Error::other)?;
    files::write(&place(RESULT)?, &text, 0o600, Ids::default())?;
    for folder in ["/etc", "/var"] {
        let folder = root.follow(folder).map_err(|error| io::Error::other(chain(&error)))?;
        if let Ok(folder) = File::open(folder) {
            rustix::fs::syncfs(&folder)?;
        }
    }
    let identity = slot::identity(slot).map_err(io::Error::other)?;
    (boot.say)(&format!("configuration {} of {} is applied", &identity[..12], slot.host));
    files::write(&place(STAMP)?, format!("{identity}\n").as_bytes(), 0o600, Ids::default())
}

#[cfg(test)]
#[path = "first_boot_tests.rs"]
mod tests;
