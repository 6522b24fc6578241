//! GRUB and shim for disks and media, made from the packages of the OS tree.
//!
//! UEFI runs Debian's signed shim, GRUB and kernel unchanged, so Secure Boot stays on. BIOS images are made
//! with `grub-mkimage` and embedded by us; nothing is installed on a device.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_host::cmd::{self, Cmd};

use crate::chroot::{self, Chroot, SOURCE_DATE_EPOCH};

pub const SECTOR: u64 = 512;
/// The EFI system partition of a disk, bytes: room for the 65,525 clusters of a FAT32 in sectors of 4 KiB as well.
pub const DISK_EFI_BYTES: u64 = 264 << 20;
const MEDIUM_EFI_BYTES: u64 = 8 << 20;

const DISK_STUB: &str =
    "search --no-floppy --label boot --set=root\nset prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n";
const MEDIUM_STUB: &str = "search --no-floppy --label ASHLAR --set=root\nset prefix=($root)/boot/grub\n\
                           configfile ($root)/boot/grub/grub.cfg\n";
const DISK_MODULES: &str = "biosdisk part_gpt ext2 search search_label normal configfile linux serial terminal \
                            test echo gzio loadenv regexp minicmd reboot halt sleep";
const MEDIUM_MODULES: &str = "biosdisk iso9660 part_gpt part_msdos search search_label normal configfile linux \
                              serial terminal test echo gzio minicmd reboot halt";
const SHIM: &str = "usr/lib/shim/shimx64.efi.signed";
const DISK_GRUB: &str = "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";
const MEDIUM_GRUB: &str = "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed";
const NETWORK_GRUB: &str = "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed";

/// Files of this stage.
pub const DISK_EFI: &str = "disk-efi.img";
pub const MEDIUM_EFI: &str = "medium-efi.img";
const DISK_CORE: &str = "disk-core.img";
pub const MEDIUM_CORE: &str = "medium-core.img";
const DISK_BOOT: &str = "boot.img";
pub const MEDIUM_BOOT: &str = "boot_hybrid.img";
/// For firmware that boots from the network.
pub const NETWORK_SHIM: &str = "shimx64.efi";
pub const NETWORK_EFI: &str = "grubnetx64.efi";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("making boot loader file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("making GRUB's BIOS images and EFI file systems")]
    Make(#[source] chroot::Error),
    #[error("filling EFI file system {}", path.display())]
    Fill { path: PathBuf, source: cmd::Error },
    #[error("GRUB's BIOS image is {0} bytes, more than its partition")]
    TooLarge(usize),
}

/// Writes every boot loader file into `out`.
///
/// # Errors
/// A package of the boot loader is missing from the tree, or a tool fails.
pub async fn make(packages: &Path, out: &Path) -> Result<(), Error> {
    write(&out.join("disk-stub.cfg"), DISK_STUB.as_bytes())?;
    write(&out.join("medium-stub.cfg"), MEDIUM_STUB.as_bytes())?;
    for (name, length) in [(DISK_EFI, DISK_EFI_BYTES), (MEDIUM_EFI, MEDIUM_EFI_BYTES)] {
        let path = out.join(name);
        let file = fs::File::create(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        file.set_len(length).map_err(|source| Error::File { path, source })?;
    }
    for name in [DISK_BOOT, MEDIUM_BOOT] {
        copy(&packages.join("usr/lib/grub/i386-pc").join(name), &out.join(name))?;
    }
    copy(&packages.join(SHIM), &out.join(NETWORK_SHIM))?;
    copy(&packages.join(NETWORK_GRUB), &out.join(NETWORK_EFI))?;
    let script = format!(
        "set -eu; cd /mnt/out
         grub-mkimage -O i386-pc -p /grub -c disk-stub.cfg -o {DISK_CORE} {DISK_MODULES}
         grub-mkimage -O i386-pc-eltorito -p /boot/grub -c medium-stub.cfg -o {MEDIUM_CORE} {MEDIUM_MODULES}
         mkfs.fat -F32 -s8 -n EFI-SYSTEM -i 7B7795E7 {DISK_EFI}
         mkfs.fat -F12 -n ASHLAR-EFI -i 7B7795E8 {MEDIUM_EFI}"
    );
    Chroot::new(packages).bind(out, "/mnt/out").run(&["sh", "-c", &script]).await.map_err(Error::Make)?;
    fill(packages, out, DISK_EFI, DISK_GRUB, "disk-stub.cfg").await?;
    fill(packages, out, MEDIUM_EFI, MEDIUM_GRUB, "medium-stub.cfg").await
}

/// The first sector's boot code and the BIOS boot partition's contents for a disk whose BIOS boot partition
/// starts at `start` (sector number): `boot.img` names the core's sector, the core names its own rest.
///
/// # Errors
/// The files of `make` are missing, or the core is larger than `room` bytes.
pub fn bios_images(loader: &Path, start: u64, room: u64) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let mut boot = read(&loader.join(DISK_BOOT))?;
    let mut core = read(&loader.join(DISK_CORE))?;
    if core.len() as u64 > room || boot.len() < 512 || core.len() < 512 {
        return Err(Error::TooLarge(core.len()));
    }
    boot[0x5c..0x64].copy_from_slice(&start.to_le_bytes());
    boot[0x66..0x68].copy_from_slice(&[0x90, 0x90]);
    // Boot code ends where the partition table of the protective MBR begins.
    boot.truncate(0x1b8);
    let sectors = (core.len() as u64).div_ceil(SECTOR);
    core[0x1f4..0x1fc].copy_from_slice(&(start + 1).to_le_bytes());
    core[0x1fc..0x1fe].copy_from_slice(&((sectors - 1) as u16).to_le_bytes());
    Ok((boot, core))
}

/// Where firmware and the signed GRUB look: `EFI/BOOT`, and GRUB's built-in prefix `EFI/debian` (disk) or
/// `boot/grub` (medium).
async fn fill(packages: &Path, out: &Path, image: &str, grub: &str, stub: &str) -> Result<(), Error> {
    let path = out.join(image);
    let fail = |source| Error::Fill { path: path.clone(), source };
    let mmd = Cmd::new("mmd").env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH).arg("-i").arg(&path);
    mmd.args(["::/EFI", "::/EFI/BOOT", "::/EFI/debian", "::/boot", "::/boot/grub"])
        .run()
        .await
        .map_err(fail)?;
    let stub = out.join(stub);
    for (from, to) in [
        (packages.join(SHIM), "::/EFI/BOOT/BOOTX64.EFI"),
        (packages.join(grub), "::/EFI/BOOT/grubx64.efi"),
        (stub.clone(), "::/EFI/debian/grub.cfg"),
        (stub, "::/boot/grub/grub.cfg"),
    ] {
        let mcopy = Cmd::new("mcopy").env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
        mcopy.arg("-i").arg(&path).arg(from).arg(to).run().await.map_err(fail)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(drop).map_err(|source| Error::File { path: from.to_owned(), source })
}
