//! The bootable medium: one ISO for BIOS and UEFI, as a CD or as a disk, with areas that are patched per host
//! while it is served.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};
use ashlar_model::release::{Media, Partition, Range};

use crate::boot_loader::{MEDIUM_BOOT, MEDIUM_CORE, MEDIUM_EFI};
use crate::chroot::SOURCE_DATE_EPOCH;
use crate::iso;

/// Volume label; the live system looks for it.
pub const LABEL: &str = "ASHLAR";
pub const ROOT_FILE_SYSTEM: &str = "/ashlar/rootfs.squashfs";
pub const MEDIA: &str = "/ashlar/media.json";
pub const HOST_VIEW: &str = "/ashlar/host.json";
/// `SOURCE_DATE_EPOCH` as xorriso wants it.
const FILE_DATES: &str = "2025010100000000";
pub const KERNEL: &str = "/boot/vmlinuz";
pub const INITRAMFS: &str = "/boot/initrd.img";
pub(crate) const BOOT_MENU: &str = "/boot/grub/grub.cfg";

const HOST_VIEW_BYTES: usize = 8 << 20;
pub(crate) const MEDIA_BYTES: usize = 4096;
const ARGUMENT_BYTES: usize = 2048;
const ARGUMENT_START: &str = "set host_arguments=\"";
const EFI_PARTITION: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("writing {} for the medium", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("making the ISO image {}", path.display())]
    Make { path: PathBuf, source: cmd::Error },
    #[error("finding a file of the new medium")]
    Find(#[from] iso::Error),
    #[error("the boot menu on the medium has no area for kernel arguments")]
    NoArguments,
    #[error("describing the medium")]
    Describe(#[from] serde_json::Error),
    #[error("reading the medium {}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// What the medium is made of.
pub struct Parts<'a> {
    pub version: &'a str,
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    pub loader: &'a Path,
    /// Root partition inside the disk image.
    pub root: &'a Partition,
    /// Value of the kernel argument `ostree`.
    pub deployment: &'a str,
}

/// Writes the ISO image, using `work` for its small files.
///
/// # Errors
/// A file cannot be written, or xorriso fails.
pub async fn make(
    parts: &Parts<'_>,
    root_filesystem: &Path,
    work: &Path,
    image: &Path,
) -> Result<Media, Error> {
    let fixed = fixed_arguments(parts, LABEL);
    write(&work.join("grub.cfg"), menu(parts.version, &fixed, "/boot/initrd.img").as_bytes())?;
    write(&work.join("host.json"), &reserved("{}", HOST_VIEW_BYTES))?;
    write(&work.join("media.json"), &reserved("", MEDIA_BYTES))?;
    let own = [
        (ROOT_FILE_SYSTEM, root_filesystem.to_owned()),
        (HOST_VIEW, work.join("host.json")),
        (MEDIA, work.join("media.json")),
        (BOOT_MENU, work.join("grub.cfg")),
    ];
    run_xorriso(parts, &own, image).await?;
    let mut file = File::open(image).map_err(|source| Error::Read { path: image.to_owned(), source })?;
    let media = Media {
        version: parts.version.to_owned(),
        host_view: range(iso::find(&mut file, HOST_VIEW)?),
        kernel_arguments: vec![argument_area(image)?],
        root_filesystem: Some(range(iso::find(&mut file, ROOT_FILE_SYSTEM)?)),
    };
    write_media(image, &media)?;
    Ok(media)
}

/// The description that a medium carries.
///
/// # Errors
/// It is not a medium of ours.
pub fn read_media(image: &Path) -> Result<Media, Error> {
    let fail = |source| Error::Read { path: image.to_owned(), source };
    let mut file = File::open(image).map_err(fail)?;
    let extent = iso::find(&mut file, MEDIA)?;
    Ok(serde_json::from_slice(&read_extent(&mut file, extent).map_err(fail)?)?)
}

/// What the live system needs on its command line; `live` says where its root file system is.
pub(crate) fn fixed_arguments(parts: &Parts<'_>, live: &str) -> String {
    let root = format!("ashlar.root={},{}", parts.root.start, parts.root.size);
    format!(
        "ashlar.live={live} {root} ostree={} rw systemd.gpt_auto=0 console=tty0 console=ttyS0,115200",
        parts.deployment
    )
}

pub(crate) fn menu(version: &str, fixed: &str, initrds: &str) -> String {
    let pad = " ".repeat(ARGUMENT_BYTES);
    format!(
        "serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
{ARGUMENT_START}{pad}\"
menuentry \"Ashlar {version}\" {{
    linux /boot/vmlinuz {fixed} $host_arguments
    initrd {initrds}
}}
"
    )
}

