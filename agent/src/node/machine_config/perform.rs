//! Makes changes on the machine. Every step may be done again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ashlar_host::cmd::Cmd;
use ashlar_host::systemd;
use ashlar_ignition::running::{Change, Demand, Entry, Kept, Kind, UnitState};

use super::originals::{self, Originals};
use super::{below, paths};

/// Ours, which also runs on its own: changing the boot entries needs a process without threads.
const AGENT: &str = "/usr/bin/ashlar-agent";
const STAGING: Duration = Duration::from_secs(300);

pub struct Performer {
    root: PathBuf,
    originals: Originals,
}

impl Performer {
    pub fn new(root: &Path, originals: PathBuf) -> Self {
        Self { root: root.to_owned(), originals: Originals::new(root, originals) }
    }

    /// Files, units and kernel arguments; nothing is restarted.
    pub async fn perform(&self, steps: &[Change]) -> anyhow::Result<()> {
        for step in steps {
            if let Kind::Path { path, old, new } = &step.kind {
                if new.is_none() {
                    stop_own_unit(path).await?;
                }
                self.path(path, old.as_ref(), new.as_ref())?;
            }
            if let Kind::Keys { user, keys } = &step.kind {
                self.keys(user, keys)?;
            }
        }
        if steps.iter().any(is_of_systemd) {
            systemd::daemon_reload().await?;
        }
        for step in steps {
            match &step.kind {
                Kind::Unit { name, new, .. } => enable(name, new).await?,
                Kind::KernelArguments { remove, add } => kernel_arguments(remove, add).await?,
                Kind::Path { .. } | Kind::Keys { .. } => {}
            }
        }
        Ok(())
    }

    fn path(&self, path: &str, old: Option<&Entry>, new: Option<&Entry>) -> anyhow::Result<()> {
        match (old, new) {
            (_, None) => self.originals.restore(path),
            (None, Some(entry)) => {
                self.originals.keep(path)?;
                self.write(path, entry)
            }
            (Some(_), Some(entry)) => self.write(path, entry),
        }
    }

    /// Makes a path what the entry says.
    pub fn write(&self, path: &str, entry: &Entry) -> anyhow::Result<()> {
        let place = below(&self.root, path);
        let written = match entry {
            Entry::File { contents, mode, owner } => {
                let (user, group) = paths::owner(&self.root, owner)?;
                originals::put(&place, contents, *mode, user, group)
            }
            Entry::Directory { mode, owner } => {
                let (user, group) = paths::owner(&self.root, owner)?;
                directory(&place, *mode, user, group)
            }
            Entry::Link { target } => link(&place, target),
        };
        written.with_context(|| format!("writing {path}"))
    }

    fn keys(&self, user: &str, keys: &[String]) -> anyhow::Result<()> {
        let (number, group, home) =
            paths::account(&self.root, user).with_context(|| format!("there is no user {user}"))?;
        let folder = below(&self.root, &home).join(".ssh");
        directory(&folder, 0o700, number, group)?;
        let text: String = keys.iter().map(|key| format!("{}\n", key.trim_end())).collect();
        originals::put(&folder.join("authorized_keys"), text.as_bytes(), 0o600, number, group)
    }

    /// Reloads and restarts what reads the changed files. A unit that is not there reads nothing.
    pub async fn restart_readers(&self, steps: &[Change]) -> anyhow::Result<()> {
        let Demand::Units { reload, restart } = Demand::of(steps) else { return Ok(()) };
        for unit in &reload {
            // `try-`: one that does not run has nothing to read again.
            systemctl("try-reload-or-restart", unit).await?;
        }
        for unit in &restart {
            if !systemd::exists(unit).await? {
                continue;
            }
            match wanted(steps, unit) {
                Some(true) => systemctl("restart", unit).await?,
                Some(false) => systemctl("stop", unit).await?,
                None => systemctl("try-restart", unit).await?,
            }
        }
        Ok(())
    }
}

/// Units that these changes enable: they must run afterwards.
pub fn units_that_must_run(steps: &[Change]) -> Vec<String> {
    let enabled = steps.iter().filter_map(|step| match &step.kind {
        Kind::Unit { name, new: UnitState { enabled: Some(true) }, .. } => Some(name.clone()),
        _ => None,
    });
    enabled.collect()
}

fn wanted(steps: &[Change], unit: &str) -> Option<bool> {
    steps.iter().find_map(|step| match &step.kind {
        Kind::Unit { name, new, .. } if name == unit => new.enabled,
        _ => None,
    })
}

fn is_of_systemd(step: &Change) -> bool {
    match &step.kind {
        Kind::Path { path, .. } => Kept::unit_of(path).is_some() || path.starts_with("/etc/systemd/"),
        Kind::Unit { .. } => true,
        Kind::Keys { .. } | Kind::KernelArguments { .. } => false,
    }
}

/// A unit that goes with its file is stopped while systemd still knows how.
async fn stop_own_unit(path: &str) -> anyhow::Result<()> {
    let unit = Kept::unit_of(path).filter(|unit| path.ends_with(&format!("/{unit}")));
    match unit {
        Some(unit) if systemd::is_active(&unit).await? => systemctl("stop", &unit).await,
        _ => Ok(()),
    }
}

/// Of a unit that no config names any more, what the operating system says counts again.
pub async fn enable(unit: &str, state: &UnitState) -> anyhow::Result<()> {
    let verb = match state.enabled {
        Some(true) => "enable",
        Some(false) => "disable",
        None => "preset",
    };
    // Its file may have gone with the config that named it.
    if verb != "enable" && !systemd::exists(unit).await? {
        return Ok(());
    }
    systemctl(verb, unit).await
}

async fn systemctl(verb: &str, unit: &str) -> anyhow::Result<()> {
    let done = Cmd::new("systemctl").args([verb, unit]).run().await;
    done.map(drop).with_context(|| format!("{verb} of {unit}"))
}

async fn kernel_arguments(remove: &[String], add: &[String]) -> anyhow::Result<()> {
    let mut command = Cmd::new(AGENT).args(["node", "os", "kernel-arguments"]);
    for (option, words) in [("--remove", remove), ("--add", add)] {
        for word in words.iter().flat_map(|words| words.split_whitespace()) {
            command = command.arg(format!("{option}={word}"));
        }
    }
    command.timeout(STAGING).run().await.map(drop).context("changing the kernel's arguments")
}

pub async fn reboot() -> anyhow::Result<()> {
    Ok(systemd::reboot().await?)
}

fn directory(place: &Path, mode: u32, user: u32, group: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    fs::create_dir_all(place)?;
    chown(place, Some(user), Some(group))?;
    Ok(fs::set_permissions(place, fs::Permissions::from_mode(mode))?)
}

fn link(place: &Path, target: &str) -> anyhow::Result<()> {
    if fs::read_link(place).is_ok_and(|have| have == Path::new(target)) {
        return Ok(());
    }
    let folder = place.parent().context("a path below the root")?;
    fs::create_dir_all(folder)?;
    let new = folder.join(format!(".{}.new", place.file_name().unwrap_or_default().to_string_lossy()));
    originals::remove(&new)?;
    std::os::unix::fs::symlink(target, &new)?;
    fs::rename(&new, place)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}
