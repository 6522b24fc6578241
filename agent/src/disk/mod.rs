//! Disks: checking the target, wiping, writing the image, the partition table. Everything works on the whole disk by
//! offsets; no partition device is ever needed. A plain file works as well as a block device.

mod boot_order;
pub mod check;
mod chunks;
pub mod device;
mod efi;
pub mod install;
mod table;
pub mod wipe;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ashlar_model::agent_api::Progress;

use crate::failure::{Failure, chain};

pub const MIB: u64 = 1 << 20;

/// Takes each step of progress; `false` asks the work to stop.
pub type Report = Arc<dyn Fn(Progress) -> bool + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("opening {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("reading {path} at byte {offset}")]
    Read { path: PathBuf, offset: u64, source: io::Error },
    #[error("writing {path} at byte {offset}")]
    Write { path: PathBuf, offset: u64, source: io::Error },
    #[error("flushing {path}")]
    Flush { path: PathBuf, source: io::Error },
    #[error("chunk {chunk} of the medium's disk image does not have the SHA-256 that its manifest says")]
    Medium { chunk: usize },
    #[error("chunk {chunk} of {path} is not what was written")]
    Verify { chunk: usize, path: PathBuf },
    #[error("the disk image's manifest is wrong: {0}")]
    Manifest(String),
    #[error("{path} has {have} bytes; the release needs at least {need}")]
    TooSmall { path: PathBuf, have: u64, need: u64 },
    #[error("{path} has sectors of {sector} bytes, which the release's system cannot be installed on")]
    Sector { path: PathBuf, sector: u64 },
    #[error("making the EFI system partition for the sectors of {path}")]
    Efi { path: PathBuf, source: io::Error },
    #[error("the partition table")]
    Table(#[from] gptman::Error),
    #[error("the config slot")]
    Slot(#[from] ashlar_model::slot::SlotError),
    #[error("stopped")]
    Stopped,
}

impl DiskError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { source, .. } if source.raw_os_error() == Some(libc::EBUSY) => {
                Some("something on this machine uses the disk: a mount, swap, a RAID or LVM volume")
            }
            Self::Read { .. } => Some(
                "the disk or the virtual medium of this path fails: the console has what the kernel says of it",
            ),
            Self::Write { .. } | Self::Flush { .. } => Some(
                "the disk does not take what it is given: replace it, or choose another one with rootDeviceHints",
            ),
            Self::Medium { .. } => {
                Some("the virtual medium was read wrongly: check the link between BMC and engine")
            }
            Self::Verify { .. } => Some("the disk does not keep what it is given: replace it"),
            Self::Sector { .. } => {
                Some("set the disk to sectors of 512 or 4096 bytes, or choose another one")
            }
            Self::TooSmall { .. } => Some("choose a larger disk with rootDeviceHints"),
            _ => None,
        }
    }

    /// For `map_err`.
    pub fn during(phase: &'static str) -> impl Fn(Self) -> Failure {
        move |error| {
            let failure = Failure::new(phase, chain(&error));
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
    }
}

/// Passes progress on; an error when the work is to stop.
fn say(report: &Report, phase: &str, bytes: Option<(u64, u64)>, message: &str) -> Result<(), DiskError> {
    let progress = Progress { phase: phase.to_owned(), bytes, message: message.to_owned() };
    if report(progress) { Ok(()) } else { Err(DiskError::Stopped) }
}
