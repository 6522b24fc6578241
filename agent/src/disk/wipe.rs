//! Makes a disk blank for every program that looks for signatures: both ends of the disk and of its partitions.

use std::path::Path;

use ashlar_host::inventory::partitions::{self, Partition};
use ashlar_host::inventory::{Machine, contents};
use ashlar_model::agent_api::{TaskResult, WipeTask};

use super::check::{self, Expected};
use super::device::Device;
use super::{DiskError, MIB, Report, say};
use crate::failure::Failure;

/// All disks are checked before the first is touched.
pub async fn run(machine: &Machine, task: &WipeTask, report: &Report) -> Result<TaskResult, Failure> {
    for (name, serial, size_bytes) in &task.disks {
        let expected = Expected { disk: name, serial: serial.as_deref(), size_bytes: *size_bytes };
        check::identity(machine, &expected)?;
        check::free(machine, name)?;
    }
    let mut left = Vec::new();
    for (name, _, _) in &task.disks {
        say(report, "wipe", None, &format!("wiping {name}")).map_err(DiskError::during("wipe"))?;
        let path = Path::new(name);
        let device = Device::open(path).map_err(DiskError::during("wipe"))?;
        erase(&device).map_err(DiskError::during("wipe"))?;
        device.reread_partitions();
        drop(device);
        let found = contents::of(path).await;
        if !found.is_empty() {
            left.push((name.clone(), found));
        }
    }
    Ok(TaskResult::Wiped { left })
}

/// The disk's own ends first: from then on nothing boots from it. Its old partitions' ends follow, or a table at the
/// same offsets would bring their volumes back. Durable when it returns.
pub fn erase(device: &Device) -> Result<(), DiskError> {
    let old = partitions::read(device.path());
    erase_ends(device, 0, device.size())?;
    device.sync()?;
    for Partition { start, size, .. } in old {
        let end = start.saturating_add(size).min(device.size());
        erase_ends(device, start, end)?;
    }
    device.sync()
}

fn erase_ends(device: &Device, start: u64, end: u64) -> Result<(), DiskError> {
    if start >= end {
        return Ok(());
    }
    let length = MIB.min(end - start);
    device.write_zeros(start, length)?;
    device.write_zeros(end - length, length)
}
