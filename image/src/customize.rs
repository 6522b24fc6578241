//! Changing what a medium reserves room for, in place and without making it anew: the host's view and kernel
//! arguments. A changed medium can still be checked: with its reserved areas blank it is the one that the release
//! signs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ashlar_model::release::{Media, Range};
use sha2::{Digest, Sha256};

use crate::host_view::{self, Patch};
use crate::medium;

const BUFFER: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is no medium of Ashlar\nhint: use the ashlar.iso of a release", path.display())]
    Medium { path: PathBuf, source: medium::Error },
    #[error("{} was cut off: it has {found} bytes and its own description goes to {needed}", path.display())]
    Cut { path: PathBuf, found: u64, needed: u64 },
    #[error(transparent)]
    Patch(#[from] host_view::Error),
}

/// What is in a medium's reserved areas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    pub media: Media,
    /// Compact JSON of the host's view; none when nobody wrote one.
    pub host_view: Option<String>,
    pub kernel_arguments: Vec<String>,
}

/// Reads a medium's reserved areas.
///
/// # Errors
/// It is no medium of ours, or was cut off.
pub fn inspect(image: &Path) -> Result<Contents, Error> {
    let media =
        medium::read_media(image).map_err(|source| Error::Medium { path: image.to_owned(), source })?;
    let read = |source| Error::Read { path: image.to_owned(), source };
    let mut file = File::open(image).map_err(read)?;
    let found = file.metadata().map_err(read)?.len();
    let needed = media.root_filesystem.map_or(0, end).max(end(media.host_view));
    if found < needed {
        return Err(Error::Cut { path: image.to_owned(), found, needed });
    }
    let mut area = |range: Range| -> Result<String, Error> {
        let mut bytes = vec![0; range.length as usize];
        file.seek(SeekFrom::Start(range.offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(read)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let view = area(media.host_view)?;
    let arguments = media.kernel_arguments.first().map(|range| area(*range)).transpose()?.unwrap_or_default();
    Ok(Contents {
        host_view: (view != "{}" && !view.is_empty()).then_some(view),
        kernel_arguments: arguments.split_whitespace().map(ToOwned::to_owned).collect(),
        media,
    })
}

/// Writes the reserved areas: what was there is gone.
///
/// # Errors
/// Something does not fit, and then nothing was changed; or the file cannot be written.
pub fn customize(image: &Path, view: &[u8], arguments: &[String]) -> Result<(), Error> {
    let contents = inspect(image)?;
    let mut patches = blanks(&contents.media);
    patches.extend(host_view::patches(&contents.media, view, arguments)?);
    let write = |source| Error::Write { path: image.to_owned(), source };
    let mut file = OpenOptions::new().write(true).open(image).map_err(write)?;
    for patch in patches {
        file.seek(SeekFrom::Start(patch.offset)).and_then(|_| file.write_all(&patch.bytes)).map_err(write)?;
    }
    file.sync_all().map_err(write)
}

/// Makes a medium what it was when it was built.
///
/// # Errors
/// As `customize`.
pub fn reset(image: &Path) -> Result<(), Error> {
    customize(image, b"{}", &[])
}

/// SHA-256 (hex) that a medium has when its reserved areas are as they were built, and its size in bytes.
///
/// # Errors
/// It is no medium of ours, or cannot be read.
pub fn digest_as_built(image: &Path) -> Result<(String, u64), Error> {
    let blanks = blanks(&inspect(image)?.media);
    let read = |source| Error::Read { path: image.to_owned(), source };
    let mut file = File::open(image).map_err(read)?;
    let mut buffer = vec![0; BUFFER];
    let (mut hasher, mut at) = (Sha256::new(), 0);
    loop {
        let length = file.read(&mut buffer).map_err(read)?;
        if length == 0 {
            return Ok((hex::encode(hasher.finalize()), at));
        }
        host_view::apply(&blanks, at, &mut buffer[..length]);
        hasher.update(&buffer[..length]);
        at += length as u64;
    }
}

fn blanks(media: &Media) -> Vec<Patch> {
    let view = Patch {
        offset: media.host_view.offset,
        bytes: medium::reserved("{}", media.host_view.length as usize),
    };
    let areas = media.kernel_arguments.iter();
    let arguments = areas.map(|area| Patch { offset: area.offset, bytes: vec![b' '; area.length as usize] });
    std::iter::once(view).chain(arguments).collect()
}

fn end(range: Range) -> u64 {
    range.offset + range.length
}
