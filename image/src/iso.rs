//! Finds a file's bytes inside an ISO 9660 image, without mounting it: names as Rock Ridge has them, files in
//! one piece (as xorriso writes them).

use std::io::{self, Read, Seek, SeekFrom};

const SECTOR: u64 = 2048;
const DESCRIPTORS: u64 = 16;
const PRIMARY: u8 = 1;
const TERMINATOR: u8 = 255;
/// Flags of a directory record.
const DIRECTORY: u8 = 0x02;
const CONTINUED: u8 = 0x80;
/// No directory of ours is near this; it bounds what a damaged image can make us read.
const LARGEST_DIRECTORY: u64 = 16 << 20;

/// Bytes of a file in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the ISO image")]
    Read(#[from] io::Error),
    #[error("this is not an ISO 9660 image")]
    NotIso,
    #[error("the ISO image has no `{0}`")]
    Missing(String),
    #[error("`{0}` in the ISO image is not what it should be (file or directory)")]
    Kind(String),
    #[error("the ISO image is damaged: {0}")]
    Damaged(&'static str),
}

/// The extent of the file at the absolute `path`.
///
/// # Errors
/// The image cannot be read or understood, or has no such file.
pub fn find(mut image: impl Read + Seek, path: &str) -> Result<Extent, Error> {
    let mut entry = root(&mut image)?;
    for name in path.split('/').filter(|part| !part.is_empty()) {
        if !entry.directory {
            return Err(Error::Kind(path.to_owned()));
        }
        let mut entries = list(&mut image, entry.extent)?;
        let at = entries.iter().position(|entry| entry.name == name);
        entry = entries.swap_remove(at.ok_or_else(|| Error::Missing(path.to_owned()))?);
    }
    if entry.directory { Err(Error::Kind(path.to_owned())) } else { Ok(entry.extent) }
}

#[derive(Debug)]
struct Entry {
    name: String,
    extent: Extent,
    directory: bool,
    continued: bool,
}

fn root(image: &mut (impl Read + Seek)) -> Result<Entry, Error> {
    let mut descriptor = [0; SECTOR as usize];
    image.seek(SeekFrom::Start(DESCRIPTORS * SECTOR))?;
    loop {
        image.read_exact(&mut descriptor)?;
        if &descriptor[1..6] != b"CD001" || descriptor[0] == TERMINATOR {
            return Err(Error::NotIso);
        }
        if descriptor[0] == PRIMARY {
            return record(&descriptor[156..190]).ok_or(Error::Damaged("no root directory"));
        }
    }
}

fn list(image: &mut (impl Read + Seek), extent: Extent) -> Result<Vec<Entry>, Error> {
    if extent.length > LARGEST_DIRECTORY {
        return Err(Error::Damaged("a directory is too large"));
    }
    let mut bytes = vec![0; extent.length as usize];
    image.seek(SeekFrom::Start(extent.offset))?;
    image.read_exact(&mut bytes)?;
    let mut entries: Vec<Entry> = Vec::new();
    // Records do not cross sectors; the rest of a sector is zero.
    for sector in bytes.chunks(SECTOR as usize) {
        let mut at = 0;
        while at < sector.len() && sector[at] != 0 {
            let length = usize::from(sector[at]);
            let bytes = sector.get(at..at + length).ok_or(Error::Damaged("a record crosses a sector"))?;
            add(&mut entries, record(bytes).ok_or(Error::Damaged("a record is too short"))?);
            at += length;
        }
    }
    Ok(entries)
}

/// A file over 4 GiB has several records in a row, for bytes in a row.
fn add(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.last_mut() {
        Some(last) if last.continued => {
            last.extent.length += entry.extent.length;
            last.continued = entry.continued;
        }
        _ => entries.push(entry),
    }
}

fn record(bytes: &[u8]) -> Option<Entry> {
    let number = |at: usize| Some(u64::from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)));
    let flags = *bytes.get(25)?;
    let name_length = usize::from(*bytes.get(32)?);
    let plain = bytes.get(33..33 + name_length)?;
    // The name is padded so that what follows is at an even offset.
    let system_use = bytes.get((33 + name_length).next_multiple_of(2)..).unwrap_or_default();
    Some(Entry {
        name: rock_ridge_name(system_use).unwrap_or_else(|| plain_name(plain)),
        extent: Extent { offset: number(2)? * SECTOR, length: number(10)? },
        directory: flags & DIRECTORY != 0,
        continued: flags & CONTINUED != 0,
    })
}

/// The `NM` entries of a record's system use area.
fn rock_ridge_name(mut area: &[u8]) -> Option<String> {
    let mut name = None;
    while let [first, second, length, _version, rest @ ..] = area {
        let body = rest.get(..usize::from(*length).checked_sub(4)?)?;
        if [*first, *second] == *b"NM" {
            let text = String::from_utf8_lossy(body.get(1..)?);
            name.get_or_insert_with(String::new).push_str(&text);
        }
        area = area.get(usize::from(*length)..)?;
    }
    name
}

fn plain_name(bytes: &[u8]) -> String {
    let name = String::from_utf8_lossy(bytes);
    let name = name.split_once(';').map_or(name.as_ref(), |(name, _version)| name);
    name.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn directory_record(plain: &[u8], name: &str, sector: u32, length: u32, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0; 33];
        bytes[2..6].copy_from_slice(&sector.to_le_bytes());
        bytes[10..14].copy_from_slice(&length.to_le_bytes());
        bytes[25] = flags;
        bytes[32] = plain.len() as u8;
        bytes.extend_from_slice(plain);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        if !name.is_empty() {
            bytes.extend_from_slice(&[b'N', b'M', name.len() as u8 + 5, 1, 0]);
            bytes.extend_from_slice(name.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(2), 0);
        }
        bytes[0] = bytes.len() as u8;
        bytes
    }

    /// Sector 16: descriptor, 18: root directory, 19: directory `boot`.
    fn image() -> Cursor<Vec<u8>> {
        let mut bytes = vec![0; 20 * 2048];
        let mut put = |sector: usize, at: usize, part: &[u8]| {
            bytes[sector * 2048 + at..][..part.len()].copy_from_slice(part);
        };
        put(16, 0, b"\x01CD001");
        put(16, 156, &directory_record(b"\0", "", 18, 2048, DIRECTORY)[..34]);
        let root = [
            directory_record(b"\0", "", 18, 2048, DIRECTORY),
            directory_record(b"BIG.;1", "big", 90, 2048, CONTINUED),
            directory_record(b"BIG.;1", "big", 91, 100, 0),
            directory_record(b"BOOT", "boot", 19, 2048, DIRECTORY),
        ];
        put(18, 0, &root.concat());
        put(19, 0, &directory_record(b"INITRD.IMG;1", "initrd.img", 40, 77, 0));
        Cursor::new(bytes)
    }

    #[test]
    fn files_are_found_by_their_long_names() {
        let extent = find(image(), "/boot/initrd.img").expect("there");
        assert_eq!(extent, Extent { offset: 40 * 2048, length: 77 });
        assert_eq!(find(image(), "/big").expect("there").length, 2148);
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert!(matches!(find(image(), "/boot/none"), Err(Error::Missing(path)) if path == "/boot/none"));
        assert!(matches!(find(image(), "/boot"), Err(Error::Kind(_))));
        assert!(matches!(find(Cursor::new(vec![0; 40960]), "/boot"), Err(Error::NotIso)));
    }
}
