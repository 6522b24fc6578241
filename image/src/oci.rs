//! Packs a list of files into an OCI image archive (`oci-layout` in a tar), with no container engine.
//!
//! The same entries and configuration give the same bytes on every machine: entries are sorted, times are
//! zero, compression is fixed. A layer is streamed to disk and never held in memory. Nothing here knows what
//! is in an image. OCI image specification 1.1: image-layout, manifest, config, layer.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Part of the digest: another level is another image.
const ZSTD_LEVEL: i32 = 3;
/// Images say when they were made; these always say the same.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// One file system object of a layer. `path` is relative to the image's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub content: Content,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file of this machine.
    File(PathBuf),
    Bytes(Vec<u8>),
    Directory,
    /// What the link says, unchanged.
    Symlink(String),
}

/// How a container of the image starts.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub entrypoint: Vec<String>,
    pub env: Vec<String>,
    /// `uid` or `uid:gid`; empty is root.
    pub user: String,
    /// Empty is `/`.
    pub working_dir: String,
    pub labels: BTreeMap<String, String>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Of the manifest: `sha256:…`, as a registry and containerd would name the image.
    pub digest: String,
    /// Bytes of the archive.
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {} for the image path /{entry}", path.display())]
    Source { path: PathBuf, entry: String, source: io::Error },
    #[error("the image path /{path} is given twice")]
    Twice { path: String },
    #[error("adding /{path} to the layer")]
    Add { path: String, source: io::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Entry {
    /// A file of this machine that anyone may run.
    #[must_use]
    pub fn program(path: &str, from: &Path) -> Self {
        Self { mode: 0o755, ..Self::new(path, Content::File(from.to_owned())) }
    }

    #[must_use]
    pub fn text(path: &str, text: &str) -> Self {
        Self::new(path, Content::Bytes(text.as_bytes().to_owned()))
    }

    #[must_use]
    pub fn directory(path: &str, mode: u32) -> Self {
        Self { mode, ..Self::new(path, Content::Directory) }
    }

    #[must_use]
    pub fn symlink(path: &str, target: &str) -> Self {
        Self { mode: 0o777, ..Self::new(path, Content::Symlink(target.to_owned())) }
    }

    fn new(path: &str, content: Content) -> Self {
        Self { path: path.trim_matches('/').to_owned(), content, mode: 0o644, uid: 0, gid: 0 }
    }
}

/// Writes the image `name` (`registry/repository:tag`) with one layer to `archive`, whole or not at all.
/// Missing parent directories are added as root's, 0755.
///
/// # Errors
/// A source file cannot be read, a path is given twice, or the disk is full.
pub fn pack(name: &str, entries: &[Entry], config: &Config, archive: &Path) -> Result<Packed, Error> {
    let failed = |source| Error::Write { path: archive.to_owned(), source };
    let folder = archive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut layer = write_layer(&sorted(entries)?, folder, archive)?;
    let config = blob(&config_json(config, &layer.diff_id));
    let manifest = blob(&manifest_json(&config, &layer));
    let index = index_json(name, &manifest).to_string().into_bytes();
    let readable = Permissions::from_mode(0o644);
    let temporary = tempfile::Builder::new().permissions(readable).tempfile_in(folder);
    let mut temporary = temporary.map_err(failed)?;
    let parts = Parts { config: &config, manifest: &manifest, index: &index };
    write_archive(temporary.as_file_mut(), &parts, &mut layer).map_err(failed)?;
    let size = temporary.as_file().metadata().map_err(failed)?.len();
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(archive).map_err(|error| failed(error.error))?;
    Ok(Packed { digest: manifest.digest, size })
}

/// By path, so that a directory comes before what is in it; with the directories nobody named.
fn sorted(entries: &[Entry]) -> Result<Vec<Entry>, Error> {
    let mut all = BTreeMap::new();
    for entry in entries {
        if all.insert(entry.path.clone(), entry.clone()).is_some() {
            return Err(Error::Twice { path: entry.path.clone() });
        }
    }
    for entry in entries {
        for parent in Path::new(&entry.path).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
            let parent = parent.to_string_lossy().into_owned();
            all.entry(parent.clone()).or_insert_with(|| Entry::directory(&parent, 0o755));
        }
    }
    Ok(all.into_values().collect())
}

