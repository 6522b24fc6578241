//! Rules of disks, partitions, RAID arrays and filesystems.

use std::collections::{HashMap, HashSet};

use ashlar_model::config::Problem;

use super::{Report, given, luks, path, quoted};
use crate::spec::{Disk, Filesystem, Partition, Raid, Storage};
use crate::version::Version;

pub(super) fn check(storage: &Storage, version: Version, report: &mut Report) {
    for (index, disk) in storage.disks.iter().flatten().enumerate() {
        let place = format!("$.storage.disks.{index}");
        path(&disk.device, format!("{place}.device"), report);
        partitions(disk, &place, report);
    }
    for (index, array) in storage.raid.iter().flatten().enumerate() {
        raid(array, &format!("$.storage.raid.{index}"), report);
    }
    for (index, volume) in storage.luks.iter().flatten().enumerate() {
        luks::check(volume, &format!("$.storage.luks.{index}"), version, report);
    }
    let disks: HashMap<&str, &Disk> =
        storage.disks.iter().flatten().map(|disk| (disk.device.as_str(), disk)).collect();
    for (index, entry) in storage.filesystems.iter().flatten().enumerate() {
        let place = format!("$.storage.filesystems.{index}");
        filesystem(entry, &place, version, report);
        if let Some(disk) = disks.get(entry.device.as_str()) {
            on_a_disk(entry, disk, format!("{place}.device"), report);
        }
    }
}

fn partitions(disk: &Disk, place: &str, report: &mut Report) {
    let list = disk.partitions.as_deref().unwrap_or_default();
    let (mut numbers, mut labels) = (HashSet::new(), HashSet::new());
    for (index, partition) in list.iter().enumerate() {
        let place = format!("{place}.partitions.{index}");
        one_partition(partition, &place, report);
        let number = partition.number.unwrap_or(0);
        if number != 0 && !numbers.insert(number) {
            report.error(Problem::new(&place, number, "must not have the number of another partition"));
        }
        if let Some(label) = &partition.label
            && !labels.insert(label)
        {
            report.error(Problem::new(&place, quoted(label), "must not have the label of another partition"));
        }
        if let Some(other) = list.iter().take(index).position(|other| overlap(partition, other)) {
            let rule = format!("must not overlap the partition at index {other}");
            report.error(Problem::new(place, "startMiB and sizeMiB", rule));
        }
    }
}

/// Only when both say where they begin; a size of 0 is whatever is left.
fn overlap(left: &Partition, right: &Partition) -> bool {
    let range = |partition: &Partition| {
        let start = partition.start_mib.filter(|start| *start != 0)?;
        let size = partition.size_mib?;
        Some((start, if size == 0 { start } else { start.saturating_add(size) - 1 }))
    };
    match (range(left), range(right)) {
        (Some((first, last)), Some((other_first, other_last))) => first <= other_last && other_first <= last,
        _ => false,
    }
}

