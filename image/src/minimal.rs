//! The minimal medium: kernel, initramfs and boot loader; the initramfs fetches the root file system and knows the
//! hash of every chunk of it. Also the files that a network boot is made from.
//!
//! Two archives go behind the common initramfs: `fetch.img`, the same for everybody, and `host.img`, whose one file
//! is patched in place like the host's view of a full medium. Nothing on the medium is read after the boot loader.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ashlar_model::release::{FetchList, Media, Range};
use sha2::{Digest, Sha256};

use crate::boot_loader::{NETWORK_EFI, NETWORK_SHIM};
use crate::medium::{self, BOOT_MENU, MEDIA, MEDIA_BYTES};
use crate::system::Programs;
use crate::{initramfs, iso};

pub const FETCH_ARCHIVE: &str = "/boot/fetch.img";
pub const HOST_ARCHIVE: &str = "/boot/host.img";
pub const NETWORK_SHIM_FILE: &str = "/network/shimx64.efi";
pub const NETWORK_GRUB_FILE: &str = "/network/grubx64.efi";
/// The fixed part of the kernel's command line, for boot menus that are made elsewhere.
pub const ARGUMENTS: &str = "/network/arguments";
pub const FETCH_LIST: &str = "/network/fetch.json";
/// In the initramfs.
const VIEW_FILE: &str = "ashlar/host.json";
const LIST_FILE: &str = "ashlar/fetch.json";
const PROGRAMS: &[&str] = &["ashlar-fetch", "ashlar-console"];

const LIVE: &str = "fetch";
const HOST_VIEW_BYTES: usize = 4 << 20;
const CHUNK: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Medium(#[from] medium::Error),
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("packing {name}")]
    Pack { name: &'static str, source: io::Error },
    #[error("the full medium has no root file system")]
    NoRoot,
}

pub struct Parts<'a> {
    pub common: medium::Parts<'a>,
    /// The full medium of the same release.
    pub full: &'a Media,
    pub root_filesystem: &'a Path,
    pub ours: &'a Programs,
}

/// Writes the minimal ISO image, using `work` for its small files.
///
/// # Errors
/// A file cannot be read or written, or xorriso fails.
pub async fn make(parts: &Parts<'_>, work: &Path, image: &Path) -> Result<Media, Error> {
    let common = &parts.common;
    let fixed = medium::fixed_arguments(common, LIVE);
    let list = fetch_list(common.version, parts.full, parts.root_filesystem)?;
    let list = serde_json::to_vec(&list).map_err(medium::Error::from)?;
    let (host_archive, at) = host_archive(&medium::reserved("{}", HOST_VIEW_BYTES))?;
    let initrds = format!("{} {FETCH_ARCHIVE} {HOST_ARCHIVE}", medium::INITRAMFS);
    let place = |name: &str, bytes: &[u8]| -> Result<PathBuf, Error> {
        medium::write(&work.join(name), bytes)?;
        Ok(work.join(name))
    };
    let own = [
        (BOOT_MENU, place("minimal.cfg", medium::menu(common.version, &fixed, &initrds).as_bytes())?),
        (MEDIA, place("minimal.json", &medium::reserved("", MEDIA_BYTES))?),
        (FETCH_ARCHIVE, place("fetch.img", &fetch_archive(&list, parts.ours)?)?),
        (HOST_ARCHIVE, place("host.img", &host_archive)?),
        (ARGUMENTS, place("arguments", fixed.as_bytes())?),
        (FETCH_LIST, place("fetch.json", &list)?),
        (NETWORK_SHIM_FILE, common.loader.join(NETWORK_SHIM)),
        (NETWORK_GRUB_FILE, common.loader.join(NETWORK_EFI)),
    ];
    medium::run_xorriso(common, &own, image).await?;
    let read = |source| Error::Read { path: image.to_owned(), source };
    let archive =
        iso::find(&mut File::open(image).map_err(read)?, HOST_ARCHIVE).map_err(medium::Error::from)?;
    let media = Media {
        version: common.version.to_owned(),
        host_view: Range { offset: archive.offset + at, length: HOST_VIEW_BYTES as u64 },
        kernel_arguments: vec![medium::argument_area(image)?],
        root_filesystem: None,
    };
    medium::write_media(image, &media)?;
    Ok(media)
}

/// An archive with a host's view in it, and where the view begins.
///
/// # Errors
/// It is larger than an archive can hold.
pub fn host_archive(view: &[u8]) -> Result<(Vec<u8>, u64), Error> {
    let file = (VIEW_FILE.to_owned(), 0o600, view.to_vec());
    let packed = initramfs::archive(&[file]);
    let packed = packed.map_err(|source| Error::Pack { name: "host.img", source })?;
    let at = packed.windows(view.len().min(128)).position(|part| view.starts_with(part));
    Ok((packed, at.unwrap_or_default() as u64))
}

fn fetch_archive(list: &[u8], ours: &Programs) -> Result<Vec<u8>, Error> {
    let mut files = vec![(LIST_FILE.to_owned(), 0o644, list.to_vec())];
    for (name, path) in PROGRAMS.iter().filter_map(|name| Some((name, ours.get(*name)?))) {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        files.push((format!("usr/bin/{name}"), 0o755, bytes));
    }
    let pack = |source| Error::Pack { name: "fetch.img", source };
    zstd::encode_all(initramfs::archive(&files).map_err(pack)?.as_slice(), 10).map_err(pack)
}

fn fetch_list(version: &str, full: &Media, root_filesystem: &Path) -> Result<FetchList, Error> {
    let read = |source| Error::Read { path: root_filesystem.to_owned(), source };
    let mut file = File::open(root_filesystem).map_err(read)?;
    let mut chunk = vec![0; CHUNK];
    let (mut chunks, mut size) = (Vec::new(), 0);
    loop {
        let mut length = 0;
        while length < CHUNK {
            match file.read(&mut chunk[length..]).map_err(read)? {
                0 => break,
                more => length += more,
            }
        }
        if length == 0 {
            break;
        }
        chunks.push(hex::encode(Sha256::digest(&chunk[..length])));
        size += length as u64;
    }
    let medium_offset = full.root_filesystem.ok_or(Error::NoRoot)?.offset;
    Ok(FetchList { version: version.to_owned(), size, medium_offset, chunk_size: CHUNK as u64, chunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_in_an_archive_is_where_it_is_said_to_be() {
        let view = medium::reserved("{}", 4096);
        let (packed, at) = host_archive(&view).expect("packed");
        assert_eq!(&packed[at as usize..][..view.len()], view);
        assert!(packed.starts_with(b"070701") && packed.len() % 4 == 0);
        let (packed, at) = host_archive(b"{\"host\":\"a\"}").expect("packed");
        assert_eq!(&packed[at as usize..][..12], b"{\"host\":\"a\"}");
    }

    #[test]
    fn every_chunk_has_its_hash_and_the_place_in_the_full_medium_is_kept() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("root");
        let bytes = vec![7; CHUNK + 5];
        std::fs::write(&path, &bytes).expect("write");
        let range = Range { offset: 4096, length: bytes.len() as u64 };
        let full = Media {
            version: "1".into(),
            host_view: range,
            kernel_arguments: Vec::new(),
            root_filesystem: Some(range),
        };
        let list = fetch_list("1", &full, &path).expect("listed");
        assert_eq!((list.size, list.medium_offset, list.chunks.len()), (bytes.len() as u64, 4096, 2));
        assert_eq!(list.chunks[1], hex::encode(Sha256::digest([7; 5])));
        assert_eq!(list.range(1), CHUNK as u64..CHUNK as u64 + 5);
    }
}
