//! The end of the first boot: the result file, everything on the disk, then the stamps.

use std::fs;
use std::io;

use serde_json::{Map, Value, json};

use super::apply::settle;
use super::files::{self, Ids};
use super::machine::Machine;
use super::prepare::About;
use super::report::{Failure, chain};
use super::root::Root;

/// SHA-256 of the configuration that was applied, in hex.
pub const STAMP: &str = "/etc/.ashlar-ignition-applied";
pub const RESULT: &str = "/etc/.ignition-result.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Result and sync; `stamp` comes after it.
///
/// # Errors
/// The disk cannot be written.
pub(super) fn record(machine: &Machine, about: &About, warnings: &[String]) -> Result<(), Failure> {
    write_result(machine, about, warnings).map_err(|error| failure(RESULT, &error))
}

/// True when it is the first one for this root.
pub(super) fn is_stamped(machine: &Machine, identity: &str) -> Result<bool, Failure> {
    let fail = |error: &dyn std::error::Error| Failure::new("read", STAMP, error, "check --sysroot");
    let place = Root::new(&machine.sysroot).follow(STAMP).map_err(|error| fail(&error))?;
    match fs::read_to_string(place) {
        Ok(text) => Ok(text.trim() == identity),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fail(&error)),
    }
}

/// # Errors
/// The disk cannot be written.
pub(super) fn stamp(machine: &Machine, about: &About) -> Result<(), Failure> {
    let text = format!("{}\n", about.identity);
    let write = || -> io::Result<()> {
        let place = Root::new(&machine.sysroot).place(STAMP).map_err(|error| other(&error))?;
        files::write_synced(&place, text.as_bytes(), 0o600)
    };
    write().map_err(|error| failure(STAMP, &error))?;
    let short = about.identity.get(..12).unwrap_or(&about.identity);
    let host = about.host.as_ref().map_or_else(String::new, |host| format!(" of {host}"));
    (machine.say)(&format!("configuration {short}{host} is applied"));
    Ok(())
}

fn failure(path: &str, error: &io::Error) -> Failure {
    Failure::new("finish", path, error, "check the disk, then restart the host")
}

fn other(error: &dyn std::error::Error) -> io::Error {
    io::Error::other(chain(error))
}

fn write_result(machine: &Machine, about: &About, warnings: &[String]) -> io::Result<()> {
    let root = Root::new(&machine.sysroot);
    let place = root.place(RESULT).map_err(|error| other(&error))?;
    let previous = match fs::read(&place) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let boot_id = fs::read_to_string(BOOT_ID)?;
    // Without a fraction of a second, as RFC 3339 is written by the reference.
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let result = result(about, warnings, boot_id.trim(), &now, previous.as_deref());
    let text = serde_json::to_string_pretty(&result).map_err(io::Error::other)? + "\n";
    files::write(&place, text.as_bytes(), 0o600, Ids::default())?;
    settle(&root).map_err(|error| other(&error))
}

/// The reference's members, and ours: `source`, `host`, `warnings`.
fn result(
    about: &About,
    warnings: &[String],
    boot_id: &str,
    now: &str,
    previous: Option<&[u8]>,
) -> Map<String, Value> {
    let mut warnings = warnings.to_vec();
    let mut result = Map::new();
    result.insert("provisioningBootID".to_owned(), boot_id.into());
    result.insert("provisioningDate".to_owned(), now.into());
    result.insert("userConfigProvided".to_owned(), about.user_configuration.into());
    match previous.map(serde_json::from_slice::<Value>) {
        Some(Ok(previous)) => drop(result.insert("previousReport".to_owned(), previous)),
        Some(Err(_)) => warnings.push(format!("the earlier {RESULT} was no JSON; it is replaced")),
        None => {}
    }
    result.insert("source".to_owned(), about.origin.clone().into());
    result.insert("host".to_owned(), json!(about.host));
    result.insert("warnings".to_owned(), json!(warnings));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            origin: "the config slot".into(),
            user_configuration: true,
            host: Some("master-1".into()),
            identity: "ab".into(),
            warnings: Vec::new(),
        }
    }

    /// The reference: `provisioningBootID`, `provisioningDate` (RFC 3339), `userConfigProvided`, and `previousReport`
    /// when "Ignition has already run on this system".
    #[test]
    fn the_result_says_what_the_references_says_and_keeps_the_previous_one() {
        let first = result(&about(), &[], "boot-1", "2026-01-02T03:04:05Z", None);
        assert!(!first.contains_key("previousReport"));
        assert_eq!(first["provisioningBootID"], "boot-1");
        assert_eq!(first["provisioningDate"], "2026-01-02T03:04:05Z");
        assert_eq!(first["userConfigProvided"], true);
        let bytes = serde_json::to_vec(&first).expect("JSON");
        let second = result(&about(), &[], "boot-2", "2026-01-03T03:04:05Z", Some(&bytes));
        assert_eq!(second["previousReport"], Value::Object(first));
        let third = result(&about(), &[], "boot-3", "2026-01-04T03:04:05Z", Some(b"{half"));
        assert!(!third.contains_key("previousReport"));
        assert!(third["warnings"][0].as_str().is_some_and(|text| text.contains("no JSON")));
    }
}
