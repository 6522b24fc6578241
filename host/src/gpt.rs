//! Reading a GPT: which partitions a disk or a disk image has. Needs no partition scan by the kernel.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("opening {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("reading the partition table")]
    Table { source: gptman::Error },
}

/// A partition, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub number: u32,
    pub name: String,
    /// Lower case, with dashes.
    pub type_guid: String,
    pub start: u64,
    pub size: u64,
}

/// Partitions of a disk, a disk image, in the table's order.
///
/// # Errors
/// The disk cannot be opened, or has no GPT.
pub fn read(path: &Path) -> Result<Vec<Partition>, Error> {
    let mut file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    read_from(&mut file)
}

/// As `read`, from anything that can be read and sought; sectors of 512 or 4096 bytes.
///
/// # Errors
/// No GPT.
pub fn read_from(reader: &mut (impl Read + Seek)) -> Result<Vec<Partition>, Error> {
    let table = gptman::GPT::find_from(reader).map_err(|source| Error::Table { source })?;
    let sector = table.sector_size;
    let used = table.iter().filter(|(_, entry)| entry.is_used());
    Ok(used
        .map(|(number, entry)| Partition {
            number,
            name: entry.partition_name.as_str().to_owned(),
            type_guid: guid(entry.partition_type_guid),
            start: entry.starting_lba * sector,
            size: (entry.ending_lba + 1 - entry.starting_lba) * sector,
        })
        .collect())
}

/// The text form of a GUID as it is stored: its first three fields are little-endian.
#[must_use]
pub fn guid(bytes: [u8; 16]) -> String {
    let hex = |order: &[usize]| order.iter().map(|at| format!("{:02x}", bytes[*at])).collect::<String>();
    [hex(&[3, 2, 1, 0]), hex(&[5, 4]), hex(&[7, 6]), hex(&[8, 9]), hex(&[10, 11, 12, 13, 14, 15])].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_table_is_read_in_bytes() {
        let mut disk = io::Cursor::new(vec![0; 1 << 20]);
        let mut table = gptman::GPT::new_from(&mut disk, 512, [7; 16]).expect("a table fits");
        table[3] = gptman::GPTPartitionEntry {
            partition_type_guid: [
                0x3e, 0x9f, 0x2a, 0x6b, 0x1d, 0x5c, 0x7a, 0x4e, 0x9b, 0x8c, 0xa5, 0x1a, 0x12, 0xc0, 0xf1,
                0x60,
            ],
            unique_partition_guid: [1; 16],
            starting_lba: 64,
            ending_lba: 127,
            attribute_bits: 0,
            partition_name: "ashlar-config".into(),
        };
        table.write_into(&mut disk).expect("written");
        let expected = Partition {
            number: 3,
            name: "ashlar-config".into(),
            type_guid: "6b2a9f3e-5c1d-4e7a-9b8c-a51a12c0f160".into(),
            start: 32 * 1024,
            size: 32 * 1024,
        };
        assert_eq!(read_from(&mut disk).expect("valid"), [expected]);
    }
}
