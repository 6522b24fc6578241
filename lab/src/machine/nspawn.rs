//! Starting a prepared system with systemd-nspawn, in its own control groups, and seeing how it ends.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use ashlar_host::cgroup;
use ashlar_host::cmd::{self, Cmd};
use ashlar_host::device_filter::{self, Filter};
use ashlar_host::netns;
use tokio::process::Child;

use super::boot::{Place, Prepared};
use super::console::Console;
use super::view;

/// systemd-nspawn's exit status when the system inside asked for a reboot.
const REBOOT: i32 = 133;
const LOOP_MAJOR: u32 = 7;
const LOOP_CONTROL: (u32, u32) = (10, 237);
/// More loop devices than any rack has.
const LOOP_MINORS: u32 = 512;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("preparing the machine's control groups")]
    Groups(#[from] cgroup::Error),
    #[error("keeping the machine from this computer's disks")]
    Filter(#[from] device_filter::Error),
    #[error("opening the machine's console")]
    Console { source: io::Error },
    #[error("starting the machine")]
    Start { source: cmd::Error },
}

/// How a system ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Off,
    Reboot,
}

/// Starts the system. Its console goes to the console's file.
///
/// # Errors
/// A control group cannot be made, or a program is missing.
pub fn start(place: &Place<'_>, prepared: &Prepared, console: &Console) -> Result<Child, Error> {
    let name = place.rack.machine_namespace(&place.server.name);
    let groups = cgroup::make(&name)?;
    confine(&groups, &denied(&prepared.devices))?;
    let output = console.open().map_err(|source| Error::Console { source })?;
    let errors = output.try_clone().map_err(|source| Error::Console { source })?;
    // The launcher moves itself, so that nothing of the machine ever runs outside its groups.
    let join = "for group in $GROUPS_TO_JOIN; do echo $$ > $group/cgroup.procs || exit 1; done; exec \"$@\"";
    let paths: Vec<String> = groups.iter().map(|group| group.path.display().to_string()).collect();
    Cmd::new("sh")
        .args(["-c", join, "sh"])
        .args(arguments(&name, place, prepared))
        .env("GROUPS_TO_JOIN", paths.join(" "))
        .env("SYSTEMD_SECCOMP", "0")
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
        .spawn_into(Stdio::from(output), Stdio::from(errors))
        .map_err(|source| Error::Start { source })
}

/// Removes what systemd-nspawn keeps for a machine in `/run`, where it does not clean up by itself.
pub fn forget(name: &str) {
    let folder = Path::new("/run/systemd/nspawn/propagate").join(name);
    match std::fs::remove_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "it stays");
        }
        _ => {}
    }
}

/// What an exit status of systemd-nspawn means.
#[must_use]
pub fn end_of(status: ExitStatus) -> End {
    if status.code() == Some(REBOOT) { End::Reboot } else { End::Off }
}

fn arguments(name: &str, place: &Place<'_>, prepared: &Prepared) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--hostname=localhost",
        "--capability=all",
        "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--kill-signal=SIGRTMIN+4",
        "--bind=/dev/kmsg",
        "--bind-ro=+/usr:/usr",
    ]
    .map(str::to_owned)
    .into();
    arguments.extend([
        format!("--machine={name}"),
        format!("--uuid={}", place.server.uuid),
        format!("--network-namespace-path={}", netns::path(name).display()),
        format!("--directory={}", prepared.root.display()),
        format!("--pivot-root={}:/sysroot", prepared.deployment),
    ]);
    let binds = prepared.binds.iter();
    arguments.extend(binds.map(|(from, to)| format!("--bind={}:{to}", escape(from))));
    let lab = place.rack.machine_directory(&place.server.name).join("lab/drop-ins");
    let drop_ins = view::DROP_INS.iter();
    arguments.extend(drop_ins.map(|(file, to)| format!("--bind-ro={}:{to}", escape(&lab.join(file)))));
    arguments.extend(["--", "/bin/sh", "/run/lab/init"].map(str::to_owned));
    arguments
}

/// In nspawn's arguments a colon separates paths.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(':', "\\:")
}

/// Keeps a machine from devices, by the v1 controller or, where there is none, by a filter on its v2 group.
fn confine(groups: &[cgroup::Directory], denied: &Filter) -> Result<(), Error> {
    if let Some(group) = groups.iter().find(|group| group.controller == "devices") {
        let rules = rules(denied);
        return Ok(rules.iter().try_for_each(|rule| cgroup::write(&group.path, "devices.deny", rule))?);
    }
    let unified = groups.iter().filter(|group| group.controller.is_empty());
    Ok(unified.map(|group| &group.path).try_for_each(|path| device_filter::attach(path, denied))?)
}

/// What is no business of a machine: this computer's disks and the other machines'. Reading and writing is denied,
/// making a node is not: a container runtime inside may allow that without contradicting its parent.
fn denied(own: &[std::path::PathBuf]) -> Filter {
    let own = own.iter().filter_map(|device| device.to_str()?.strip_prefix("/dev/loop")?.parse().ok());
    Filter {
        block_majors: host_disk_majors(),
        block_but: Some((LOOP_MAJOR, own.collect())),
        character: Some(LOOP_CONTROL),
    }
}

/// The filter in the words of the v1 controller, which knows no exceptions.
fn rules(filter: &Filter) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some((major, own)) = &filter.block_but {
        let minors = (0..LOOP_MINORS).filter(|minor| !own.contains(minor));
        rules.extend(minors.map(|minor| format!("b {major}:{minor} rw")));
    }
    rules.extend(filter.character.iter().map(|(major, minor)| format!("c {major}:{minor} rw")));
    rules.extend(filter.block_majors.iter().map(|major| format!("b {major}:* rw")));
    rules
}

/// Major numbers of every block device of this computer that is not a loop device.
fn host_disk_majors() -> Vec<u32> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("dev")).ok());
    let majors = numbers.filter_map(|number| number.split_once(':')?.0.parse().ok());
    let majors: std::collections::BTreeSet<u32> = majors.filter(|major| *major != LOOP_MAJOR).collect();
    majors.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_device_but_its_own_is_denied() {
        let rules = rules(&denied(&["/dev/loop3".into()]));
        assert!(!rules.contains(&"b 7:3 rw".to_owned()));
        assert!(rules.contains(&"b 7:4 rw".to_owned()));
        assert!(rules.contains(&"c 10:237 rw".to_owned()));
    }
}
