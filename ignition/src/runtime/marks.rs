//! What is being made on disks: kept on the boot partition, so that the boot after a power cut knows that it may make
//! it again. A filesystem's mark goes when it is made; that of a volume with a key of our own when the first boot ends,
//! because only then the key is on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use super::report::Failure;

const FILE: &str = "ashlar-ignition-making.json";

pub struct Marks(Option<PathBuf>);

impl Marks {
    /// Without a boot partition nothing is remembered, and what is half made must be wiped by the configuration.
    pub fn new(boot: Option<&Path>) -> Self {
        Self(boot.map(|boot| boot.join(FILE)))
    }

    pub fn has(&self, device: &str) -> bool {
        self.read().contains(device)
    }

    /// # Errors
    /// The boot partition cannot be written.
    pub fn set(&self, device: &str) -> Result<(), Failure> {
        let mut marks = self.read();
        if marks.insert(device.to_owned()) { self.write(device, &marks) } else { Ok(()) }
    }

    /// # Errors
    /// As `set`.
    pub fn clear(&self, device: &str) -> Result<(), Failure> {
        let mut marks = self.read();
        if marks.remove(device) { self.write(device, &marks) } else { Ok(()) }
    }

    /// Forgets all: the first boot is over.
    ///
    /// # Errors
    /// As `set`.
    pub fn end(&self) -> io::Result<()> {
        self.0.as_deref().map_or(Ok(()), files::remove)
    }

    fn read(&self) -> BTreeSet<String> {
        let bytes = self.0.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write(&self, device: &str, marks: &BTreeSet<String>) -> Result<(), Failure> {
        let Some(path) = &self.0 else { return Ok(()) };
        let text = serde_json::to_vec(marks).unwrap_or_default();
        files::write_synced(path, &text, 0o600)
            .map_err(|error| Failure::new("disks", device, &error, "check the boot partition"))
    }
}
