//! The only crate that touches a Linux machine: processes, disks, mounts, network, systemd, inventory.
//! One file per tool; nothing outside it (but `xtask`) starts a process.

pub mod cmd;
