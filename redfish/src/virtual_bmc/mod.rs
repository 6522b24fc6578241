//! A BMC without a server around it: a real HTTPS Redfish service in front of a [`Machine`].
//!
//! The BMC decides from what the machine boots (override, inserted medium) and when; the machine has the body.
//! It must not know how machines are built: that is the driver's business, behind the [`Machine`] seam.

mod accounts;
mod app;
mod boot;
mod certificate;
mod config;
mod faults;
mod guard;
mod image_check;
mod machine;
mod media;
mod message;
mod personality;
mod reply;
mod resets;
mod resources;
mod serve;
mod sessions;
mod state;
mod system;
mod tasks;

pub use app::app;
pub use boot::{BootEnabled, BootMode, BootOverride, BootTarget, PowerPolicy};
pub use certificate::{Certificate, CertificateError};
pub use config::{Config, Error, VirtualBmc};
pub use faults::Faults;
pub use machine::{BootSource, Interface, Machine, MachineInventory, Medium};
pub use personality::Personality;
pub use serve::serve;
