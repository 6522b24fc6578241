//! A whole disk (or a file that stands for one), read and written at offsets.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags};

use super::{DiskError, MIB};

/// linux/fs.h
const BLKRRPART: libc::c_ulong = 0x125f;

pub struct Device {
    file: File,
    path: PathBuf,
    size: u64,
}

impl Device {
    /// Opens for reading and writing. `O_EXCL` on a block device fails when anything has claimed the disk or one of
    /// its partitions.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Open { path: path.to_owned(), source };
        let is_block = std::fs::metadata(path).map_err(failed)?.file_type().is_block_device();
        let flags = if is_block { libc::O_EXCL } else { 0 };
        let mut file =
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map_err(failed)?;
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), size })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let failed = |source| DiskError::Read { path: self.path.clone(), offset, source };
        self.file.read_exact_at(buffer, offset).map_err(failed)
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let failed = |source| DiskError::Write { path: self.path.clone(), offset, source };
        self.file.write_all_at(bytes, offset).map_err(failed)
    }

    /// Starts writing a range back, so that the flush at the end is short. Only a hint: errors show in `sync`.
    pub fn start_writeback(&self, offset: u64, length: u64) {
        let (offset, length) = (offset.cast_signed(), length.cast_signed());
        // SAFETY: the descriptor is open as long as `self`; no memory is passed.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }

    /// Makes a range read as zeros, by the device itself when it can.
    pub fn zero(&self, offset: u64, length: u64) -> Result<(), DiskError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if length == 0 || rustix::fs::fallocate(&self.file, flags, offset, length).is_ok() {
            return Ok(());
        }
        self.write_zeros(offset, length)
    }

    /// For ranges that must be gone for certain: plain writes.
    pub fn write_zeros(&self, offset: u64, length: u64) -> Result<(), DiskError> {
        let zeros = vec![0; length.min(MIB) as usize];
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let part = (end - at).min(MIB);
            self.write(at, &zeros[..part as usize])?;
            at += part;
        }
        Ok(())
    }

    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|source| DiskError::Flush { path: self.path.clone(), source })
    }

    /// Makes the next reads come from the disk and not from memory, as far as the kernel follows.
    pub fn forget_cache(&self) {
        if let Err(error) = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed) {
            tracing::debug!(%error, "the page cache is kept");
        }
    }

    /// Lets the kernel forget partitions that are gone. Kernels without partition support refuse; nothing needs it.
    pub fn reread_partitions(&self) {
        // SAFETY: this request takes no argument.
        if unsafe { libc::ioctl(self.file.as_raw_fd(), BLKRRPART as _) } != 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "the kernel keeps its partitions");
        }
    }
}
