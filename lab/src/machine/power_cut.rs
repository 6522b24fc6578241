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
    set(&freezers, false);
}

/// A group whose processes can be stopped all at once.
struct Freezer {
    group: PathBuf,
    /// The file that is written, and what stops and starts.
    file: &'static str,
    words: [&'static str; 2],
    /// The file, and the line in it, that say that all have stopped.
    stopped: (&'static str, &'static str),
}

impl Freezer {
    fn v1(group: PathBuf) -> Self {
        let (file, words) = ("freezer.state", ["FROZEN", "THAWED"]);
        Self { group, file, words, stopped: ("freezer.state", "FROZEN") }
    }

    fn v2(group: PathBuf) -> Self {
        let (file, words) = ("cgroup.freeze", ["1", "0"]);
        Self { group, file, words, stopped: ("cgroup.events", "frozen 1") }
    }

    fn exists(&self) -> bool {
        self.group.join(self.file).exists()
    }

    fn has_stopped(&self) -> bool {
        let (file, wanted) = self.stopped;
        let text = std::fs::read_to_string(self.group.join(file));
        text.is_ok_and(|text| text.lines().any(|line| line.trim() == wanted))
    }
}

/// The machine's groups in the v1 freezer; in v2 where there is none.
fn freezers(name: &str) -> Vec<Freezer> {
    let groups: Vec<PathBuf> = cgroup::find(name).into_iter().filter(|group| group.ends_with(name)).collect();
    let of = |kind: fn(PathBuf) -> Freezer| -> Vec<Freezer> {
        groups.iter().cloned().map(kind).filter(Freezer::exists).collect()
    };
    let v1 = of(Freezer::v1);
    if v1.is_empty() { of(Freezer::v2) } else { v1 }
}

fn freeze(freezers: &[Freezer]) {
    if freezers.is_empty() {
        tracing::warn!("the machine's processes cannot be stopped all at once: no freezer");
    }
    set(freezers, true);
    let end = Instant::now() + FREEZE;
    while !freezers.iter().all(Freezer::has_stopped) {
        if Instant::now() > end {
            return tracing::warn!("the machine's processes do not stop at once");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn set(freezers: &[Freezer], stop: bool) {
    for freezer in freezers {
        let word = freezer.words[usize::from(!stop)];
        if let Err(error) = cgroup::write(&freezer.group, freezer.file, word) {
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

    /// Needs root and a v2 hierarchy.
    #[test]
    fn a_v2_group_stops_and_goes_on() {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        let Some(root) = root.into_iter().find(|root| root.join("cgroup.controllers").exists()) else {
            return eprintln!("no v2 control groups here");
        };
        let group = root.join(format!("ashlar-freezer-{}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&group) {
            return eprintln!("no group can be made: {error}");
        }
        let freezer = [Freezer::v2(group.clone())];
        freeze(&freezer);
        let stopped = freezer[0].has_stopped();
        set(&freezer, false);
        std::fs::remove_dir(&group).expect("an empty group");
        assert!(stopped);
    }

    #[test]
    fn mounts_are_told_by_device_number() {
        let table = "36 35 7:3 /ostree/a / rw,noatime master:1 - ext4 /dev/loop3 rw\n";
        assert_eq!(mounts(table).collect::<Vec<_>>(), [(libc::makedev(7, 3), "/")]);
    }
}