/// `text`, then blank lines up to `length` bytes: still JSON, and a shell can strip them.
pub(crate) fn reserved(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    for at in (127..length).step_by(128) {
        bytes[at] = b'\n';
    }
    bytes
}

/// What every medium has, and its `own` files: `(path on the medium, file)`.
pub(crate) async fn run_xorriso(
    parts: &Parts<'_>,
    own: &[(&str, PathBuf)],
    image: &Path,
) -> Result<(), Error> {
    let loader = |name: &str| parts.loader.join(name);
    let files = [
        (KERNEL, parts.kernel.to_owned()),
        (INITRAMFS, parts.initramfs.to_owned()),
        ("/boot/grub/bios.img", loader(MEDIUM_CORE)),
    ];
    let made = Cmd::new("xorriso")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .env("TZ", "UTC")
        .args(["-as", "mkisofs", "-r", "-V", LABEL, "-iso-level", "3"])
        .args(["--set_all_file_dates", FILE_DATES, "-o"])
        .arg(image)
        .args(["-b", "boot/grub/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .args(["--grub2-boot-info", "--grub2-mbr"])
        .arg(loader(MEDIUM_BOOT))
        .args(["-partition_offset", "16", "--mbr-force-bootable", "-append_partition", "2", EFI_PARTITION])
        .arg(loader(MEDIUM_EFI))
        .args(["-appended_part_as_gpt", "-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::"])
        .args(["-no-emul-boot", "-graft-points"])
        .args(files.iter().chain(own).map(|(to, from)| format!("{to}={}", from.display())))
        .timeout(Duration::from_secs(600))
        .run()
        .await;
    made.map(drop).map_err(|source| Error::Make { path: image.to_owned(), source })
}

/// Where kernel arguments are written into the boot menu.
pub(crate) fn argument_area(image: &Path) -> Result<Range, Error> {
    let fail = |source| Error::Read { path: image.to_owned(), source };
    let mut file = File::open(image).map_err(fail)?;
    let extent = iso::find(&mut file, BOOT_MENU)?;
    let menu = read_extent(&mut file, extent).map_err(fail)?;
    let start = menu.windows(ARGUMENT_START.len()).position(|part| part == ARGUMENT_START.as_bytes());
    let start = (start.ok_or(Error::NoArguments)? + ARGUMENT_START.len()) as u64;
    Ok(Range { offset: extent.offset + start, length: ARGUMENT_BYTES as u64 })
}

pub(crate) fn write_media(image: &Path, media: &Media) -> Result<(), Error> {
    let fail = |source| Error::Write { path: image.to_owned(), source };
    let text = serde_json::to_vec(media)?;
    let mut file = OpenOptions::new().read(true).write(true).open(image).map_err(fail)?;
    let extent = iso::find(&mut file, MEDIA)?;
    if text.len() as u64 > extent.length {
        return Err(fail(io::ErrorKind::FileTooLarge.into()));
    }
    file.seek(SeekFrom::Start(extent.offset)).and_then(|_| file.write_all(&text)).map_err(fail)
}

pub(crate) fn read_extent(file: &mut File, extent: iso::Extent) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; extent.length as usize];
    file.seek(SeekFrom::Start(extent.offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn range(extent: iso::Extent) -> Range {
    Range { offset: extent.offset, length: extent.length }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_area_stays_json_and_has_short_lines() {
        let bytes = reserved("{}", 4096);
        assert_eq!(bytes.len(), 4096);
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 128));
    }
}
