//! The bit-exact disk image: GPT, GRUB for BIOS, and file systems, made without a loop device or a mount.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ashlar_host::cmd::{self, Cmd};
use ashlar_model::release::{Chunk, DiskImage, Partition};
use ashlar_model::{boot_counter, slot};
use gptman::{GPT, GPTPartitionEntry};
use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

use crate::boot_loader::{self, DISK_EFI, DISK_EFI_BYTES, SECTOR};
use crate::boot_menu;
use crate::chroot::{self, Chroot};

const MIB: u64 = 1 << 20;
const CHUNK_BYTES: u64 = 4 * MIB;
/// Space for the GPT before, and its copy after, the partitions.
const MARGIN: u64 = MIB;
const BIOS_BYTES: u64 = MIB;
const BOOT_BYTES: u64 = 384 * MIB;
const SMALLEST_ROOT: u64 = 3 << 30;

const DISK_GUID: Uuid = uuid!("a51a12c0-0000-4000-a000-000000000001");
const BOOT_FILE_SYSTEM: &str = "96d15588-3596-4b3c-adca-a2ff7279ea63";
const ROOT_FILE_SYSTEM: &str = "910678ff-f77e-4a7d-8d53-86f2ac47a823";

pub const CONFIG_SLOT: &str = "ashlar-config";
pub const ROOT: &str = "root";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("writing disk image {}", path.display())]
    Image { path: PathBuf, source: io::Error },
    #[error("writing the partition table of {}", path.display())]
    Table { path: PathBuf, source: gptman::Error },
    #[error("measuring {}", path.display())]
    Measure { path: PathBuf, source: cmd::Error },
    #[error("`du` said `{0}`, which is no size")]
    Size(String),
    #[error("making file system `{label}` in the disk image")]
    FileSystem { label: String, source: chroot::Error },
    #[error(transparent)]
    BootLoader(#[from] boot_loader::Error),
}

/// Makes `image` from a physical system root, whose `boot` is moved out of it, and returns its manifest. `packages` is
/// the package tree: older tools than its own write the time of the build.
///
/// # Errors
/// A tool fails or there is no space.
pub async fn make(packages: &Path, sysroot: &Path, loader: &Path, image: &Path) -> Result<DiskImage, Error> {
    let write = |source| Error::Image { path: image.to_owned(), source };
    let boot = sysroot.with_extension("boot");
    fs::rename(sysroot.join("boot"), &boot).map_err(write)?;
    fs::create_dir(sysroot.join("boot")).map_err(write)?;
    fs::write(boot.join("grub/grub.cfg"), boot_menu::configuration()).map_err(write)?;
    let nothing = boot_counter::Environment::default().block().unwrap_or_default();
    fs::write(boot.join(boot_counter::ENVIRONMENT_FILE), nothing).map_err(write)?;

    let partitions = layout(root_bytes(used_bytes(sysroot).await?));
    let size = partitions.last().map_or(0, |last| last.start + last.size) + MARGIN;
    let file = File::create(image).map_err(write)?;
    file.set_len(size).map_err(write)?;
    write_table(image, &partitions)?;
    embed_boot_loader(loader, image, &partitions).await?;
    make_ext4(packages, image, &partitions[2], &boot, BOOT_FILE_SYSTEM).await?;
    make_ext4(packages, image, &partitions[4], sysroot, ROOT_FILE_SYSTEM).await?;
    let chunks = hash_chunks(image).map_err(write)?;
    Ok(DiskImage { size, chunk_size: CHUNK_BYTES, chunks, partitions })
}

/// The partitions of an installed disk, but for `var`, which the installing agent adds.
fn layout(root: u64) -> Vec<Partition> {
    let rows = [
        ("BIOS-BOOT", "21686148-6449-6e6f-744e-656564454649", BIOS_BYTES),
        ("EFI-SYSTEM", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", DISK_EFI_BYTES),
        ("boot", "bc13c2ff-59e6-4262-a352-b275fd6f7172", BOOT_BYTES),
        (CONFIG_SLOT, slot::PARTITION_TYPE, slot::SLOT_BYTES),
        (ROOT, "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", root),
    ];
    let mut start = MARGIN;
    let mut partitions = Vec::new();
    for (number, (name, type_guid, size)) in (1..).zip(rows) {
        let (name, type_guid) = (name.to_owned(), type_guid.to_owned());
        partitions.push(Partition { number, name, type_guid, start, size });
        start += size;
    }
    partitions
}

/// Room for the system that runs, the one before and one that is staged, should they share nothing.
fn root_bytes(used: u64) -> u64 {
    (used * 3).next_multiple_of(64 * MIB).max(SMALLEST_ROOT)
}

async fn used_bytes(sysroot: &Path) -> Result<u64, Error> {
    let du = Cmd::new("du").args(["-s", "--block-size=1"]).arg(sysroot).run().await;
    let said = du.map_err(|source| Error::Measure { path: sysroot.to_owned(), source })?.stdout;
    let number = said.split_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or(Error::Size(said))
}

fn write_table(image: &Path, partitions: &[Partition]) -> Result<(), Error> {
    let fail = |source| Error::Table { path: image.to_owned(), source };
    let open = OpenOptions::new().read(true).write(true).open(image);
    let mut file = open.map_err(|source| Error::Image { path: image.to_owned(), source })?;
    GPT::write_protective_mbr_into(&mut file, SECTOR).map_err(fail)?;
    let mut table = GPT::new_from(&mut file, SECTOR, DISK_GUID.to_bytes_le()).map_err(fail)?;
    for partition in partitions {
        table[partition.number] = GPTPartitionEntry {
            partition_type_guid: guid(&partition.type_guid),
            unique_partition_guid: partition_guid(partition.number),
            starting_lba: partition.start / SECTOR,
            ending_lba: (partition.start + partition.size) / SECTOR - 1,
            attribute_bits: 0,
            partition_name: partition.name.as_str().into(),
        };
    }
    table.write_into(&mut file).map(drop).map_err(fail)
}

/// The constants of `layout` are valid.
fn guid(text: &str) -> [u8; 16] {
    Uuid::parse_str(text).unwrap_or_default().to_bytes_le()
}

fn partition_guid(number: u32) -> [u8; 16] {
    Uuid::from_u128(DISK_GUID.as_u128() + 0x1_0000 * u128::from(number)).to_bytes_le()
}

async fn embed_boot_loader(loader: &Path, image: &Path, partitions: &[Partition]) -> Result<(), Error> {
    let write = |source| Error::Image { path: image.to_owned(), source };
    let (bios, efi) = (&partitions[0], &partitions[1]);
    let (boot, core) = boot_loader::bios_images(loader, bios.start / SECTOR, bios.size)?;
    let mut file = OpenOptions::new().write(true).open(image).map_err(write)?;
    file.write_all(&boot).map_err(write)?;
    file.seek(SeekFrom::Start(bios.start)).and_then(|_| file.write_all(&core)).map_err(write)?;
    copy_sparse(&loader.join(DISK_EFI), &mut file, efi.start).map_err(write)
}

/// Blocks of zeros stay holes.
fn copy_sparse(from: &Path, to: &mut File, mut at: u64) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut block = Vec::with_capacity(MIB as usize);
    loop {
        block.clear();
        let count = Read::by_ref(&mut from).take(MIB).read_to_end(&mut block)? as u64;
        if count == 0 {
            return Ok(());
        }
        if block.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(at)).and_then(|_| to.write_all(&block))?;
        }
        at += count;
    }
}

