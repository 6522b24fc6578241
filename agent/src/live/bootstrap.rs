//! Turns this machine into the bootstrap: its state goes to a disk of its own, so that a power cut loses nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::Cmd;
use ashlar_host::inventory::{Machine, contents};
use ashlar_model::agent_api::{BootstrapTask, Progress, TaskResult};
use ashlar_model::bootstrap_api::Bundle;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use crate::disk::check::{self, Expected};
use crate::disk::device::Device;
use crate::disk::{DiskError, Report, wipe};
use crate::durable;
use crate::failure::Failure;

const LABEL: &str = "ashlar-boot";
const DISK: &str = "/var/lib/ashlar/bootstrap-disk";
const BUNDLE: &str = "/var/lib/ashlar/bootstrap/bundle.json";
const UNIT: &str = "ashlar-bootstrap.service";
/// Folders of the disk, and where they are bound.
const BINDS: &[(&str, &str)] = &[
    ("containerd", "/var/lib/containerd"),
    ("etcd", "/var/lib/etcd"),
    ("kubelet", "/var/lib/kubelet"),
    ("bootstrap", "/var/lib/ashlar/bootstrap"),
    ("pods", "/var/log/pods"),
];

pub async fn run(machine: &Machine, task: &BootstrapTask, report: &Report) -> Result<TaskResult, Failure> {
    let tell = |message: &str| {
        report(Progress { phase: "bootstrap".into(), bytes: None, message: message.into() });
    };
    if !is_mounted(machine, Path::new(DISK)) {
        tell("preparing the bootstrap's disk");
        prepare_disk(machine, task).await?;
    }
    bind_folders(machine).await?;
    let bundle = serde_json::to_vec(&task.bundle).map_err(Failure::during("bundle"))?;
    durable::write(Path::new(BUNDLE), &bundle, 0o600).map_err(Failure::during("bundle"))?;
    tell("starting the bootstrap control plane");
    systemctl("start", UNIT).await.map_err(|failure| failure.hint(format!("see `journalctl -u {UNIT}`")))?;
    Ok(TaskResult::BootstrapStarted)
}

/// Ends with the disk mounted: as it is when it holds this cluster's bootstrap, else with a new filesystem.
async fn prepare_disk(machine: &Machine, task: &BootstrapTask) -> Result<(), Failure> {
    let serial = task.disk_serial.as_deref();
    let expected = Expected { disk: &task.disk, serial, size_bytes: task.disk_size_bytes };
    check::identity(machine, &expected)?;
    check::free(machine, &task.disk)?;
    let disk = Path::new(&task.disk);
    let ours = contents::filesystem(disk).await == Some(("ext4".into(), Some(LABEL.into())));
    let mut state = State::Foreign;
    if ours {
        mount_disk(disk)?;
        state = state_of(&Path::new(DISK).join("bootstrap/bundle.json"), &task.bundle);
        if state == State::ThisCluster {
            return Ok(());
        }
        unmount(DISK, UnmountFlags::empty()).map_err(Failure::during("mount"))?;
    }
    check::target(machine, &expected, task.wipe_consent || state == State::Unfinished).await?;
    make_filesystem(disk).await?;
    mount_disk(disk)
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Goes on where it was.
    ThisCluster,
    /// Our filesystem, but no bundle was ever written: nothing is lost.
    Unfinished,
    Foreign,
}

/// A cluster is known by its authority, not by its name.
fn state_of(path: &Path, bundle: &Bundle) -> State {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::Unfinished,
        Err(_) => State::Foreign,
        Ok(text) => match serde_json::from_slice::<Bundle>(&text) {
            Ok(have) if same_cluster(&have, bundle) => State::ThisCluster,
            _ => State::Foreign,
        },
    }
}

fn same_cluster(one: &Bundle, other: &Bundle) -> bool {
    one.cluster.domain() == other.cluster.domain()
        && one.keys.kubernetes_ca.certificate_pem == other.keys.kubernetes_ca.certificate_pem
}

async fn make_filesystem(disk: &Path) -> Result<(), Failure> {
    Device::open(disk).and_then(|device| wipe::erase(&device)).map_err(DiskError::during("wipe"))?;
    let extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
    let mke2fs = Cmd::new("mke2fs").args(["-t", "ext4", "-q", "-L", LABEL, "-E", extended, "-F"]).arg(disk);
    mke2fs.timeout(Duration::from_secs(600)).run().await.map(drop).map_err(Failure::during("format"))
}

fn mount_disk(disk: &Path) -> Result<(), Failure> {
    make_folder(Path::new(DISK))?;
    mount(disk, DISK, "ext4", MountFlags::NOATIME, None)
        .map_err(|error| Failure::new("mount", format!("mounting {} on {DISK}: {error}", disk.display())))
}

/// containerd must not run while the folder under it changes.
async fn bind_folders(machine: &Machine) -> Result<(), Failure> {
    let missing: Vec<_> =
        BINDS.iter().filter(|(_, target)| !is_mounted(machine, Path::new(target))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for unit in ["kubelet.service", "containerd.service"] {
        if Cmd::new("systemctl").args(["is-active", "--quiet", unit]).run().await.is_ok() {
            systemctl("stop", unit).await?;
        }
    }
    for (folder, target) in missing {
        let source: PathBuf = Path::new(DISK).join(folder);
        make_folder(&source)?;
        make_folder(Path::new(target))?;
        mount_bind(&source, *target).map_err(|error| {
            Failure::new("mount", format!("binding {} on {target}: {error}", source.display()))
        })?;
    }
    set_mode(&Path::new(DISK).join("etcd"), 0o700)?;
    set_mode(&Path::new(DISK).join("bootstrap"), 0o700)
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path)
        .map_err(|error| Failure::new("mount", format!("making {}: {error}", path.display())))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|error| Failure::new("mount", format!("setting the mode of {}: {error}", path.display())))
}

async fn systemctl(verb: &str, unit: &str) -> Result<(), Failure> {
    Cmd::new("systemctl").args([verb, unit]).run().await.map(drop).map_err(Failure::during("start"))
}

/// The fifth field of /proc/self/mountinfo is the mount point.
fn is_mounted(machine: &Machine, point: &Path) -> bool {
    let mounts = machine.text("proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4).map(Path::new) == Some(point))
}
