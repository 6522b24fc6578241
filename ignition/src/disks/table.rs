//! What a partition table is to become: matches what is there, creates, resizes, deletes. Nothing that is there is
//! lost unless the configuration says so.

use thiserror::Error;

use crate::spec::{Disk, Partition};

/// A partition on a disk; in sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub number: u32,
    pub start: u64,
    pub size: u64,
    pub label: String,
    /// Upper case, with dashes; empty for one that is still to be chosen.
    pub guid: String,
    pub type_guid: String,
}

/// The disk as it is; in sectors.
#[derive(Debug, Clone)]
pub struct Table {
    pub sector_size: u64,
    pub first_usable: u64,
    pub last_usable: u64,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Keep(u32),
    Create(Entry),
    /// Deleted and made anew; what was in it is lost.
    Replace(Entry),
    /// The same partition with another end.
    Resize(Entry),
    Delete(u32),
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum TableError {
    #[error("partition {number} is there, but {what}; wipePartitionEntry is not set")]
    Differs { number: u32, what: String },
    #[error("partition {number} is there and should not be; wipePartitionEntry is not set")]
    Unwanted { number: u32 },
    #[error("partition {what} does not fit: {reason}")]
    NoRoom { what: String, reason: String },
    #[error("the table has no free entry left")]
    Full,
}

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const MIB: u64 = 1 << 20;
const ENTRIES: u32 = 128;

/// The changes of a disk, in the order of the configuration, those without a number last.
///
/// # Errors
/// What is there differs and may not be replaced, or there is no room.
pub fn changes(disk: &Disk, table: &Table) -> Result<Vec<Change>, TableError> {
    let mut partitions: Vec<&Partition> = disk.partitions.iter().flatten().collect();
    partitions.sort_by_key(|partition| number_of(partition) == 0);
    let table =
        if disk.wipe_table == Some(true) { &Table { entries: Vec::new(), ..table.clone() } } else { table };
    let placed = place(&partitions, table)?;
    partitions
        .iter()
        .zip(placed)
        .filter_map(|(partition, entry)| change(partition, entry, table).transpose())
        .collect()
}

/// The table after the changes, in the order of numbers.
pub fn applied(table: &Table, changes: &[Change], wipe: bool) -> Vec<Entry> {
    let mut entries = if wipe { Vec::new() } else { table.entries.clone() };
    for change in changes {
        match change {
            Change::Keep(_) => {}
            Change::Delete(number) => entries.retain(|entry| entry.number != *number),
            Change::Create(new) | Change::Replace(new) | Change::Resize(new) => {
                entries.retain(|entry| entry.number != new.number);
                entries.push(new.clone());
            }
        }
    }
    entries.sort_by_key(|entry| entry.number);
    entries
}

fn number_of(partition: &Partition) -> u32 {
    partition.number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn change(partition: &Partition, wanted: Option<Entry>, table: &Table) -> Result<Option<Change>, TableError> {
    let wipe = partition.wipe_partition_entry == Some(true);
    let Some(wanted) = wanted else {
        let number = number_of(partition);
        return match table.entries.iter().find(|entry| entry.number == number) {
            None => Ok(None),
            Some(_) if wipe => Ok(Some(Change::Delete(number))),
            Some(_) => Err(TableError::Unwanted { number }),
        };
    };
    let Some(found) = table.entries.iter().find(|entry| entry.number == wanted.number) else {
        return Ok(Some(Change::Create(wanted)));
    };
    match (difference(partition, &wanted, found), found.size != wanted.size) {
        (None, false) => Ok(Some(Change::Keep(found.number))),
        (None, true) if partition.size_mib.is_none() => Ok(Some(Change::Keep(found.number))),
        (None, true) if partition.resize == Some(true) => {
            Ok(Some(Change::Resize(Entry { size: wanted.size, ..found.clone() })))
        }
        (Some(_), _) | (None, true) if wipe => Ok(Some(Change::Replace(wanted))),
        (Some(what), _) => Err(TableError::Differs { number: found.number, what }),
        (None, _) => {
            let what = format!("it has {} sectors, not {}", found.size, wanted.size);
            Err(TableError::Differs { number: found.number, what })
        }
    }
}

/// In what a partition differs from what is asked for, but for its size.
fn difference(partition: &Partition, wanted: &Entry, found: &Entry) -> Option<String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if partition.start_mib.is_some() && wanted.start != found.start {
        return Some(format!("it begins at sector {}, not {}", found.start, wanted.start));
    }
    if let Some(guid) = given(&partition.guid).filter(|guid| !guid.eq_ignore_ascii_case(&found.guid)) {
        return Some(format!("its GUID is {}, not {guid}", found.guid));
    }
    if let Some(kind) =
        given(&partition.type_guid).filter(|kind| !kind.eq_ignore_ascii_case(&found.type_guid))
    {
        return Some(format!("its type is {}, not {kind}", found.type_guid));
    }
    let label = partition.label.as_ref().filter(|label| **label != found.label)?;
    Some(format!("its label is `{}`, not `{label}`", found.label))
}

/// Where every partition that should exist would lie if all that are named were made anew, one after the other.
fn place(partitions: &[&Partition], table: &Table) -> Result<Vec<Option<Entry>>, TableError> {
    let exists = |partition: &Partition| partition.should_exist != Some(false);
    let named: Vec<u32> =
        partitions.iter().map(|partition| number_of(partition)).filter(|number| *number != 0).collect();
    let mut taken: Vec<Entry> =
        table.entries.iter().filter(|entry| !named.contains(&entry.number)).cloned().collect();
    let mut numbers: Vec<u32> = table.entries.iter().map(|entry| entry.number).collect();
    for partition in partitions.iter().filter(|partition| number_of(partition) != 0) {
        numbers.retain(|number| *number != number_of(partition));
        if exists(partition) {
            numbers.push(number_of(partition));
        }
    }
    let mut placed = Vec::new();
    for partition in partitions {
        if !exists(partition) {
            placed.push(None);
            continue;
        }
        let number = match number_of(partition) {
            0 => (1..=ENTRIES).find(|number| !numbers.contains(number)).ok_or(TableError::Full)?,
            number => number,
        };
        numbers.push(number);
        let entry = place_one(partition, number, table, &taken)?;
        taken.push(entry.clone());
        placed.push(Some(entry));
    }
    Ok(placed)
}

fn place_one(
    partition: &Partition,
    number: u32,
    table: &Table,
    taken: &[Entry],
) -> Result<Entry, TableError> {
    let found = table.entries.iter().find(|entry| entry.number == number);
    // What the configuration does not say stays as it is, unless the entry may be wiped.
    let kept = found.filter(|_| partition.wipe_partition_entry != Some(true));
    let sectors = |mib: i64| u64::try_from(mib).unwrap_or(0) * (MIB / table.sector_size);
    let start = partition.start_mib.map(sectors).or(kept.map(|entry| entry.start)).unwrap_or(0);
    let size = partition.size_mib.map(sectors).or(kept.map(|entry| entry.size)).unwrap_or(0);
    let what = partition.label.clone().unwrap_or_else(|| number.to_string());
    let no_room = |reason: String| TableError::NoRoom { what: what.clone(), reason };
    let gaps = gaps(table, taken);
    let start = if start == 0 {
        let largest = gaps.iter().rev().max_by_key(|(first, last)| last - first);
        aligned(largest.ok_or_else(|| no_room("the disk is full".to_owned()))?.0, table.sector_size)
    } else {
        start
    };
    let (_, last) = *gaps
        .iter()
        .find(|(first, last)| (*first..=*last).contains(&start))
        .ok_or_else(|| no_room(format!("sector {start} is not free")))?;
    let room = last - start + 1;
    let size = if size == 0 { room } else { size };
    if size > room {
        return Err(no_room(format!("it needs {size} sectors; {room} are free at sector {start}")));
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(Entry {
        number,
        start,
        size,
        label: partition.label.clone().unwrap_or_default(),
        guid: given(&partition.guid).unwrap_or_default().to_ascii_uppercase(),
        type_guid: given(&partition.type_guid).unwrap_or_else(|| LINUX.to_owned()).to_ascii_uppercase(),
    })
}

fn aligned(sector: u64, sector_size: u64) -> u64 {
    sector.next_multiple_of(MIB / sector_size)
}

/// Free ranges, first and last sector.
fn gaps(table: &Table, taken: &[Entry]) -> Vec<(u64, u64)> {
    let mut taken: Vec<&Entry> = taken.iter().collect();
    taken.sort_by_key(|entry| entry.start);
    let mut gaps = Vec::new();
    let mut next = table.first_usable;
    for entry in taken {
        if entry.start > next {
            gaps.push((next, entry.start - 1));
        }
        next = next.max(entry.start + entry.size);
    }
    if next <= table.last_usable {
        gaps.push((next, table.last_usable));
    }
    gaps
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