fn one_partition(partition: &Partition, place: &str, report: &mut Report) {
    let label = partition.label.as_deref();
    let number = partition.number.unwrap_or(0);
    let others = label.is_some()
        || given(&partition.type_guid).is_some()
        || given(&partition.guid).is_some()
        || partition.start_mib.is_some()
        || partition.size_mib.is_some();
    if partition.should_exist == Some(false) && others {
        let rule = "must say nothing but the number of a partition that should not exist";
        report.error(Problem::new(place, "`shouldExist: false` with more", rule));
    }
    if number == 0 && label.is_none() {
        report.error(Problem::new(place, "neither", "must have a number from 1 on, or a label"));
    }
    if !(0..=128).contains(&number) {
        report.error(Problem::new(
            format!("{place}.number"),
            number,
            "must be from 1 to 128, or 0 for the next free one",
        ));
    }
    if label.is_some_and(|label| label.len() > 36) {
        report.error(Problem::new(
            format!("{place}.label"),
            quoted(label.unwrap_or("")),
            "must have at most 36 characters",
        ));
    }
    if label.is_some_and(|label| label.contains(':')) {
        report.error(Problem::new(
            format!("{place}.label"),
            quoted(label.unwrap_or("")),
            "must not contain a colon",
        ));
    }
    for (name, guid) in [("guid", &partition.guid), ("typeGuid", &partition.type_guid)] {
        if let Some(guid) = given(guid).filter(|guid| !is_guid(guid)) {
            let rule = "must have the form 01234567-89AB-CDEF-EDCB-A98765432101";
            report.error(Problem::new(format!("{place}.{name}"), quoted(guid), rule));
        }
    }
    for (name, value) in [("startMiB", partition.start_mib), ("sizeMiB", partition.size_mib)] {
        if let Some(value) = value.filter(|value| *value < 0) {
            report.error(Problem::new(format!("{place}.{name}"), value, "must not be negative"));
        }
    }
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn raid(array: &Raid, place: &str, report: &mut Report) {
    let spares = array.spares.unwrap_or(0);
    match given(&array.level) {
        None => report.error(
            Problem::new(format!("{place}.level"), "nothing", "is required").hint("for example raid1"),
        ),
        Some("linear" | "raid0" | "0" | "stripe") if spares != 0 => {
            let rule = "must be 0 for an array that cannot lose a device";
            report.error(Problem::new(format!("{place}.spares"), spares, rule));
        }
        Some(
            "linear" | "raid0" | "0" | "stripe" | "raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5"
            | "raid6" | "6" | "raid10" | "10",
        ) => {}
        Some(other) => report.error(Problem::new(
            format!("{place}.level"),
            quoted(other),
            "must be linear, raid0, raid1, raid4, raid5, raid6 or raid10",
        )),
    }
    let devices = array.devices.as_deref().unwrap_or_default();
    if devices.is_empty() {
        report.error(Problem::new(format!("{place}.devices"), "nothing", "is required"));
    }
    for (index, device) in devices.iter().enumerate() {
        path(device, format!("{place}.devices.{index}"), report);
    }
    if array.name.is_empty() || array.name.contains('/') {
        report.error(Problem::new(
            format!("{place}.name"),
            quoted(&array.name),
            "must be a name for /dev/md/",
        ));
    }
}

/// Format, and how many bytes its label may have.
const LABELS: &[(&str, usize)] = &[("ext4", 16), ("btrfs", 256), ("xfs", 12), ("swap", 15), ("vfat", 11)];

fn filesystem(entry: &Filesystem, place: &str, version: Version, report: &mut Report) {
    path(&entry.device, format!("{place}.device"), report);
    if let Some(mount) = given(&entry.path) {
        path(mount, format!("{place}.path"), report);
    }
    let label = given(&entry.label);
    let Some(format) = given(&entry.format) else {
        let others = given(&entry.path).is_some()
            || label.is_some()
            || given(&entry.uuid).is_some()
            || entry.wipe_filesystem == Some(true)
            || entry.options.as_ref().is_some_and(|options| !options.is_empty())
            || entry.mount_options.as_ref().is_some_and(|options| !options.is_empty());
        if others {
            let rule = "is required with path, label, uuid, wipeFilesystem, options or mountOptions";
            report.error(Problem::new(format!("{place}.format"), "nothing", rule));
        }
        return;
    };
    match Version::of_format(format) {
        Some(first) if first <= version => {}
        Some(first) => {
            let rule = format!("is known from spec {first} on");
            report.error(Problem::new(format!("{place}.format"), quoted(format), rule));
        }
        None => {
            let rule = "must be ext4, xfs, btrfs, vfat, swap or none";
            report.error(Problem::new(format!("{place}.format"), quoted(format), rule));
        }
    }
    let most = LABELS.iter().find(|(name, _)| *name == format).map(|(_, most)| *most);
    if let Some(most) = most.filter(|most| label.is_some_and(|label| label.len() > *most)) {
        let rule = format!("must have at most {most} characters for {format}");
        report.error(Problem::new(format!("{place}.label"), quoted(label.unwrap_or("")), rule));
    }
}

fn on_a_disk(entry: &Filesystem, disk: &Disk, place: String, report: &mut Report) {
    if disk.partitions.as_ref().is_some_and(|partitions| !partitions.is_empty()) {
        let rule = "is a disk that is partitioned as well: its table would be overwritten";
        report.warning(Problem::new(place, quoted(&entry.device), rule).hint("name a partition"));
    } else if entry.wipe_filesystem != Some(true) && disk.wipe_table == Some(true) {
        let rule = "is a disk with wipeTable: what is on it is lost although wipeFilesystem is not set";
        report.warning(Problem::new(place, quoted(&entry.device), rule));
    }
}
