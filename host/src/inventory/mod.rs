//! What this machine is made of, read through the ordinary places: /proc, /sys, `ip`, `blkid`. Reading never fails
//! as a whole: what cannot be read is left out, and a disk that cannot be read says so in its contents.

use std::path::{Path, PathBuf};

use ashlar_model::inventory::{Disk, Inventory};
use ashlar_model::slot;

pub mod contents;
pub mod disks;
pub mod interfaces;
pub mod partitions;
pub mod system;

/// Where the machine's files are: `/`, or a folder in tests.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Machine {
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `path` without its leading slash, e.g. `sys/block`.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The trimmed text of a file, when it is there and not empty.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The first of several files that has text.
    fn first_text(&self, paths: &[String]) -> Option<String> {
        paths.iter().find_map(|path| self.text(path))
    }
}

/// Everything about the machine that we run on.
pub async fn read() -> Inventory {
    let machine = Machine::default();
    Inventory {
        hostname: machine.text("proc/sys/kernel/hostname").unwrap_or_default(),
        cpu: system::cpu(&machine),
        memory_bytes: system::memory_bytes(&machine),
        disks: disks_with_contents(&machine).await,
        interfaces: interfaces::read(&machine).await,
        system: system::dmi(&machine),
        boot_mode: system::boot_mode(&machine).await,
    }
}

async fn disks_with_contents(machine: &Machine) -> Vec<Disk> {
    let mut disks = disks::list(machine);
    for disk in &mut disks {
        let path = Path::new(&disk.name);
        disk.contents = contents::of(path).await;
        disk.has_system = partitions::read(path).iter().any(|one| one.type_guid == slot::PARTITION_TYPE);
    }
    disks
}
