//! Partition tables, read from the disk itself: no partition device and no scan by the kernel is needed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub number: u32,
    pub name: String,
    /// Bytes from the start of the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Lower-case GUID in its usual form; empty in an MBR.
    pub type_guid: String,
}

/// The partitions of a disk with a GPT or, failing that, an MBR; empty when it has neither.
pub fn read(device: &Path) -> Vec<Partition> {
    let Ok(mut file) = File::open(device) else { return Vec::new() };
    match gptman::GPT::find_from(&mut file) {
        Ok(gpt) => from_gpt(&gpt),
        Err(_) => from_mbr(&mut file).unwrap_or_default(),
    }
}

fn from_gpt(gpt: &gptman::GPT) -> Vec<Partition> {
    let used = gpt.iter().filter(|(_, entry)| entry.is_used());
    used.filter_map(|(number, entry)| {
        Some(Partition {
            number,
            name: entry.partition_name.as_str().to_owned(),
            start: entry.starting_lba.checked_mul(gpt.sector_size)?,
            size: entry.size().ok()?.checked_mul(gpt.sector_size)?,
            type_guid: guid(entry.partition_type_guid),
        })
    })
    .collect()
}

/// The first three fields of a GUID are little-endian on the disk (UEFI specification, appendix A).
fn guid(bytes: [u8; 16]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let text = hex::encode(order.map(|at| bytes[at]));
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Four entries of 16 bytes at 446: type at 4, first sector at 8, sectors at 12.
fn from_mbr(file: &mut File) -> std::io::Result<Vec<Partition>> {
    let mut sector = [0; 512];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut sector)?;
    if sector[510..] != [0x55, 0xaa] {
        return Ok(Vec::new());
    }
    let number = |at: usize| {
        u64::from(u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]))
    };
    let entries = (0..4).map(|index| (index, 446 + index * 16)).filter(|(_, at)| sector[at + 4] != 0);
    Ok(entries
        .map(|(index, at)| Partition {
            number: index as u32 + 1,
            name: String::new(),
            start: number(at + 8) * 512,
            size: number(at + 12) * 512,
            type_guid: String::new(),
        })
        .filter(|partition| partition.size > 0)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_printed_as_people_write_it() {
        let bytes =
            [0x3e, 0x9f, 0x2a, 0x6b, 0x1d, 0x5c, 0x7a, 0x4e, 0x9b, 0x8c, 0xa5, 0x1a, 0x12, 0xc0, 0xf1, 0x60];
        assert_eq!(guid(bytes), "6b2a9f3e-5c1d-4e7a-9b8c-a51a12c0f160");
    }
}
