//! The EFI system partition for a disk whose sectors are larger than the image's. Firmware refuses a FAT whose sectors
//! are smaller than the disk's, so its files are laid into a new one.

use std::io::{self, Cursor, Read, Seek, Write};

use fatfs::{Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions};

use super::DiskError;
use super::device::Device;
use super::table::Range;

pub const IMAGE_SECTOR: u64 = 512;
const LABEL: [u8; 11] = *b"EFI-SYSTEM ";

/// Replaces the file system in `range` by one with sectors of `sector` bytes and the same files.
pub fn remake(device: &Device, range: Range, sector: u64) -> Result<(), DiskError> {
    let mut old = vec![0; range.size as usize];
    device.read(range.start, &mut old)?;
    let new = with_sectors(old, sector);
    let new = new.map_err(|source| DiskError::Efi { path: device.path().to_owned(), source })?;
    device.write(range.start, &new)
}

/// The UEFI specification (13.3.1.1) asks for FAT32 on a disk; that needs 65,525 clusters.
fn with_sectors(old: Vec<u8>, sector: u64) -> io::Result<Vec<u8>> {
    let mut new = vec![0; old.len()];
    let bytes = u16::try_from(sector).map_err(io::Error::other)?;
    let cluster = u32::from(bytes);
    let options = FormatVolumeOptions::new().bytes_per_sector(bytes).bytes_per_cluster(cluster);
    let options = options.fat_type(FatType::Fat32).volume_label(LABEL);
    fatfs::format_volume(Cursor::new(&mut new[..]), options)?;
    let from = FileSystem::new(Cursor::new(old), FsOptions::new())?;
    let to = FileSystem::new(Cursor::new(&mut new[..]), FsOptions::new())?;
    copy(&from.root_dir(), &to.root_dir())?;
    to.unmount()?;
    Ok(new)
}

fn copy<A: Read + Write + Seek, B: Read + Write + Seek>(
    from: &Dir<'_, A>,
    to: &Dir<'_, B>,
) -> io::Result<()> {
    for entry in from.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        if entry.is_dir() {
            copy(&entry.to_dir(), &to.create_dir(&name)?)?;
        } else {
            let mut file = to.create_file(&name)?;
            io::copy(&mut entry.to_file(), &mut file)?;
            file.flush()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As large as the release's, the smallest that a FAT32 of 4 KiB sectors fits in.
    const BYTES: usize = 264 << 20;

    #[test]
    fn the_files_are_in_a_fat32_with_the_sectors_of_the_disk() {
        let mut old = vec![0; BYTES];
        let options = FormatVolumeOptions::new().bytes_per_cluster(4096).fat_type(FatType::Fat32);
        fatfs::format_volume(Cursor::new(&mut old[..]), options).expect("formatted");
        let long = [7; 300_000];
        {
            let system = FileSystem::new(Cursor::new(&mut old[..]), FsOptions::new()).expect("a FAT");
            let folder = system.root_dir().create_dir("EFI").expect("a folder");
            let folder = folder.create_dir("BOOT").expect("a folder");
            folder.create_file("BOOTX64.EFI").and_then(|mut file| file.write_all(&long)).expect("a file");
        }
        let new = with_sectors(old, 4096).expect("remade");
        assert_eq!(new[11..13], 4096_u16.to_le_bytes(), "bytes per sector (FAT specification, 3.1)");
        let system = FileSystem::new(Cursor::new(new), FsOptions::new()).expect("a FAT");
        assert_eq!(system.fat_type(), FatType::Fat32);
        let mut found = Vec::new();
        let file = system.root_dir().open_file("EFI/BOOT/BOOTX64.EFI");
        file.and_then(|mut file| file.read_to_end(&mut found)).expect("the file");
        assert_eq!(found, long);
    }
}
