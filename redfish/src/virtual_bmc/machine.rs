//! The seam between the virtual BMC and the body of a server (container, QEMU, a test's own).

use crate::power::PowerState;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What a driver must offer. The BMC runs at most one of `power_on` and `force_off` at a time.
#[async_trait]
pub trait Machine: Send + Sync {
    async fn power_state(&self) -> PowerState;

    /// Returns when the machine has power; it need not have booted.
    async fn power_on(&self, boot: BootSource) -> Result<(), String>;

    /// Returns when the machine has no power, as a power cut.
    async fn force_off(&self) -> Result<(), String>;

    /// Presses the power button. May return before the machine is off; the BMC looks at `power_state`.
    async fn graceful_shutdown(&self) -> Result<(), String>;

    fn inventory(&self) -> MachineInventory;
}

/// Where a machine's firmware looks for its system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootSource {
    Medium(Medium),
    Disk,
    /// The override asks for the network.
    Network,
}

/// An inserted image. Reading its bytes is the driver's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    pub url: String,
    /// Last segment of the URL's path.
    pub image_name: String,
}

#[derive(Debug, Clone, Default)]
pub struct MachineInventory {
    pub manufacturer: String,
    pub model: String,
    pub serial: String,
    /// In the usual form with hyphens.
    pub uuid: String,
    pub processor_model: String,
    pub processors: u32,
    pub cores: u32,
    pub memory_bytes: u64,
    pub bios_version: String,
    pub interfaces: Vec<Interface>,
}

#[derive(Debug, Clone)]
pub struct Interface {
    /// An id without slashes, such as `NIC.1`.
    pub id: String,
    /// Lower case with colons.
    pub mac: String,
}
