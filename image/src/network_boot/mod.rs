//! A folder that servers boot from by network: by iPXE (`boot.ipxe`), and by firmware's own PXE or HTTP boot with
//! Secure Boot (`EFI/BOOT/BOOTX64.EFI`, signed shim). Made from media of one release; any web server can serve it.

mod scripts;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ashlar_model::release::FetchList;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::iso::{self, Extent};
use crate::{host_view, medium, minimal};

pub const ROOT_FILE_SYSTEM: &str = "rootfs.squashfs";
/// Large enough for any host; firmware fetches it by TFTP.
const LARGEST_VIEW: u64 = 8 << 20;
const LARGEST_ARGUMENTS: u64 = 2048;
const DESCRIPTION: &str = "media.json";
const HOST_ARCHIVE: &str = "host.img";
/// `(in the folder, on the minimal medium)`.
const FILES: &[(&str, &str)] = &[
    ("vmlinuz", medium::KERNEL),
    ("initrd.img", medium::INITRAMFS),
    ("fetch.img", minimal::FETCH_ARCHIVE),
    ("EFI/BOOT/BOOTX64.EFI", minimal::NETWORK_SHIM_FILE),
    ("EFI/BOOT/grubx64.efi", minimal::NETWORK_GRUB_FILE),
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("finding a file on {}", path.display())]
    Find { path: PathBuf, source: iso::Error },
    #[error("{} is no network boot folder of Ashlar\nhint: `ashlar create media --kind network` makes one", path.display())]
    Foreign { path: PathBuf, source: serde_json::Error },
    #[error("{} describes something else than a file to fetch", path.display())]
    List { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Medium(#[from] medium::Error),
    #[error(transparent)]
    Archive(#[from] minimal::Error),
    #[error(transparent)]
    View(#[from] host_view::Error),
}

/// What the folder's scripts are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    pub version: String,
    /// What every live system needs on its command line.
    pub arguments: String,
    pub kernel_arguments: Vec<String>,
    /// URL of the root file system; none where the folder itself comes from a web server.
    pub source: Option<String>,
}

/// What was written for hosts.
pub struct Contents {
    pub about: Description,
    /// Compact JSON; none when nobody wrote one.
    pub host_view: Option<String>,
}

/// Fills `dir` from the media of a release.
///
/// # Errors
/// A file cannot be read or written.
pub fn make(full: &Path, minimal: &Path, dir: &Path) -> Result<(), Error> {
    for (name, path) in FILES {
        extract(minimal, path, &dir.join(name))?;
    }
    extract(full, medium::ROOT_FILE_SYSTEM, &dir.join(ROOT_FILE_SYSTEM))?;
    let arguments = String::from_utf8_lossy(&read_from(minimal, minimal::ARGUMENTS)?).into_owned();
    let version = medium::read_media(minimal)?.version;
    write_scripts(dir, &Description { version, arguments, kernel_arguments: Vec::new(), source: None })?;
    customize(dir, b"{}", &[], None)
}

/// Copies a file of a medium.
///
/// # Errors
/// It is not there, or the copy cannot be written.
pub fn extract(image: &Path, path: &str, to: &Path) -> Result<(), Error> {
    let write = |source| Error::Write { path: to.to_owned(), source };
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(write)?;
    let (mut part, length) = open(image, path)?;
    let mut target = File::create(to).map_err(write)?;
    let copied = io::copy(&mut part, &mut target).map_err(write)?;
    if copied == length { Ok(()) } else { Err(write(io::ErrorKind::UnexpectedEof.into())) }
}

/// # Errors
/// It is no folder of ours.
pub fn inspect(dir: &Path) -> Result<Contents, Error> {
    let path = dir.join(DESCRIPTION);
    let text = fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let about =
        serde_json::from_slice(&text).map_err(|source| Error::Foreign { path: dir.to_owned(), source })?;
    let path = dir.join(HOST_ARCHIVE);
    let archive = fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let mut reader = cpio::NewcReader::new(archive.as_slice());
    while let Ok(mut entry) = reader {
        if entry.entry().is_trailer() {
            break;
        }
        if entry.entry().name().ends_with(".json") {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(|source| Error::Read { path, source })?;
            let text = text.trim();
            let host_view = (text != "{}").then(|| text.to_owned());
            return Ok(Contents { about, host_view });
        }
        reader = entry.finish().and_then(cpio::NewcReader::new);
    }
    Ok(Contents { about, host_view: None })
}

/// Writes host's view, kernel arguments and the source: what was there is gone.
///
/// # Errors
/// Something does not fit, and then nothing was changed; or a file cannot be written.
pub fn customize(dir: &Path, view: &[u8], arguments: &[String], source: Option<String>) -> Result<(), Error> {
    let mut about =
        if dir.join(HOST_ARCHIVE).exists() { inspect(dir)?.about } else { read_description(dir)? };
    host_view::check(view, arguments, LARGEST_VIEW, LARGEST_ARGUMENTS)?;
    let (archive, _) = minimal::host_archive(view)?;
    replace(&dir.join(HOST_ARCHIVE), &archive)?;
    about.kernel_arguments = arguments.to_vec();
    about.source = source;
    write_scripts(dir, &about)
}

/// What of the folder is not as the release's media have it; empty when all is.
///
/// # Errors
/// A file cannot be read.
pub fn differences(dir: &Path, minimal: &Path) -> Result<Vec<String>, Error> {
    let mut wrong = Vec::new();
    for (name, path) in FILES {
        let own = dir.join(name);
        let found = File::open(&own).and_then(digest).map_err(|source| Error::Read { path: own, source })?;
        let (part, _) = open(minimal, path)?;
        let wanted = digest(part).map_err(|source| Error::Read { path: minimal.to_owned(), source })?;
        if found != wanted {
            wrong.push(format!("{name}: SHA-256 {found}, should be {wanted}"));
        }
    }
    let list = read_from(minimal, minimal::FETCH_LIST)?;
    let list: FetchList =
        serde_json::from_slice(&list).map_err(|source| Error::List { path: minimal.to_owned(), source })?;
    wrong.extend(wrong_chunk(&dir.join(ROOT_FILE_SYSTEM), &list)?);
    Ok(wrong)
}

/// What is wrong with a root file system that minimal media are to fetch.
///
/// # Errors
/// It cannot be read.
pub fn wrong_chunk(path: &Path, list: &FetchList) -> Result<Option<String>, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = File::open(path).map_err(read)?;
    let length = file.metadata().map_err(read)?.len();
    if length != list.size {
        return Ok(Some(format!("{name}: {length} bytes, should have {}", list.size)));
    }
    for (index, wanted) in list.chunks.iter().enumerate() {
        let range = list.range(index);
        let found = digest((&mut file).take(range.end - range.start)).map_err(read)?;
        if found != *wanted {
            return Ok(Some(format!("{name}: bytes {} to {} differ", range.start, range.end)));
        }
    }
    Ok(None)
}

/// Makes a copy whose large files are the same ones, where the file system can.
///
/// # Errors
/// A file cannot be linked or copied.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let own = [DESCRIPTION, HOST_ARCHIVE, "boot.ipxe", "grub/grub.cfg"];
    let large = FILES.iter().map(|(name, _)| *name).chain([ROOT_FILE_SYSTEM]);
    for name in own.into_iter().chain(large) {
        let (source, target) = (from.join(name), to.join(name));
        let write = |source| Error::Write { path: target.clone(), source };
        fs::create_dir_all(target.parent().unwrap_or(to)).map_err(write)?;
        let linked = !own.contains(&name) && fs::hard_link(&source, &target).is_ok();
        if !linked {
            fs::copy(&source, &target).map_err(write)?;
        }
    }
    Ok(())
}

