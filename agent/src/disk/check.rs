//! Is this the disk that was meant, is it free, may it be overwritten? Asked before every destructive act.

use std::path::Path;

use ashlar_host::inventory::{Machine, contents, disks};
use ashlar_model::inventory::Disk;

use crate::failure::Failure;

const PHASE: &str = "check";

/// The disk as it was described when it was chosen.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    pub disk: &'a str,
    pub serial: Option<&'a str>,
    pub size_bytes: u64,
}

/// Identity, then use, then contents.
pub async fn target(machine: &Machine, expected: &Expected<'_>, wipe_consent: bool) -> Result<Disk, Failure> {
    let mut disk = identity(machine, expected)?;
    free(machine, expected.disk)?;
    disk.contents = contents::of(Path::new(&disk.name)).await;
    if !disk.contents.is_empty() && !wipe_consent {
        let found = disk.contents.join(", ");
        let cause = format!("{} has data and may not be overwritten: {found}", disk.name);
        return Err(Failure::new(PHASE, cause)
            .hint("if it may be overwritten, run the install with --wipe and the host's name, or choose another disk with \
                   rootDeviceHints"));
    }
    Ok(disk)
}

/// The disk is there and is the one described.
pub fn identity(machine: &Machine, expected: &Expected<'_>) -> Result<Disk, Failure> {
    let name = expected.disk;
    let wrong =
        |cause: String| Failure::new(PHASE, cause).hint("disks have changed: let the engine choose again");
    let Some(disk) = disks::describe(machine, &disks::kernel_name(name)) else {
        let there: Vec<String> = disks::list(machine).into_iter().map(|disk| disk.name).collect();
        return Err(wrong(format!("there is no disk {name}; there are: {}", there.join(", "))));
    };
    if disk.serial.as_deref() != expected.serial {
        let (is, was) = (disk.serial.as_deref().unwrap_or("none"), expected.serial.unwrap_or("none"));
        return Err(wrong(format!("{name} has serial number {is}, not {was} as when it was chosen")));
    }
    if disk.size_bytes != expected.size_bytes {
        let (is, was) = (disk.size_bytes, expected.size_bytes);
        return Err(wrong(format!("{name} has {is} bytes, not {was} as when it was chosen")));
    }
    if disk.read_only {
        return Err(
            Failure::new(PHASE, format!("{name} is read-only")).hint("look for a write-protect switch")
        );
    }
    Ok(disk)
}

/// Nobody uses it.
pub fn free(machine: &Machine, name: &str) -> Result<(), Failure> {
    let users = disks::users(machine, name);
    if users.is_empty() {
        return Ok(());
    }
    let cause = format!("{name} is in use: {}", users.join(", "));
    Err(Failure::new(PHASE, cause).hint("unmount it, or stop the RAID or volume group on it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().expect("a folder");
        let block = dir.path().join("sys/block/vda");
        std::fs::create_dir_all(&block).expect("folders");
        std::fs::write(block.join("size"), "2048\n").expect("a file");
        std::fs::write(block.join("serial"), "S1\n").expect("a file");
        let machine = Machine::at(dir.path());
        (dir, machine)
    }

    #[test]
    fn only_the_disk_that_was_chosen_is_accepted() {
        let (dir, machine) = machine();
        let expected = |serial, size_bytes| Expected { disk: "/dev/vda", serial, size_bytes };
        assert!(identity(&machine, &expected(Some("S1"), 1 << 20)).is_ok());
        let swapped = identity(&machine, &expected(Some("S2"), 1 << 20)).expect_err("another serial number");
        assert!(swapped.cause.contains("serial number S1, not S2"), "{swapped:?}");
        assert!(identity(&machine, &expected(Some("S1"), 1 << 21)).is_err());
        let other = Expected { disk: "/dev/vdb", serial: None, size_bytes: 1 };
        assert!(identity(&machine, &other).expect_err("not there").cause.contains("there are: /dev/vda"));
        std::fs::create_dir_all(dir.path().join("sys/block/vda/holders/dm-0")).expect("a holder");
        assert!(free(&machine, "/dev/vda").is_err());
    }
}
