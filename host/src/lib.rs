//! The only crate that touches a Linux machine: processes, disks, mounts, network, systemd, inventory.
//! One file per tool; nothing outside it (but `xtask`) starts a process.

pub mod cgroup;
pub mod clock;
pub mod cmd;
pub mod device_filter;
pub mod efi;
pub mod filesystem;
pub mod gpt;
pub mod inventory;
pub mod loop_device;
pub mod mount;
pub mod netns;
#[cfg(feature = "ostree")]
pub mod ostree;
pub mod process;
pub mod systemd;
