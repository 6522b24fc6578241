//! The contents of files, from data URLs and the network, streamed into a temporary file beside their place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::apply::{ApplyError, io_error};
use super::entries::owned;
use super::fetch::Fetcher;
use super::files::{self, Ids};
use super::root::Root;
use crate::resource::Source;

/// Which appended files are done: path to the SHA-256 of the result.
const APPENDED: &str = "/etc/.ashlar-ignition-appended.json";

/// A file that is complete and not in its place yet.
pub(super) enum New {
    /// Small contents that the configuration itself holds.
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl New {
    pub async fn make(
        path: &str,
        place: &Path,
        sources: &[Source],
        fetcher: &Fetcher,
    ) -> Result<Self, ApplyError> {
        let mut bytes = Vec::new();
        for source in sources {
            match source {
                Source::Bytes(more) => bytes.extend_from_slice(more),
                Source::Remote { .. } => return Self::stream(path, place, sources, fetcher).await,
            }
        }
        Ok(New::Bytes(bytes))
    }

    async fn stream(
        path: &str,
        place: &Path,
        sources: &[Source],
        fetcher: &Fetcher,
    ) -> Result<Self, ApplyError> {
        let (temporary, mut file) = files::temporary_file(place).map_err(io_error("creating", path))?;
        let new = New::File(temporary);
        for source in sources {
            let added = match source {
                Source::Bytes(bytes) => file.write_all(bytes).map_err(io_error("writing", path)),
                Source::Remote { request, wanted } => {
                    fetcher.fetch_into(request, wanted, &mut file).await.map_err(ApplyError::from)
                }
            };
            if let Err(error) = added {
                new.discard();
                return Err(error);
            }
        }
        Ok(new)
    }

    pub fn is_same_as(&self, place: &Path) -> io::Result<bool> {
        match self {
            New::Bytes(bytes) => {
                Ok(place.metadata()?.len() == bytes.len() as u64 && fs::read(place)? == *bytes)
            }
            New::File(temporary) => Ok(place.metadata()?.len() == temporary.metadata()?.len()
                && digest(place)? == digest(temporary)?),
        }
    }

    /// `free`: nothing is at the place.
    pub fn put(self, place: &Path, free: bool, mode: u32, ids: Ids) -> io::Result<()> {
        match self {
            New::Bytes(bytes) if free => files::create_new(place, &bytes, mode, ids),
            New::Bytes(bytes) => files::write(place, &bytes, mode, ids),
            New::File(temporary) => {
                files::set_attributes(&temporary, Some(mode), ids)?;
                fs::rename(&temporary, place)
            }
        }
    }

    pub fn discard(&self) {
        if let New::File(temporary) = self {
            let _ = fs::remove_file(temporary);
        }
    }
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Appends to what is there, once: the result's hash is recorded, synced, before the file is renamed into place.
pub(super) async fn append(
    path: &str,
    more: &[Source],
    mode: Option<u32>,
    ids: Ids,
    root: &Root,
    fetcher: &Fetcher,
) -> Result<(), ApplyError> {
    let place = root.place(path)?;
    let old = place.metadata().ok();
    let record = root.place(APPENDED)?;
    let mut done: BTreeMap<String, String> =
        fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if let (Some(_), Some(hash)) = (&old, done.get(path)) {
        let now = digest(&place).map_err(io_error("reading", path))?;
        if *hash == hex::encode(now) {
            return files::set_attributes(&place, mode, ids)
                .map_err(io_error("setting mode and owner of", path));
        }
    }
    let mut sources = more.to_vec();
    if old.is_some() {
        sources.insert(0, Source::Bytes(fs::read(&place).map_err(io_error("reading", path))?));
    }
    let (temporary, mut file) = files::temporary_file(&place).map_err(io_error("creating", path))?;
    let new = New::File(temporary.clone());
    for source in &sources {
        let added = match source {
            Source::Bytes(bytes) => file.write_all(bytes).map_err(io_error("writing", path)),
            Source::Remote { request, wanted } => {
                fetcher.fetch_into(request, wanted, &mut file).await.map_err(ApplyError::from)
            }
        };
        if let Err(error) = added {
            new.discard();
            return Err(error);
        }
    }
    file.sync_all().map_err(io_error("writing", path))?;
    let result = digest(&temporary).map_err(io_error("reading", path))?;
    done.insert(path.to_owned(), hex::encode(result));
    let text = serde_json::to_vec(&done).unwrap_or_default();
    files::write_synced(&record, &text, 0o600).map_err(io_error("writing", APPENDED))?;
    let old_mode = old.as_ref().map(|data| data.permissions().mode() & 0o7777);
    let ids = match &old {
        Some(data) => {
            use std::os::unix::fs::MetadataExt;
            Ids { user: ids.user.or(Some(data.uid())), group: ids.group.or(Some(data.gid())) }
        }
        None => owned(ids),
    };
    new.put(&place, false, mode.or(old_mode).unwrap_or(0o644), ids).map_err(io_error("appending to", path))
}
