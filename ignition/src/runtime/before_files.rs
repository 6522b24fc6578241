//! What only a booting machine can do: kernel arguments and disks, as lines for people.

use crate::spec::{Config, Storage};

/// Stage, what is done, and whether data can be lost.
pub(super) fn before_files(config: &Config) -> Vec<(&'static str, String, bool)> {
    let mut lines = Vec::new();
    let arguments = config.kernel_arguments.clone().unwrap_or_default();
    lines.extend(
        arguments
            .should_exist
            .into_iter()
            .flatten()
            .map(|word| ("kargs", format!("add {word}; one restart"), false)),
    );
    lines.extend(
        arguments
            .should_not_exist
            .into_iter()
            .flatten()
            .map(|word| ("kargs", format!("remove {word}; one restart"), false)),
    );
    let storage: Storage = config.storage.clone().unwrap_or_default();
    for disk in storage.disks.into_iter().flatten() {
        let wipe = disk.wipe_table == Some(true);
        let count = disk.partitions.as_ref().map_or(0, Vec::len);
        let entries =
            disk.partitions.iter().flatten().any(|partition| partition.wipe_partition_entry == Some(true));
        let words = if wipe { "wipe the table" } else { "keep what is there" };
        lines.push(("disks", format!("{}: {words}, {count} partitions", disk.device), wipe || entries));
    }
    for raid in storage.raid.into_iter().flatten() {
        let devices = raid.devices.unwrap_or_default().join(", ");
        lines.push((
            "disks",
            format!("/dev/md/{}: {} of {devices}", raid.name, raid.level.unwrap_or_default()),
            true,
        ));
    }
    for luks in storage.luks.into_iter().flatten() {
        let wipe = luks.wipe_volume == Some(true);
        lines.push((
            "disks",
            format!("/dev/mapper/{}: LUKS on {}", luks.name, luks.device.unwrap_or_default()),
            wipe,
        ));
    }
    for entry in storage.filesystems.into_iter().flatten() {
        let format = entry.format.clone().unwrap_or_default();
        let place = entry.path.map_or_else(String::new, |path| format!(", mounted at {path}"));
        lines.push((
            "disks",
            format!("{}: {format}{place}", entry.device),
            entry.wipe_filesystem == Some(true),
        ));
    }
    lines
}
