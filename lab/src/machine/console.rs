//! A machine's serial console: one file that firmware (us) and the running system append to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Console {
    path: PathBuf,
}

impl Console {
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The file, for a process's output.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.path)
    }

    /// What the firmware has to say.
    pub fn say(&self, text: &str) {
        let line = format!("firmware: {text}\r\n");
        if let Err(error) = self.open().and_then(|mut file| file.write_all(line.as_bytes())) {
            tracing::warn!(%error, console = %self.path.display(), "cannot write to the console");
        }
        tracing::info!(console = %self.path.display(), text, "firmware");
    }
}
