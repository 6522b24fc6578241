//! Makes a disk blank for every program that looks for signatures: both ends of the disk and of its partitions.

use std::path::Path;

use ashlar_host::inventory::partitions::{self, Partition};
use ashlar_host::inventory::{Machine, contents};
use ashlar_model::agent_api::{TaskResult, WipeTask};

use super::check::{self, Expected};
use super::device::Device;
use super::{DiskError, MIB, Report, boot_order, say};
use crate::failure::Failure;

/// Bytes that are made zero at both ends.
const ENDS: u64 = 2 * MIB;

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
    boot_order::forget(machine, report).await?;
    Ok(TaskResult::Wiped { left })
}

/// The disk's own ends first: from then on nothing boots from it. Its old partitions' ends follow, or a table at the
/// same offsets would bring their volumes back. Durable when it returns.
pub fn erase(device: &Device) -> Result<(), DiskError> {
    let old = partitions::read(device.path());
    erase_ends(device, 0, device.size())?;
    erase_labels(device, 0, device.size())?;
    device.sync()?;
    for Partition { start, size, .. } in old {
        let end = start.saturating_add(size).min(device.size());
        erase_ends(device, start, end)?;
        erase_labels(device, start, end)?;
    }
    device.sync()
}

/// Ceph's BlueStore keeps copies of its label here besides its first one (`bluestore_bdev_label_multi`), and an OSD that
/// is prepared later finds them. Bytes from the start of its device.
const BLUESTORE_LABELS: [u64; 4] = [1 << 30, 10 << 30, 100 << 30, 1000 << 30];
const BLUESTORE_LABEL: u64 = 4096;

fn erase_labels(device: &Device, start: u64, end: u64) -> Result<(), DiskError> {
    let inside = BLUESTORE_LABELS.iter().map(|at| start + at).filter(|at| at + BLUESTORE_LABEL <= end);
    inside.into_iter().try_for_each(|at| device.write_zeros(at, BLUESTORE_LABEL))
}

/// The first and the last MiB cover the labels of LVM, of md in all its versions and of ZFS (256 KiB four times); twice
/// that covers what begins behind an LVM label at the usual place.
fn erase_ends(device: &Device, start: u64, end: u64) -> Result<(), DiskError> {
    if start >= end {
        return Ok(());
    }
    let length = ENDS.min(end - start);
    device.write_zeros(start, length)?;
    device.write_zeros(end - length, length)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const DISK: u64 = 14 << 30;
    const PARTITION: u64 = 2 << 30;

    /// Places are those of the tools that look for the labels, as bytes from the start of the disk.
    #[test]
    fn what_old_volumes_are_known_by_is_gone_and_the_rest_is_not_read() {
        let file = tempfile::NamedTempFile::new().expect("a disk");
        let mut disk = file.reopen().expect("a disk");
        disk.set_len(DISK).expect("sparse");
        gptman::GPT::write_protective_mbr_into(&mut disk, 512).expect("an MBR");
        let mut gpt = gptman::GPT::new_from(&mut disk, 512, [7; 16]).expect("a table");
        gpt[1] = gptman::GPTPartitionEntry {
            partition_type_guid: [3; 16],
            unique_partition_guid: [4; 16],
            starting_lba: PARTITION / 512,
            ending_lba: DISK / 512 - 2049,
            attribute_bits: 0,
            partition_name: "osd".into(),
        };
        gpt.write_into(&mut disk).expect("written");
        let end = DISK - (2048 * 512);
        let labels = [
            (PARTITION + 512, "LABELONE of LVM"),
            (PARTITION + MIB, "bluestore block device, on a logical volume"),
            (PARTITION + (10 << 30), "bluestore block device, its second copy"),
            (1 << 30, "bluestore block device, of the whole disk"),
            (end - (64 << 10), "md 0.90"),
            (end - (256 << 10), "ZFS L3"),
        ];
        for (at, text) in labels {
            disk.write_all_at(text.as_bytes(), at).expect("a label");
        }
        disk.write_all_at(b"data", 5 << 30).expect("data");
        erase(&Device::open(file.path()).expect("opened")).expect("erased");
        for (at, text) in labels {
            assert_eq!(read(&disk, at, text.len()), vec![0; text.len()], "{text}");
        }
        assert_eq!(read(&disk, 5 << 30, 4), b"data");
        assert!(partitions::read(file.path()).is_empty());
    }

    fn read(disk: &File, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        disk.read_exact_at(&mut bytes, at).expect("bytes");
        bytes
    }
}
