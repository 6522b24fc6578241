//! Devices: waiting for them, and what must not be touched: those in use, and those of the installed system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::cmd::Cmd;

use super::disks::{refuse, run};
use super::partitions::Disk;
use super::report::Failure;
use crate::disks::refusals::{of_table, own_links};
use crate::disks::table::Change;

const DEVICE_APPEARS: Duration = Duration::from_secs(90);

/// The device behind the links of udev, once it is there.
pub(super) async fn wait_for(name: &str) -> Result<PathBuf, Failure> {
    let began = Instant::now();
    loop {
        if let Ok(path) = fs::canonicalize(name) {
            return Ok(path);
        }
        if began.elapsed() >= patience() {
            let cause = format!("there is no such device after {} s", began.elapsed().as_secs());
            return Err(refuse(
                name,
                &cause,
                "name a device of this machine; /dev/disk/by-id has lasting names",
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Devices only appear where udev runs.
fn patience() -> Duration {
    if Path::new("/run/udev/control").exists() { DEVICE_APPEARS } else { Duration::ZERO }
}

/// Neither the installed disk as a whole, nor one of its partitions, by whatever name.
pub(super) fn not_the_systems(name: &str, device: &Path) -> Result<(), Failure> {
    let links = own_links();
    let own = links.iter().find(|link| fs::canonicalize(link).is_ok_and(|path| path == device));
    let table = Disk::open(device).ok().and_then(|disk| of_table(&disk.table().entries, &[], true));
    let why = own.map(|link| format!("it is {link}, a part of the installed system")).or(table);
    let remedy = "name another device; to make the system's disk anew, install the host again";
    why.map_or(Ok(()), |why| Err(refuse(name, &why, remedy)))
}

/// Mounted, swapped on, or held by another device: the disk itself, or a partition that is to change.
pub(super) fn not_in_use(name: &str, device: &Path, whole: bool, changes: &[Change]) -> Result<(), Failure> {
    let node = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let class = Path::new("/sys/class/block");
    let mut used = users(&node, class);
    for entry in fs::read_dir(class.join(&node)).into_iter().flatten().flatten() {
        let part = entry.file_name().to_string_lossy().into_owned();
        let number = fs::read_to_string(entry.path().join("partition"))
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok());
        let Some(number) = number.filter(|_| part.starts_with(&node)) else { continue };
        let changed = changes.iter().any(|change| match change {
            Change::Replace(entry) | Change::Resize(entry) | Change::Create(entry) => entry.number == number,
            Change::Delete(other) => *other == number,
            Change::Keep(_) => false,
        });
        if whole || changed {
            used.extend(users(&part, class));
        }
    }
    match used.first() {
        Some(user) => {
            Err(refuse(name, &format!("it is in use: {user}"), "name another device; nothing was changed"))
        }
        None => Ok(()),
    }
}

fn users(node: &str, class: &Path) -> Vec<String> {
    let holders = fs::read_dir(class.join(node).join("holders")).into_iter().flatten().flatten();
    let mut users: Vec<String> =
        holders.map(|holder| format!("held by {}", holder.file_name().to_string_lossy())).collect();
    let is_it = |path: &str| {
        fs::canonicalize(path).is_ok_and(|path| path.file_name().is_some_and(|name| name == node))
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (source, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if source.starts_with('/') && is_it(source) {
            users.push(format!("mounted at {target}"));
        }
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    users.extend(
        swaps.lines().filter(|line| is_it(line.split(' ').next().unwrap_or(""))).map(|_| "swap".to_owned()),
    );
    users
}

/// A file has no partitions for the kernel.
pub(super) async fn tell_kernel(device: &Path) -> Result<(), Failure> {
    let class = Path::new("/sys/class/block").join(device.file_name().unwrap_or_default());
    if class.exists() {
        let name = device.display().to_string();
        run("partx", vec!["--update".to_owned(), name.clone()], &name).await?;
        settle().await;
    }
    Ok(())
}

pub(super) async fn settle() {
    if Path::new("/run/udev/control").exists() {
        let _ = Cmd::new("udevadm").args(["settle", "--timeout=30"]).run().await;
    }
}
