//! A power cut: everything stops at once, and what was not on the disk yet is lost. Killing the machine's
//! processes alone would lose nothing, because this computer's kernel would still write their data.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::process::Process;
use ashlar_host::{cgroup, filesystem};

/// Processes are stopped within a moment, or the cut goes on without.
const FREEZE: Duration = Duration::from_millis(500);

/// Cuts the power of the machine whose control groups are called `name`. `disks` are the numbers of its devices:
/// no other filesystem is touched.
pub fn cut(nspawn: Option<Process>, name: &str, disks: &[u64]) {
    let Some(nspawn) = nspawn else { return };
    let mut victims = nspawn.children();
    let freezers = freezers(name);
    freeze(&freezers);
    for first in &victims {
        lose_unwritten(first.pid, disks);
    }
    if victims.is_empty() {
        victims.push(nspawn);
    }
    for victim in victims {
        if let Err(error) = victim.signal(libc::SIGKILL) {
            tracing::error!(%error, "cannot cut the power");
        }
    }
    set(&freezers, "THAWED");
}

/// The machine's groups in the v1 freezer; on other computers processes are not stopped first.
fn freezers(name: &str) -> Vec<PathBuf> {
    let groups = cgroup::find(name).into_iter();
    groups.filter(|group| group.ends_with(name) && group.join("freezer.state").exists()).collect()
}

fn freeze(freezers: &[PathBuf]) {
    set(freezers, "FROZEN");
    let end = Instant::now() + FREEZE;
    let frozen = |group: &PathBuf| {
        std::fs::read_to_string(group.join("freezer.state")).is_ok_and(|state| state.trim() == "FROZEN")
    };
    while !freezers.iter().all(frozen) {
        if Instant::now() > end {
            return tracing::warn!("the machine's processes do not stop at once");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn set(freezers: &[PathBuf], state: &str) {
    for group in freezers {
        if let Err(error) = cgroup::write(group, "freezer.state", state) {
            tracing::warn!(%error, "the machine's processes cannot be stopped or started");
        }
    }
}

/// Ends the filesystems on the machine's disks, wherever the machine has mounted them.
fn lose_unwritten(pid: u32, disks: &[u64]) {
    let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let mut ended = Vec::new();
    for (device, point) in mounts(&table) {
        if !disks.contains(&device) || ended.contains(&device) {
            continue;
        }
        let path = Path::new("/proc").join(pid.to_string()).join("root").join(point.trim_start_matches('/'));
        match filesystem::shut_down(&path, device) {
            Ok(()) => ended.push(device),
            Err(error) => tracing::warn!(%error, "the power cut loses nothing there"),
        }
    }
    tracing::info!(filesystems = ended.len(), "unwritten data is lost");
}

/// Device number and mount point of every directory that is mounted read-write or not, from a mount table.
fn mounts(table: &str) -> impl Iterator<Item = (u64, &str)> {
    table.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (major, minor) = fields.nth(2)?.split_once(':')?;
        let device = libc::makedev(major.parse().ok()?, minor.parse().ok()?);
        Some((device, fields.nth(1)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_by_device_number() {
        let table = "36 35 7:3 /ostree/a / rw,noatime master:1 - ext4 /dev/loop3 rw\n";
        assert_eq!(mounts(table).collect::<Vec<_>>(), [(libc::makedev(7, 3), "/")]);
    }
}
