//! Streams the disk image: one thread reads chunks, one checks their hashes, the caller's writes them. Decompression
//! of the medium, hashing and the disk work side by side.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ashlar_model::release::{Chunk, DiskImage};
use sha2::{Digest, Sha256};

use super::device::Device;
use super::{DiskError, MIB, Report, say};

/// Chunks between two threads; bounds memory.
const QUEUE: usize = 3;

type Numbered = (usize, Vec<u8>);

/// Writes everything but the first MiB, which it returns for `table`. What it wrote is not yet flushed.
pub fn write(
    image: &Path,
    manifest: &DiskImage,
    device: &Device,
    report: &Report,
) -> Result<Vec<u8>, DiskError> {
    check(manifest)?;
    let source = File::open(image).map_err(|source| DiskError::Open { path: image.to_owned(), source })?;
    for (offset, length) in zero_runs(manifest) {
        device.zero(offset, length)?;
        say(report, "write", None, "zeroing")?;
    }
    let mut first = None;
    pipeline(image, &source, manifest, |done, total, (index, bytes)| {
        let start = offset(manifest, index);
        if index == 0 {
            device.write(MIB, &bytes[MIB as usize..])?;
            first = Some(bytes[..MIB as usize].to_vec());
        } else {
            device.write(start, &bytes)?;
            device.start_writeback(start, bytes.len() as u64);
        }
        say(report, "write", Some((done, total)), "writing the operating system")
    })?;
    first.ok_or_else(|| DiskError::Manifest("its first chunk is marked as zero".into()))
}

/// Reads back what `write` wrote. `first` stands in for the first MiB, which is not on the disk yet.
pub fn verify(first: &[u8], manifest: &DiskImage, device: &Device, report: &Report) -> Result<(), DiskError> {
    device.forget_cache();
    let total = manifest.size;
    for (index, chunk) in manifest.chunks.iter().enumerate() {
        let start = offset(manifest, index);
        let mut bytes = vec![0; length(manifest, index)];
        device.read(start, &mut bytes)?;
        if index == 0 {
            bytes[..first.len()].copy_from_slice(first);
        }
        if !is_right(chunk, &bytes) {
            return Err(DiskError::Verify { chunk: index, path: device.path().to_owned() });
        }
        say(report, "verify", Some((start + bytes.len() as u64, total)), "reading back")?;
    }
    Ok(())
}

fn check(manifest: &DiskImage) -> Result<(), DiskError> {
    let wrong = |why: &str| Err(DiskError::Manifest(why.to_owned()));
    if manifest.chunk_size < MIB || manifest.size < MIB || !manifest.size.is_multiple_of(512) {
        return wrong("chunks and image have at least 1 MiB, in whole sectors");
    }
    if manifest.chunks.len() as u64 != manifest.size.div_ceil(manifest.chunk_size) {
        return wrong("its chunks do not add up to its size");
    }
    Ok(())
}

fn offset(manifest: &DiskImage, index: usize) -> u64 {
    index as u64 * manifest.chunk_size
}

fn length(manifest: &DiskImage, index: usize) -> usize {
    (manifest.size - offset(manifest, index)).min(manifest.chunk_size) as usize
}

/// A zero chunk needs no hash: comparing is quicker.
fn is_right(chunk: &Chunk, bytes: &[u8]) -> bool {
    if chunk.zero {
        return bytes.iter().all(|byte| *byte == 0);
    }
    hex::encode(Sha256::digest(bytes)) == chunk.sha256
}

/// Neighbouring zero chunks as (offset, length).
fn zero_runs(manifest: &DiskImage) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (index, _) in manifest.chunks.iter().enumerate().filter(|(_, chunk)| chunk.zero) {
        let (start, size) = (offset(manifest, index), length(manifest, index) as u64);
        match runs.last_mut() {
            Some((at, length)) if *at + *length == start => *length += size,
            _ => runs.push((start, size)),
        }
    }
    runs
}

/// Calls `consume(bytes done, bytes in all, chunk)` for each chunk that is not zero, in order, after its hash has
/// been found right.
fn pipeline(
    path: &Path,
    source: &File,
    manifest: &DiskImage,
    mut consume: impl FnMut(u64, u64, Numbered) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let wanted = || (0..manifest.chunks.len()).filter(|index| !manifest.chunks[*index].zero);
    let total = wanted().map(|index| length(manifest, index) as u64).sum();
    std::thread::scope(|scope| {
        let (to_hash, from_reader) = sync_channel::<Numbered>(QUEUE);
        let (to_writer, from_hash) = sync_channel::<Numbered>(QUEUE);
        let reader = scope.spawn(move || read_chunks(path, source, manifest, &to_hash));
        let hasher = scope.spawn(move || hash_chunks(manifest, &from_reader, &to_writer));
        let mut done = 0;
        let written = from_hash.iter().try_for_each(|chunk| {
            done += chunk.1.len() as u64;
            consume(done, total, chunk)
        });
        // Without its receiver a thread that still sends comes to an end.
        drop(from_hash);
        let hashed = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and(hashed).and(read)
    })
}

/// A closed channel means that the next thread failed: its error counts.
fn read_chunks(
    path: &Path,
    source: &File,
    manifest: &DiskImage,
    next: &SyncSender<Numbered>,
) -> Result<(), DiskError> {
    for (index, _) in manifest.chunks.iter().enumerate().filter(|(_, chunk)| !chunk.zero) {
        let offset = offset(manifest, index);
        let mut bytes = vec![0; length(manifest, index)];
        let failed = |source| DiskError::Read { path: path.to_owned(), offset, source };
        source.read_exact_at(&mut bytes, offset).map_err(failed)?;
        if next.send((index, bytes)).is_err() {
            break;
        }
    }
    Ok(())
}

fn hash_chunks(
    manifest: &DiskImage,
    from: &Receiver<Numbered>,
    next: &SyncSender<Numbered>,
) -> Result<(), DiskError> {
    for (index, bytes) in from {
        if !is_right(&manifest.chunks[index], &bytes) {
            return Err(DiskError::Medium { chunk: index });
        }
        if next.send((index, bytes)).is_err() {
            break;
        }
    }
    Ok(())
}
