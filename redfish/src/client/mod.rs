//! The Redfish client. Tolerant in what it reads, strict in whom it trusts; it decides nothing about installs.

mod bmc;
mod boot;
mod connection;
mod endpoint;
mod error;
mod extended_info;
mod inventory;
mod login;
mod media_payload;
mod patch;
mod power;
mod retry;
mod tasks;
pub(crate) mod trust;
mod virtual_media;

pub use bmc::Bmc;
pub use boot::{BootState, BootTarget};
pub use endpoint::{Endpoint, Family};
pub use error::Error;
pub use inventory::{EthernetInterface, Processors, System};
pub use login::Credentials;
pub use trust::Trust;
pub use virtual_media::Media;

use std::time::Duration;

/// How long to wait for a BMC, and how often to try again.
#[derive(Debug, Clone)]
pub struct Timeouts {
    pub connect: Duration,
    /// One request, from sending it to the last byte of the answer.
    pub request: Duration,
    /// Tries of one request when the reason it failed may pass.
    pub attempts: u32,
    /// First pause between tries; it doubles up to `longest_pause`.
    pub pause: Duration,
    pub longest_pause: Duration,
    /// Between two looks at something that is being waited for.
    pub poll: Duration,
    /// How long an accepted change of media or power may take to show.
    pub settle: Duration,
    /// How long a task may run.
    pub task: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            request: Duration::from_secs(60),
            attempts: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            settle: Duration::from_secs(60),
            task: Duration::from_secs(600),
        }
    }
}
