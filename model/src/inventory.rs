//! What a host is made of, as its agent reports it: processors, memory, disks, network interfaces, firmware.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Inventory {
    pub hostname: String,
    pub cpu: Cpu,
    pub memory_bytes: u64,
    pub disks: Vec<Disk>,
    pub interfaces: Vec<Interface>,
    pub system: System,
    pub boot_mode: BootMode,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Cpu {
    pub model: String,
    pub architecture: String,
    /// Logical processors.
    pub count: u32,
    pub flags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Disk {
    /// Kernel name with its folder, e.g. `/dev/nvme0n1`.
    pub name: String,
    /// Stable links to the same device (`/dev/disk/by-id/…`, `/dev/disk/by-path/…`).
    pub links: Vec<String>,
    pub size_bytes: u64,
    pub sector_size: u32,
    pub serial: Option<String>,
    pub wwn: Option<String>,
    pub model: Option<String>,
    pub vendor: Option<String>,
    /// SCSI address `host:channel:target:lun`, when the disk has one.
    pub hctl: Option<String>,
    pub rotational: bool,
    pub removable: bool,
    pub read_only: bool,
    /// Signatures found on the disk and its partitions, in words ("GPT with 5 partitions", "ext4 `data`").
    /// Empty means blank.
    pub contents: Vec<String>,
    /// Further names of the same disk: other paths to one logical unit.
    #[serde(default)]
    pub paths: Vec<String>,
    /// It has the partitions of an installed Ashlar system, whatever state that is in.
    #[serde(default)]
    pub has_system: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Interface {
    pub name: String,
    /// Lower-case, colon-separated.
    pub mac: String,
    pub link: bool,
    /// Mbit/s, when the driver knows.
    pub speed: Option<u32>,
    pub mtu: u32,
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct System {
    pub vendor: String,
    pub product: String,
    pub serial: String,
    pub uuid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum BootMode {
    #[default]
    Bios,
    Uefi,
    UefiSecureBoot,
    /// A lab machine that has no firmware.
    Container,
}
