//! The installed disk's partition table: the image's own, with a GUID of this disk, its backup at the disk's end and
//! a partition `var` over the rest. Computed in memory; nothing here touches the disk.

use std::io::{self, Read, Seek, SeekFrom, Write};

use ashlar_model::slot;
use gptman::{GPT, GPTPartitionEntry};
use uuid::Uuid;

use super::{DiskError, MIB};

const SECTOR: u64 = 512;
/// "Linux filesystem data".
const VAR_TYPE: Uuid = Uuid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);
const VAR_NAME: &str = "var";
/// Less than this holds no container images.
pub const VAR_MINIMUM: u64 = 1024 * MIB;
/// Header and partition array of the backup.
const BACKUP: u64 = 33 * SECTOR;

/// Bytes from the start of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub start: u64,
    pub size: u64,
}

pub struct Table {
    /// The disk's first MiB.
    pub head: Vec<u8>,
    /// The disk's end from `tail_start`.
    pub tail: Vec<u8>,
    pub tail_start: u64,
    pub var: Range,
    pub slot: Range,
}

/// `first` is the image's first MiB, `disk_size` in bytes.
pub fn build(first: &[u8], disk_size: u64, path: &std::path::Path) -> Result<Table, DiskError> {
    let mut ends = Ends::new(first.to_vec(), disk_size);
    let mut gpt = GPT::read_from(&mut ends, SECTOR)?;
    let used_end =
        gpt.iter().filter(|(_, entry)| entry.is_used()).map(|(_, entry)| entry.ending_lba + 1).max();
    let var = var_range(used_end.unwrap_or(0) * SECTOR, disk_size);
    let need = var.start + VAR_MINIMUM + MIB;
    if disk_size < need {
        return Err(DiskError::TooSmall { path: path.to_owned(), have: disk_size, need });
    }
    gpt.header.update_from(&mut ends, SECTOR)?;
    gpt.header.disk_guid = Uuid::new_v4().to_bytes_le();
    let number =
        gpt.iter().filter(|(_, entry)| entry.is_used()).map(|(number, _)| number).max().unwrap_or(0) + 1;
    gpt[number] = GPTPartitionEntry {
        partition_type_guid: VAR_TYPE.to_bytes_le(),
        unique_partition_guid: Uuid::new_v4().to_bytes_le(),
        starting_lba: var.start / SECTOR,
        ending_lba: (var.start + var.size) / SECTOR - 1,
        attribute_bits: 0,
        partition_name: VAR_NAME.into(),
    };
    let slot = slot_range(&gpt)?;
    gpt.write_into(&mut ends)?;
    protect(&mut ends.head, disk_size);
    Ok(Table { tail_start: ends.tail_start(), head: ends.head, tail: ends.tail, var, slot })
}

/// Whole MiBs, with room for the backup table behind it.
fn var_range(after: u64, disk_size: u64) -> Range {
    let start = after.next_multiple_of(MIB);
    let end = disk_size.saturating_sub(BACKUP) / MIB * MIB;
    Range { start, size: end.saturating_sub(start) }
}

fn slot_range(gpt: &GPT) -> Result<Range, DiskError> {
    let guid =
        Uuid::parse_str(slot::PARTITION_TYPE).map_err(|error| DiskError::Manifest(error.to_string()))?;
    let entry = gpt.iter().find(|(_, entry)| entry.partition_type_guid == guid.to_bytes_le());
    let (_, entry) = entry.ok_or_else(|| DiskError::Manifest("the image has no config slot".into()))?;
    Ok(Range { start: entry.starting_lba * SECTOR, size: entry.size()? * SECTOR })
}

/// The protective MBR's first entry spans the disk (UEFI specification, 5.2.3); boot code stays.
fn protect(head: &mut [u8], disk_size: u64) {
    const TYPE: usize = 446 + 4;
    const SIZE: std::ops::Range<usize> = 446 + 12..446 + 16;
    if head[TYPE] == 0xee {
        let sectors = u32::try_from(disk_size / SECTOR - 1).unwrap_or(u32::MAX);
        head[SIZE].copy_from_slice(&sectors.to_le_bytes());
    }
}

/// A disk of which only the first MiB and the place of the backup table exist.
struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
    position: u64,
}

impl Ends {
    fn new(head: Vec<u8>, length: u64) -> Self {
        Self { head, tail: vec![0; BACKUP as usize], length: length / SECTOR * SECTOR, position: 0 }
    }

    fn tail_start(&self) -> u64 {
        self.length.saturating_sub(BACKUP)
    }

    fn at_position(&mut self) -> &mut [u8] {
        let tail_start = self.tail_start();
        if self.position >= tail_start {
            let at = (self.position - tail_start).min(BACKUP) as usize;
            return &mut self.tail[at..];
        }
        let at = self.position.min(self.head.len() as u64) as usize;
        &mut self.head[at..]
    }
}

impl Read for Ends {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let source = self.at_position();
        let count = source.len().min(buffer.len());
        buffer[..count].copy_from_slice(&source[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let target = self.at_position();
        let count = target.len().min(bytes.len());
        target[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Ends {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