fn read_description(dir: &Path) -> Result<Description, Error> {
    let path = dir.join(DESCRIPTION);
    let text = fs::read(&path).map_err(|source| Error::Read { path, source })?;
    serde_json::from_slice(&text).map_err(|source| Error::Foreign { path: dir.to_owned(), source })
}

fn write_scripts(dir: &Path, about: &Description) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(about).map_err(medium::Error::from)?;
    replace(&dir.join(DESCRIPTION), &text)?;
    replace(&dir.join("boot.ipxe"), scripts::ipxe(about).as_bytes())?;
    replace(&dir.join("grub/grub.cfg"), scripts::grub(about).as_bytes())
}

/// In one step: a server may be reading it.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = |source| Error::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(write)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(write)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(write)?;
    fs::rename(&new, path).map_err(write)
}

fn open(image: &Path, path: &str) -> Result<(io::Take<File>, u64), Error> {
    let read = |source| Error::Read { path: image.to_owned(), source };
    let mut file = File::open(image).map_err(read)?;
    let found = iso::find(&mut file, path);
    let Extent { offset, length } = found.map_err(|source| Error::Find { path: image.to_owned(), source })?;
    file.seek(SeekFrom::Start(offset)).map_err(read)?;
    Ok((file.take(length), length))
}

/// A small file of a medium.
///
/// # Errors
/// It is not there.
pub fn read_from(image: &Path, path: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let (mut part, _) = open(image, path)?;
    part.read_to_end(&mut bytes).map_err(|source| Error::Read { path: image.to_owned(), source })?;
    Ok(bytes)
}

fn digest(mut from: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut from, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}
