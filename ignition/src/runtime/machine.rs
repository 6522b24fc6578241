//! Where things are on a machine that boots for the first time.

use std::path::PathBuf;

/// What one stage hands to the next; memory that only root reads.
pub const RUN: &str = "/run/ashlar-ignition";

#[derive(Debug, Clone)]
pub struct Machine {
    /// Where the installed system's root is, or will be, mounted.
    pub sysroot: PathBuf,
    /// The config slot: a device or a file, and where in it the slot begins.
    pub slot: PathBuf,
    pub offset: u64,
    pub run: PathBuf,
    /// The boot partition: a device, or a directory that it is mounted at.
    pub boot: PathBuf,
    /// The partition of `/var`; mounted by the stage `mount` when it is there.
    pub var: PathBuf,
    pub command_line: PathBuf,
    /// Where `base.d`, `base.platform.d` and `user.ign` are looked for, the first of the same name wins.
    pub directories: Vec<PathBuf>,
    pub say: fn(&str),
}

impl Machine {
    /// The places of an installed disk, seen from its initramfs.
    pub fn new(sysroot: PathBuf, slot: PathBuf, offset: u64, say: fn(&str)) -> Self {
        Self {
            sysroot,
            slot,
            offset,
            run: RUN.into(),
            boot: "/dev/disk/by-label/boot".into(),
            var: "/dev/disk/by-label/var".into(),
            command_line: "/proc/cmdline".into(),
            directories: ["/run/ignition", "/etc/ignition", "/usr/lib/ignition"].map(PathBuf::from).into(),
            say,
        }
    }
}
