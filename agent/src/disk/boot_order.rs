//! The firmware's boot order: a disk that was installed comes first. Firmware without an entry finds the loader by its
//! standard path too, so a firmware that refuses one costs a warning and not the install.

use std::path::Path;

use ashlar_host::efi;
use ashlar_host::inventory::{Machine, system};
use ashlar_model::inventory::BootMode;

use super::{DiskError, Report, say};
use crate::failure::{Failure, chain};

const PHASE: &str = "boot-order";
const LABEL: &str = "Ashlar";
/// The standard path (UEFI specification, 3.5.1.1); Debian's signed shim is there.
const LOADER: &str = "\\EFI\\BOOT\\BOOTX64.EFI";

pub async fn put_first(
    machine: &Machine,
    disk: &Path,
    partition: u32,
    report: &Report,
) -> Result<(), Failure> {
    if !is_uefi(machine).await {
        return Ok(());
    }
    let message = match efi::boot_first(disk, partition, LOADER, LABEL).await {
        Ok(()) => format!("{} is first in the firmware's boot order", disk.display()),
        Err(error) => refused(&error),
    };
    say(report, PHASE, None, &message).map_err(DiskError::during(PHASE))
}

/// For a machine whose disks are wiped.
pub async fn forget(machine: &Machine, report: &Report) -> Result<(), Failure> {
    if !is_uefi(machine).await {
        return Ok(());
    }
    match efi::forget(LABEL).await {
        Ok(()) => Ok(()),
        Err(error) => say(report, PHASE, None, &refused(&error)).map_err(DiskError::during(PHASE)),
    }
}

async fn is_uefi(machine: &Machine) -> bool {
    matches!(system::boot_mode(machine).await, BootMode::Uefi | BootMode::UefiSecureBoot)
}

fn refused(error: &ashlar_host::cmd::Error) -> String {
    let why = chain(error);
    tracing::warn!(why, "the firmware's boot order stays as it is");
    format!("the firmware's boot order stays as it is: {why}")
}
