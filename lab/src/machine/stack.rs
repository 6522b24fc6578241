//! The mounts and loop devices of one boot. They live in the daemon's private mount namespace and every loop
//! device clears itself with its last user, so that a daemon that dies leaves nothing behind.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::loop_device::{self, Range};
use ashlar_host::mount::{self, Access};

/// How long a mount may stay busy after its machine's last process is gone.
const BUSY: Duration = Duration::from_secs(5);
/// How long loop devices of the boot before may take to clear themselves.
const RELEASE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Loop(#[from] loop_device::Error),
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error("{} is still in use by {} after {RELEASE:?}", file.display(), device.display())]
    InUse { file: PathBuf, device: PathBuf },
    #[error("opening {}", path.display())]
    Open { path: PathBuf, source: io::Error },
}

/// What one boot of a machine holds.
pub struct Stack {
    directory: PathBuf,
    /// Open loop devices that no mount holds.
    devices: Vec<File>,
    /// Device numbers of everything that the machine may write to.
    writable: Vec<u64>,
}

impl Stack {
    /// `directory` is where everything is mounted.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, devices: Vec::new(), writable: Vec::new() }
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Mounts a range of a file at `name`.
    ///
    /// # Errors
    /// No loop device is free, or there is no such filesystem there.
    pub async fn mount_range(
        &mut self,
        file: &Path,
        range: Range,
        filesystem: &str,
        access: Access,
        name: &str,
    ) -> Result<PathBuf, Error> {
        let target = self.path(name);
        let device = loop_device::attach(file, range, access).await?;
        let mounted = mount::mount(&device, &target, filesystem, access, "");
        if access == Access::ReadWrite {
            self.writable.push(device_number(&device)?);
        }
        // The mount holds the device; detaching now makes it go with the mount.
        loop_device::detach(&device).await?;
        mounted?;
        Ok(target)
    }

    /// A device for a range of a file, which lasts as long as this boot.
    ///
    /// # Errors
    /// No loop device is free.
    pub async fn device(&mut self, file: &Path, range: Range) -> Result<PathBuf, Error> {
        let device = loop_device::attach(file, range, Access::ReadWrite).await?;
        let open = File::open(&device).map_err(|source| Error::Open { path: device.clone(), source });
        loop_device::detach(&device).await?;
        self.devices.push(open?);
        self.writable.push(device_number(&device)?);
        Ok(device)
    }

    /// A tmpfs at `name`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn tmpfs(&self, name: &str) -> Result<PathBuf, Error> {
        let target = self.path(name);
        mount::tmpfs(&target, "mode=755")?;
        Ok(target)
    }

    /// Device numbers of the machine's disks and of the filesystems on them.
    #[must_use]
    pub fn writable(&self) -> &[u64] {
        &self.writable
    }

    /// Unmounts and releases everything; nothing may use it any more. What stays busy is taken out of sight.
    pub async fn take_down(self) {
        take_down(&self.directory).await;
    }
}

fn device_number(device: &Path) -> Result<u64, Error> {
    let about = std::fs::metadata(device);
    Ok(about.map_err(|source| Error::Open { path: device.to_owned(), source })?.rdev())
}

/// Waits until no loop device is left on a disk: a filesystem that is mounted through two of them is destroyed.
///
/// # Errors
/// Something still has it.
pub async fn released(file: &Path) -> Result<(), Error> {
    let end = Instant::now() + RELEASE;
    loop {
        let devices = loop_device::list().await?;
        match devices.into_iter().find(|device| device.file.as_deref() == Some(file)) {
            None => return Ok(()),
            Some(device) if Instant::now() > end => {
                return Err(Error::InUse { file: file.to_owned(), device: device.name });
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Unmounts everything at or below a directory.
pub async fn take_down(directory: &Path) {
    let points = match mount::below(directory) {
        Ok(points) => points,
        Err(error) => return tracing::error!(%error, "mounts stay"),
    };
    let end = Instant::now() + BUSY;
    for point in points {
        while let Err(error) = mount::unmount(&point) {
            if Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            tracing::warn!(%error, "detaching a busy mount");
            if let Err(error) = mount::detach(&point) {
                tracing::error!(%error, "a mount stays");
            }
            break;
        }
    }
}