/// Blocks of 4 KiB, so that disks with such sectors can hold it.
async fn make_ext4(
    packages: &Path,
    image: &Path,
    partition: &Partition,
    from: &Path,
    uuid: &str,
) -> Result<(), Error> {
    let folder = image.parent().unwrap_or(image);
    let file = format!("/mnt/to/{}", image.file_name().unwrap_or_default().to_string_lossy());
    let extended = format!("offset={},lazy_itable_init=1,hash_seed={uuid}", partition.start);
    let size = format!("{}k", partition.size / 1024);
    let made = Chroot::new(packages)
        .bind(from, "/mnt/from")
        .bind(folder, "/mnt/to")
        .run(&[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-m",
            "1",
            "-L",
            &partition.name,
            "-U",
            uuid,
            "-d",
            "/mnt/from",
            "-E",
            &extended,
            &file,
            &size,
        ])
        .await;
    made.map(drop).map_err(|source| Error::FileSystem { label: partition.name.clone(), source })
}

fn hash_chunks(image: &Path) -> io::Result<Vec<Chunk>> {
    let mut file = File::open(image)?;
    let mut chunks = Vec::new();
    let mut chunk = Vec::with_capacity(CHUNK_BYTES as usize);
    let zeros = vec![0; CHUNK_BYTES as usize];
    let zero_sha256 = hex::encode(Sha256::digest(&zeros));
    loop {
        chunk.clear();
        if Read::by_ref(&mut file).take(CHUNK_BYTES).read_to_end(&mut chunk)? == 0 {
            return Ok(chunks);
        }
        // Most of a disk image is zeros; they are not hashed again and again.
        let zero = chunk == zeros[..chunk.len()];
        let known = zero && chunk.len() == zeros.len();
        let sha256 = if known { zero_sha256.clone() } else { hex::encode(Sha256::digest(&chunk)) };
        chunks.push(Chunk { sha256, zero });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other_on_mebibytes_and_the_table_reads_back() {
        let partitions = layout(SMALLEST_ROOT);
        for pair in partitions.windows(2) {
            assert_eq!(pair[0].start + pair[0].size, pair[1].start);
            assert_eq!(pair[1].start % MIB, 0);
        }
        let image = tempfile::NamedTempFile::new().expect("temporary file");
        let last = partitions.last().expect("five partitions");
        image.as_file().set_len(last.start + last.size + MARGIN).expect("sparse");
        write_table(image.path(), &partitions).expect("written");
        let table = GPT::find_from(&mut image.reopen().expect("open")).expect("a table");
        assert_eq!(table[4].partition_type_guid, guid(slot::PARTITION_TYPE));
        assert_eq!(table[5].starting_lba * SECTOR, last.start);
        assert_eq!(table[5].partition_name.as_str(), ROOT);
    }

    #[test]
    fn root_has_room_to_spare_and_a_lower_bound() {
        assert_eq!(root_bytes(MIB), SMALLEST_ROOT);
        assert_eq!(root_bytes(4 << 30) % (64 * MIB), 0);
        assert!(root_bytes(4 << 30) >= 3 * (4 << 30));
    }

    #[test]
    fn chunks_cover_the_image_and_zeros_are_named() {
        let mut image = tempfile::NamedTempFile::new().expect("temporary file");
        image.as_file().set_len(CHUNK_BYTES).expect("sparse");
        image.seek(SeekFrom::End(0)).and_then(|_| image.write_all(b"end")).expect("write");
        let chunks = hash_chunks(image.path()).expect("hashed");
        assert_eq!(chunks.iter().map(|chunk| chunk.zero).collect::<Vec<_>>(), [true, false]);
        assert_eq!(chunks[1].sha256, hex::encode(Sha256::digest(b"end")));
    }
}
