//! Reading and writing partition tables of whole disks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use gptman::{GPT, GPTPartitionEntry};

use crate::disks::table::{Entry, Table};

const MBR_SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Two copies of 128 entries of 128 bytes, and their headers.
const ENTRY_BYTES: u64 = 128 * 128;

/// What a disk begins with.
pub(super) enum Found {
    Gpt(Box<GPT>),
    /// Neither a GPT nor an MBR.
    Nothing,
    /// An MBR with partitions and no GPT.
    Mbr,
}

pub(super) struct Disk {
    file: File,
    sector_size: u64,
    sectors: u64,
    pub found: Found,
}

impl Disk {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let sector_size = sector_size(path);
        let sectors = file.seek(SeekFrom::End(0))? / sector_size;
        let found = match GPT::read_from(&mut file, sector_size) {
            Ok(table) => Found::Gpt(Box::new(table)),
            Err(_) if has_mbr(&mut file)? => Found::Mbr,
            Err(_) => Found::Nothing,
        };
        Ok(Self { file, sector_size, sectors, found })
    }

    /// The table that is there, moved to the disk's end when the disk grew; a new one when there is none.
    pub fn table(&self) -> Table {
        let reserved = 1 + ENTRY_BYTES / self.sector_size;
        let entries = match &self.found {
            Found::Gpt(table) => table
                .iter()
                .filter(|(_, entry)| entry.is_used())
                .map(|(number, entry)| read(number, entry))
                .collect(),
            Found::Nothing | Found::Mbr => Vec::new(),
        };
        Table {
            sector_size: self.sector_size,
            first_usable: 1 + reserved,
            last_usable: self.sectors.saturating_sub(reserved + 1),
            entries,
        }
    }

    /// Writes a table with these entries; a new disk GUID when there was no GPT or it is wiped.
    pub fn write(&mut self, entries: &[Entry], wipe: bool) -> io::Result<()> {
        let kept = match std::mem::replace(&mut self.found, Found::Nothing) {
            Found::Gpt(table) if !wipe => Some(*table),
            _ => None,
        };
        let mut table = match kept {
            Some(mut table) => {
                table.header.update_from(&mut self.file, self.sector_size).map_err(io::Error::other)?;
                table
            }
            None => {
                GPT::write_protective_mbr_into(&mut self.file, self.sector_size).map_err(io::Error::other)?;
                GPT::new_from(&mut self.file, self.sector_size, random_guid()?).map_err(io::Error::other)?
            }
        };
        for number in 1..=128 {
            let old = table[number].clone();
            table[number] = match entries.iter().find(|entry| entry.number == number) {
                None => GPTPartitionEntry::empty(),
                Some(entry) => written(entry, &old)?,
            };
        }
        table.write_into(&mut self.file).map_err(io::Error::other)?;
        self.file.sync_all()
    }
}

fn has_mbr(file: &mut File) -> io::Result<bool> {
    let mut sector = [0; 512];
    file.rewind()?;
    match file.read_exact(&mut sector) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    // Filesystems have the signature as well; partitions have a type.
    let types = (0..4).map(|index| sector[446 + index * 16 + 4]);
    Ok(sector[510..] == MBR_SIGNATURE && types.into_iter().any(|kind| kind != 0))
}

/// Of a file it is 512.
fn sector_size(path: &Path) -> u64 {
    let name = path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_owned()));
    let queue = name.map(|name| Path::new("/sys/class/block").join(name).join("queue/logical_block_size"));
    queue
        .and_then(|path| std::fs::read_to_string(path).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(512)
}

fn read(number: u32, entry: &GPTPartitionEntry) -> Entry {
    Entry {
        number,
        start: entry.starting_lba,
        size: entry.ending_lba + 1 - entry.starting_lba,
        label: entry.partition_name.as_str().to_owned(),
        guid: ashlar_host::gpt::guid(entry.unique_partition_guid).to_ascii_uppercase(),
        type_guid: ashlar_host::gpt::guid(entry.partition_type_guid).to_ascii_uppercase(),
    }
}

fn written(entry: &Entry, old: &GPTPartitionEntry) -> io::Result<GPTPartitionEntry> {
    let guid = if entry.guid.is_empty() { random_guid()? } else { parse_guid(&entry.guid)? };
    let same = old.is_used() && old.unique_partition_guid == guid;
    Ok(GPTPartitionEntry {
        partition_type_guid: parse_guid(&entry.type_guid)?,
        unique_partition_guid: guid,
        starting_lba: entry.start,
        ending_lba: entry.start + entry.size - 1,
        attribute_bits: if same { old.attribute_bits } else { 0 },
        partition_name: entry.label.as_str().into(),
    })
}

/// The first three fields are little-endian.
fn parse_guid(text: &str) -> io::Result<[u8; 16]> {
    let bytes = hex::decode(text.replace('-', "")).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let mut bytes =
        bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{text} is no GUID")))?;
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Ok(bytes)
}

/// Version 4.
pub(super) fn random_guid() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    bytes[7] = bytes[7] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes)
}
