//! Finding a file in an ISO 9660 image, as firmware's and boot loader's drivers do: by Rock Ridge name, else by
//! the plain one. Read only; enough for the media that we make.

use std::io::{self, Read, Seek, SeekFrom};

const SECTOR: u64 = 2048;
const PRIMARY_DESCRIPTOR: u64 = 16 * SECTOR;
const ROOT_RECORD: usize = 156;
/// Longest directory that is read, bytes.
const LARGEST_DIRECTORY: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the medium")]
    Read(#[from] io::Error),
    #[error("the medium is no ISO 9660 image")]
    NotIso,
    #[error("the medium has no {path}")]
    Missing { path: String },
    #[error("a directory of the medium is damaged")]
    Damaged,
}

/// Where a file's bytes are in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// Finds the file or directory `path` (with slashes).
///
/// # Errors
/// The image cannot be read or has no such file.
pub fn find(image: &mut (impl Read + Seek), path: &str) -> Result<Extent, Error> {
    let descriptor = read(image, Extent { offset: PRIMARY_DESCRIPTOR, length: SECTOR })?;
    if descriptor[1..6] != *b"CD001" {
        return Err(Error::NotIso);
    }
    let mut at = record_extent(&descriptor[ROOT_RECORD..]).ok_or(Error::Damaged)?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if at.length > LARGEST_DIRECTORY {
            return Err(Error::Damaged);
        }
        let directory = read(image, at)?;
        let found =
            records(&directory).find(|record| name_of(record).is_some_and(|name| matches(&name, part)));
        let record = found.ok_or_else(|| Error::Missing { path: path.to_owned() })?;
        at = record_extent(record).ok_or(Error::Damaged)?;
    }
    Ok(at)
}

/// Bytes of an extent.
///
/// # Errors
/// The image ends before the extent does.
pub fn read(image: &mut (impl Read + Seek), extent: Extent) -> Result<Vec<u8>, Error> {
    image.seek(SeekFrom::Start(extent.offset))?;
    let mut bytes = Vec::new();
    image.take(extent.length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < extent.length { Err(Error::NotIso) } else { Ok(bytes) }
}

/// Records do not cross sectors: a zero length means that the next one starts with the next sector.
fn records(directory: &[u8]) -> impl Iterator<Item = &[u8]> {
    directory.chunks(SECTOR as usize).flat_map(|sector| {
        let mut rest = sector;
        std::iter::from_fn(move || {
            let length = usize::from(*rest.first()?);
            if length < 34 || length > rest.len() {
                return None;
            }
            let (record, tail) = rest.split_at(length);
            rest = tail;
            Some(record)
        })
    })
}

fn record_extent(record: &[u8]) -> Option<Extent> {
    let number = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    Some(Extent { offset: u64::from(number(2)?) * SECTOR, length: u64::from(number(10)?) })
}

fn name_of(record: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(*record.get(32)?);
    let plain = record.get(33..33 + length)?;
    let system_use = record.get(33 + length + (length + 1) % 2..).unwrap_or_default();
    Some(rock_ridge_name(system_use).unwrap_or_else(|| plain.to_vec()))
}

fn rock_ridge_name(mut fields: &[u8]) -> Option<Vec<u8>> {
    let mut name = None;
    while fields.len() > 5 {
        let length = usize::from(fields[2]);
        if length < 4 || length > fields.len() {
            break;
        }
        if fields.starts_with(b"NM") {
            name.get_or_insert_with(Vec::new).extend_from_slice(&fields[5..length]);
        }
        fields = &fields[length..];
    }
    name
}

fn matches(name: &[u8], wanted: &str) -> bool {
    let name = String::from_utf8_lossy(name);
    let plain = name.split(';').next().unwrap_or_default().trim_end_matches('.');
    name == wanted || plain.eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_host::cmd::Cmd;

    #[tokio::test]
    async fn a_file_is_found_by_its_long_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = directory.path().join("tree/ashlar");
        std::fs::create_dir_all(&tree).expect("made");
        std::fs::write(tree.join("a-long-name.squashfs"), "contents").expect("written");
        let iso = directory.path().join("medium.iso");
        let xorriso = Cmd::new("xorriso").args(["-as", "mkisofs", "-quiet", "-R", "-o"]).arg(&iso);
        xorriso.arg(directory.path().join("tree")).run().await.expect("an ISO");
        let mut image = std::fs::File::open(&iso).expect("opened");
        let extent = find(&mut image, "/ashlar/a-long-name.squashfs").expect("there");
        assert_eq!(read(&mut image, extent).expect("read"), b"contents");
        assert!(matches!(find(&mut image, "/ashlar/other"), Err(Error::Missing { .. })));
    }
}
