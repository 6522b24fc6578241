//! What this machine never does, though the specification allows it: told before anything is changed. Only what a
//! configuration itself gives away; devices behind other names are looked at when it is their turn.

use ashlar_model::config::Problem;

use super::table::{Change, Entry};
use crate::spec::{Config, Filesystem, Luks};

/// Names of the installed disk's own partitions: their labels, those of their filesystems, and our link.
const NAMES: &[&str] = &["boot", "root", "var"];
const PARTITIONS: &[&str] = &["BIOS-BOOT", "EFI-SYSTEM", "boot", "ashlar-config", "root", "var"];
const SLOT_LINK: &str = "/dev/ashlar/config-slot";

/// Links that lead to the installed disk's own partitions.
pub fn own_links() -> Vec<String> {
    let labels = NAMES.iter().map(|name| format!("/dev/disk/by-label/{name}"));
    let partitions = PARTITIONS.iter().map(|name| format!("/dev/disk/by-partlabel/{name}"));
    labels.chain(partitions).chain([SLOT_LINK.to_owned()]).collect()
}

pub fn refusals(config: &Config) -> Vec<Problem> {
    let Some(storage) = &config.storage else { return Vec::new() };
    let own = own_links();
    let mut problems = Vec::new();
    let mut refuse = |path: String, device: &str| {
        let problem =
            Problem::new(path, format!("`{device}`"), "holds the installed system and is kept as it is");
        problems.push(
            problem.hint("name another device; to make the system's disk anew, install the host again"),
        );
    };
    for (index, entry) in storage.filesystems.iter().flatten().enumerate() {
        if own.contains(&entry.device) && makes_anew(entry) {
            refuse(format!("$.storage.filesystems.{index}.device"), &entry.device);
        }
    }
    for (index, luks) in storage.luks.iter().flatten().enumerate() {
        let device = luks.device.as_deref().unwrap_or("");
        if own.iter().any(|link| link == device) {
            refuse(format!("$.storage.luks.{index}.device"), device);
        }
    }
    for (index, raid) in storage.raid.iter().flatten().enumerate() {
        for (number, device) in raid.devices.iter().flatten().enumerate() {
            if own.contains(device) {
                refuse(format!("$.storage.raid.{index}.devices.{number}"), device);
            }
        }
    }
    let volumes = storage.luks.iter().flatten().enumerate();
    problems.extend(volumes.filter(|(_, luks)| uses_cex(luks)).map(|(index, _)| cex(index)));
    problems
}

fn makes_anew(entry: &Filesystem) -> bool {
    let format = entry.format.as_deref().unwrap_or("");
    let is_efi = entry.device.ends_with("/EFI-SYSTEM");
    let same = if is_efi { format == "vfat" } else { format == "ext4" };
    entry.wipe_filesystem == Some(true) || !(same || format.is_empty() || format == "none")
}

fn uses_cex(luks: &Luks) -> bool {
    luks.cex.as_ref().is_some_and(|cex| cex.enabled == Some(true))
}

fn cex(index: usize) -> Problem {
    let path = format!("$.storage.luks.{index}.cex.enabled");
    Problem::new(path, "true", "needs an IBM Crypto Express card, which only s390x machines have")
        .hint("use keyFile, or clevis with tpm2 or tang")
}

/// Why a change of the installed disk's table is refused; nothing when it only adds partitions.
pub fn of_table(table: &[Entry], changes: &[Change], wipe: bool) -> Option<String> {
    let is_slot = |entry: &Entry| entry.type_guid.eq_ignore_ascii_case(ashlar_model::slot::PARTITION_TYPE);
    if !table.iter().any(is_slot) {
        return None;
    }
    if wipe {
        return Some("its partition table is that of the installed system".to_owned());
    }
    changes.iter().find_map(|change| {
        let number = match change {
            Change::Replace(entry) | Change::Resize(entry) => entry.number,
            Change::Delete(number) => *number,
            Change::Keep(_) | Change::Create(_) => return None,
        };
        let own = table.iter().find(|entry| entry.number == number)?;
        let is_own = is_slot(own) || PARTITIONS.contains(&own.label.as_str());
        is_own.then(|| format!("partition {number} (`{}`) is the installed system's", own.label))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(storage: Value) -> Vec<String> {
        let value = json!({"ignition": {"version": "3.5.0"}, "storage": storage});
        let config = crate::parse_value(value).expect("a configuration").config;
        refusals(&config).into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn the_systems_own_filesystems_are_used_and_never_made_anew() {
        let on = |device: &str, more: Value| {
            let mut entry = json!({"device": device, "format": "ext4"});
            entry.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            refused(json!({"filesystems": [entry]}))
        };
        assert!(on("/dev/disk/by-label/root", json!({"path": "/"})).is_empty());
        assert!(on("/dev/disk/by-label/data", json!({"wipeFilesystem": true})).is_empty());
        let place = ["$.storage.filesystems.0.device"];
        assert_eq!(on("/dev/disk/by-label/root", json!({"wipeFilesystem": true})), place);
        assert_eq!(on("/dev/disk/by-label/var", json!({"format": "xfs"})), place);
        assert_eq!(on("/dev/disk/by-partlabel/boot", json!({"wipeFilesystem": true})), place);
        assert_eq!(on("/dev/ashlar/config-slot", json!({"format": "swap"})), place);
        let raid = json!({"raid": [{"name": "a", "level": "raid1", "devices": ["/dev/x", "/dev/disk/by-label/var"]}]});
        assert_eq!(refused(raid), ["$.storage.raid.0.devices.1"]);
        assert_eq!(
            refused(json!({"luks": [{"name": "a", "device": "/dev/disk/by-label/var"}]})),
            ["$.storage.luks.0.device"]
        );
    }

    #[test]
    fn the_installed_disk_only_gets_more_partitions() {
        let entry = |number: u32, label: &str, kind: &str| Entry {
            number,
            start: u64::from(number) * 2048,
            size: 2048,
            label: label.into(),
            guid: String::new(),
            type_guid: kind.into(),
        };
        let slot = entry(4, "ashlar-config", &ashlar_model::slot::PARTITION_TYPE.to_ascii_uppercase());
        let table = [slot.clone(), entry(6, "var", "L"), entry(7, "mine", "L")];
        assert_eq!(of_table(&table, &[Change::Create(entry(8, "new", "L")), Change::Keep(6)], false), None);
        assert_eq!(of_table(&table, &[Change::Delete(7)], false), None);
        assert!(of_table(&table, &[Change::Delete(6)], false).is_some_and(|why| why.contains("`var`")));
        assert!(of_table(&table, &[Change::Resize(slot)], false).is_some());
        assert!(of_table(&table, &[], true).is_some());
        assert_eq!(of_table(&table[1..], &[Change::Delete(6)], true), None, "another disk");
    }
}