/// A layer on disk. `diff_id` is the hash of the tar before compression.
struct Layer {
    file: File,
    digest: String,
    diff_id: String,
    size: u64,
}

/// The temporary file has no name: nothing is left behind when packing stops.
fn write_layer(entries: &[Entry], folder: &Path, archive: &Path) -> Result<Layer, Error> {
    let failed = |source| Error::Write { path: archive.to_owned(), source };
    let file = tempfile::tempfile_in(folder).map_err(failed)?;
    let compressed = Hashing::new(BufWriter::new(file));
    let encoder = zstd::Encoder::new(compressed, ZSTD_LEVEL).map_err(failed)?;
    let mut tar = tar::Builder::new(Hashing::new(encoder));
    for entry in entries {
        add(&mut tar, entry)?;
    }
    let (encoder, diff_id, _) = tar.into_inner().map_err(failed)?.finish();
    let (writer, digest, size) = encoder.finish().map_err(failed)?.finish();
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok(Layer { file, digest, diff_id, size })
}

fn add<W: Write>(tar: &mut tar::Builder<W>, entry: &Entry) -> Result<(), Error> {
    let failed = |source| Error::Add { path: entry.path.clone(), source };
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(0);
    header.set_size(0);
    match &entry.content {
        Content::File(path) => {
            let unreadable = |source| Error::Source { path: path.clone(), entry: entry.path.clone(), source };
            let file = File::open(path).map_err(unreadable)?;
            header.set_size(file.metadata().map_err(unreadable)?.len());
            tar.append_data(&mut header, &entry.path, BufReader::new(file)).map_err(failed)
        }
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &entry.path, bytes.as_slice()).map_err(failed)
        }
        Content::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, format!("{}/", entry.path), io::empty()).map_err(failed)
        }
        Content::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, &entry.path, target).map_err(failed)
        }
    }
}

struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

fn blob(value: &Value) -> Blob {
    let bytes = value.to_string().into_bytes();
    let digest = digest(&Sha256::digest(&bytes));
    Blob { bytes, digest }
}

fn digest(hash: &[u8]) -> String {
    format!("sha256:{}", hex::encode(hash))
}

fn config_json(config: &Config, diff_id: &str) -> Value {
    json!({
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": config.user,
            "Env": config.env,
            "Entrypoint": config.entrypoint,
            "WorkingDir": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
            "Labels": config.labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    })
}

fn manifest_json(config: &Blob, layer: &Layer) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config.digest, "size": config.bytes.len() },
        "layers": [{ "mediaType": LAYER, "digest": layer.digest, "size": layer.size }],
    })
}

fn index_json(name: &str, manifest: &Blob) -> Value {
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag);
    json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            },
            "platform": { "architecture": "amd64", "os": "linux" },
        }],
    })
}

struct Parts<'a> {
    config: &'a Blob,
    manifest: &'a Blob,
    index: &'a [u8],
}

fn write_archive(file: &mut File, parts: &Parts<'_>, layer: &mut Layer) -> io::Result<()> {
    let mut tar = tar::Builder::new(BufWriter::new(file));
    let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
    append(&mut tar, "oci-layout", layout.len() as u64, layout.as_bytes())?;
    append(&mut tar, "index.json", parts.index.len() as u64, parts.index)?;
    for blob in [parts.manifest, parts.config] {
        append(&mut tar, &blob_path(&blob.digest), blob.bytes.len() as u64, blob.bytes.as_slice())?;
    }
    layer.file.rewind()?;
    append(&mut tar, &blob_path(&layer.digest), layer.size, &layer.file)?;
    tar.into_inner()?.flush()
}

fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, size: u64, bytes: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    tar.append_data(&mut header, path, bytes)
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// Hashes and counts what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    fn finish(self) -> (W, String, u64) {
        (self.inner, digest(&self.hash.finalize()), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
