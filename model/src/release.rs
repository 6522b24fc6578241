//! A release: one signed, content-addressed set of OS commit, container images, medium and client tools.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Format of this file; 1.
    pub format: u32,
    pub version: String,
    pub kubernetes_version: String,
    pub ostree_commit: String,
    pub images: Vec<Image>,
    /// Every file of the release directory by its path there.
    pub files: BTreeMap<String, File>,
    /// Debian packages of the OS by name, with exact versions.
    pub packages: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Full reference, e.g. `registry.ashlar.local/etcd:3.6.14`.
    pub name: String,
    /// File under `/usr/share/ashlar/images`.
    pub file: String,
    /// Manifest digest, `sha256:…`.
    pub digest: String,
}

impl Image {
    /// `registry.ashlar.local/etcd:3.6.14` is `etcd`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let last = self.name.rsplit('/').next().unwrap_or(&self.name);
        last.split([':', '@']).next().unwrap_or(last)
    }
}

/// Full references by short name.
#[must_use]
pub fn references(images: &[Image]) -> BTreeMap<String, String> {
    images.iter().map(|image| (image.short_name().to_owned(), image.name.clone())).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub sha256: String,
    pub bytes: u64,
}

/// `disk.json`: how to write and check the disk image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskImage {
    /// Bytes.
    pub size: u64,
    /// Bytes; the last chunk may be shorter.
    pub chunk_size: u64,
    pub chunks: Vec<Chunk>,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub sha256: String,
    /// All bytes are zero: need not be read.
    #[serde(default)]
    pub zero: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    pub number: u32,
    pub name: String,
    pub type_guid: String,
    /// Bytes from the start of the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// `media.json` on the medium: byte ranges of the ISO file that are patched or read directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    pub version: String,
    pub host_view: Range,
    pub kernel_arguments: Vec<Range>,
    /// None on a minimal medium, which fetches it.
    #[serde(default)]
    pub root_filesystem: Option<Range>,
}

/// `fetch.json` in the initramfs of what fetches its root file system: the trust in it comes with the medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchList {
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Where it begins in the full medium of the same release.
    pub medium_offset: u64,
    /// Bytes; the last chunk may be shorter.
    pub chunk_size: u64,
    /// SHA-256 of each chunk, in hex.
    pub chunks: Vec<String>,
}

impl FetchList {
    /// The bytes of chunk `index`; empty past the end.
    #[must_use]
    pub fn range(&self, index: usize) -> std::ops::Range<u64> {
        let start = (index as u64).saturating_mul(self.chunk_size).min(self.size);
        start..start.saturating_add(self.chunk_size).min(self.size)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub offset: u64,
    pub length: u64,
}
