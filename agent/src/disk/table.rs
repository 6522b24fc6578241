//! The installed disk's partition table: the image's own in the sectors of the disk, with GUIDs of this disk, its
//! backup at the disk's end and a partition `var` over the rest. Computed in memory; nothing here touches the disk.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ashlar_model::slot;
use gptman::{GPT, GPTPartitionEntry};
use uuid::Uuid;

use super::{DiskError, MIB};

/// Of the image's table, in bytes.
const IMAGE_SECTOR: u64 = 512;
/// The protective MBR's boot code (UEFI specification, 5.2.1).
const BOOT_CODE: std::ops::Range<usize> = 0..440;
/// "Linux filesystem data".
const VAR_TYPE: Uuid = Uuid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);
const EFI_TYPE: Uuid = Uuid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
const VAR_NAME: &str = "var";
/// Less than this holds no container images.
pub const VAR_MINIMUM: u64 = 1024 * MIB;
/// 128 entries of 128 bytes (UEFI specification, 5.3.2).
const PARTITION_ARRAY: u64 = 16 << 10;

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
    /// The EFI system partition, when the image has one.
    pub efi: Option<Efi>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Efi {
    pub number: u32,
    pub range: Range,
}

/// `first` is the image's first MiB; `disk_size` and `sector` of the disk, in bytes.
pub fn build(first: &[u8], disk_size: u64, sector: u64, path: &Path) -> Result<Table, DiskError> {
    if sector < IMAGE_SECTOR || !MIB.is_multiple_of(sector) {
        return Err(DiskError::Sector { path: path.to_owned(), sector });
    }
    let image = GPT::read_from(&mut Ends::new(first.to_vec(), disk_size, IMAGE_SECTOR), IMAGE_SECTOR)?;
    let used: Vec<(u32, &GPTPartitionEntry)> = image.iter().filter(|(_, entry)| entry.is_used()).collect();
    let used_end = used.iter().map(|(_, entry)| (entry.ending_lba + 1) * IMAGE_SECTOR).max().unwrap_or(0);
    let var = var_range(used_end, disk_size, sector);
    let need = var.start + VAR_MINIMUM + MIB;
    if disk_size < need {
        return Err(DiskError::TooSmall { path: path.to_owned(), have: disk_size, need });
    }
    let mut head = vec![0; first.len()];
    head[BOOT_CODE].copy_from_slice(&first[BOOT_CODE]);
    let mut ends = Ends::new(head, disk_size, sector);
    GPT::write_protective_mbr_into(&mut ends, sector)?;
    let mut gpt = GPT::new_from(&mut ends, sector, random())?;
    let (mut last, mut slot, mut efi) = (0, None, None);
    for (number, entry) in used {
        let range = Range { start: entry.starting_lba * IMAGE_SECTOR, size: entry.size()? * IMAGE_SECTOR };
        match Uuid::from_bytes_le(entry.partition_type_guid) {
            kind if Uuid::parse_str(slot::PARTITION_TYPE) == Ok(kind) => slot = Some(range),
            EFI_TYPE => efi = Some(Efi { number, range }),
            _ => {}
        }
        gpt[number] = partition(entry.partition_type_guid, range, entry.partition_name.as_str(), sector);
        gpt[number].attribute_bits = entry.attribute_bits;
        last = last.max(number);
    }
    gpt[last + 1] = partition(VAR_TYPE.to_bytes_le(), var, VAR_NAME, sector);
    gpt.write_into(&mut ends)?;
    let slot = slot.ok_or_else(|| DiskError::Manifest("the image has no config slot".into()))?;
    Ok(Table { tail_start: ends.tail_start(), head: ends.head, tail: ends.tail, var, slot, efi })
}

fn partition(kind: [u8; 16], range: Range, name: &str, sector: u64) -> GPTPartitionEntry {
    GPTPartitionEntry {
        partition_type_guid: kind,
        unique_partition_guid: random(),
        starting_lba: range.start / sector,
        ending_lba: (range.start + range.size) / sector - 1,
        attribute_bits: 0,
        partition_name: name.into(),
    }
}

fn random() -> [u8; 16] {
    Uuid::new_v4().to_bytes_le()
}

/// Whole MiBs, with room for the backup table behind it.
fn var_range(after: u64, disk_size: u64, sector: u64) -> Range {
    let start = after.next_multiple_of(MIB);
    let end = disk_size.saturating_sub(backup(sector)) / MIB * MIB;
    Range { start, size: end.saturating_sub(start) }
}

/// Bytes of the backup's header and partition array.
fn backup(sector: u64) -> u64 {
    sector + PARTITION_ARRAY.next_multiple_of(sector)
}

/// A disk of which only the first MiB and the place of the backup table exist.
struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
    position: u64,
}

impl Ends {
    fn new(head: Vec<u8>, length: u64, sector: u64) -> Self {
        Self { head, tail: vec![0; backup(sector) as usize], length: length / sector * sector, position: 0 }
    }

    fn tail_start(&self) -> u64 {
        self.length.saturating_sub(self.tail.len() as u64)
    }

    fn at_position(&mut self) -> &mut [u8] {
        let tail_start = self.tail_start();
        if self.position >= tail_start {
            let at = (self.position - tail_start).min(self.tail.len() as u64) as usize;
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
