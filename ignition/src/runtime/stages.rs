//! The stages of the first boot, in the reference's order. Each may be run again; what one finds out, the next reads
//! in the machine's run directory.

use std::fs;
use std::io;
use std::path::PathBuf;

use ashlar_host::cmd::Cmd;
use ashlar_host::mount::{self, Access};
use clap::ValueEnum;

use super::apply::carry_out;
use super::boot_partition::{self, Boot};
use super::crypttab;
use super::devices::wait_for;
use super::disks::Disks;
use super::fetch::Fetcher;
use super::files;
use super::finish;
use super::first_boot::read_slot;
use super::machine::Machine;
use super::marks::Marks;
use super::mounts;
use super::prepare::{self, Prepared, make_run};
use super::report::Failure;
use super::root::Root;
use super::sources::{self, Sources};
use super::volumes::KEYS;
use crate::plan;

/// There while something must be fetched.
const NEED_NETWORK: &str = "neednet";
const HANDED: &str = "config.json";
const MOUNTS: &str = "mounts.json";
const WARNINGS: &str = "warnings.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Reads the sources; leaves `neednet` when something must be fetched.
    FetchOffline,
    /// Fetches and merges.
    Fetch,
    /// Changes the kernel arguments; asks for one restart at most.
    Kargs,
    /// Partitions, arrays, volumes, filesystems; before the root is mounted.
    Disks,
    /// Mounts `/var` and the configuration's filesystems below the root.
    Mount,
    /// Accounts, files, units.
    Files,
    /// Takes the mounts away; result and stamps.
    Umount,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// The next stage follows.
    On,
    /// There is nothing to do in this boot.
    NothingToDo,
    /// The stage `fetch` needs the network.
    NeedsNetwork,
    /// The kernel arguments were changed: everything else is done after a restart.
    Restart,
}

/// # Errors
/// Stage, entry, cause and remedy.
pub async fn run(stage: Stage, machine: &Machine) -> Result<Went, Failure> {
    match stage {
        Stage::FetchOffline => return fetch_offline(machine).await,
        Stage::Fetch => return fetch(machine).await,
        _ => {}
    }
    let Some(prepared) = Prepared::handed_on(&machine.run)? else { return Ok(Went::NothingToDo) };
    match stage {
        Stage::Kargs => kargs(machine, &prepared),
        Stage::Disks => {
            let slot = slot_of(machine)?;
            disks(machine, &prepared, &prepare::fetcher(slot.as_ref(), machine)).await
        }
        Stage::Mount => mount_all(machine, &prepared).await,
        Stage::Files => {
            let slot = slot_of(machine)?;
            let warnings = files(machine, &prepared, &prepare::fetcher(slot.as_ref(), machine)).await?;
            keep(machine, WARNINGS, &warnings).map(|()| Went::On)
        }
        _ => umount(machine, &prepared),
    }
}

fn slot_of(machine: &Machine) -> Result<Option<ashlar_model::slot::Slot>, Failure> {
    if machine.slot.exists() { read_slot(&machine.slot, machine.offset) } else { Ok(None) }
}

/// Nothing when the first boot is over, or there is no configuration.
async fn pending(machine: &Machine) -> Result<Option<Sources>, Failure> {
    if machine.slot.exists() {
        // An installed disk has one; without its stamp an old host would look like a new one.
        wait_for(&machine.boot.display().to_string()).await?;
    }
    let boot = Boot::open(machine, Access::ReadOnly)?;
    if boot.as_ref().is_some_and(Boot::is_applied) {
        (machine.say)("the configuration was applied before; nothing to do");
        return Ok(None);
    }
    let found = sources::find(machine, boot.as_ref().map(|boot| boot.folder.as_path()));
    if let Some(boot) = boot {
        boot.close(machine)?;
    }
    let sources = found?;
    if sources.is_empty() {
        (machine.say)("there is no configuration; nothing to do");
        return Ok(None);
    }
    let of_slot = matches!(&sources.user, Some((sources::Origin::ConfigSlot, _)));
    if let Some(slot) = sources.slot.as_ref().filter(|slot| of_slot && slot.secret.is_none())
        && prepare::slot_origins(slot).iter().any(|origin| origin.starts_with("https:"))
    {
        // Its server would not answer any more, and nothing is left to be asked.
        (machine.say)("the config slot's secret is wiped: this host has enrolled before; nothing to do");
        return Ok(None);
    }
    Ok(Some(sources))
}

async fn fetch_offline(machine: &Machine) -> Result<Went, Failure> {
    for name in [NEED_NETWORK, HANDED, MOUNTS, WARNINGS] {
        let path = machine.run.join(name);
        files::remove(&path)
            .map_err(|error| Failure::new("read", path.display(), &error, "restart the host"))?;
    }
    let Some(sources) = pending(machine).await? else { return Ok(Went::NothingToDo) };
    if prepare::needs_network(&sources) {
        keep::<String>(machine, NEED_NETWORK, &[])?;
        return Ok(Went::NeedsNetwork);
    }
    prepared(machine, &sources).await
}

async fn fetch(machine: &Machine) -> Result<Went, Failure> {
    match pending(machine).await? {
        Some(sources) => prepared(machine, &sources).await,
        None => Ok(Went::NothingToDo),
    }
}

async fn prepared(machine: &Machine, sources: &Sources) -> Result<Went, Failure> {
    let fetcher = prepare::fetcher(sources.slot.as_ref(), machine);
    let prepared = prepare::prepare(sources, &fetcher).await?;
    (machine.say)(&format!("the configuration comes from {}", prepared.about.origin));
    for warning in &prepared.about.warnings {
        (machine.say)(&format!("warning: {warning}"));
    }
    prepared.hand_on(&machine.run).map(|()| Went::On)
}

pub(super) fn kargs(machine: &Machine, prepared: &Prepared) -> Result<Went, Failure> {
    let wanted = prepared.rendered.config.kernel_arguments.clone().unwrap_or_default();
    let changed = boot_partition::kernel_arguments(machine, &wanted)?;
    Ok(if changed { Went::Restart } else { Went::On })
}

pub(super) async fn disks(
    machine: &Machine,
    prepared: &Prepared,
    fetcher: &Fetcher,
) -> Result<Went, Failure> {
    let Some(storage) = &prepared.rendered.config.storage else { return Ok(Went::On) };
    let makes = storage.filesystems.as_ref().is_some_and(|list| !list.is_empty())
        || storage.luks.as_ref().is_some_and(|list| !list.is_empty());
    let boot = if makes { Boot::open(machine, Access::ReadWrite)? } else { None };
    let marks = Marks::new(boot.as_ref().map(|boot| boot.folder.as_path()));
    let disks = Disks { fetcher, settings: &prepared.rendered.settings, marks: &marks, say: machine.say };
    let done = disks.run(&prepared.rendered.config).await;
    if let Some(boot) = boot {
        boot.close(machine)?;
    }
    done.map(|()| Went::On)
}

async fn mount_all(machine: &Machine, prepared: &Prepared) -> Result<Went, Failure> {
    let var = machine.sysroot.join("var");
    if machine.var.exists() && !mounts::is_mounted(&var) {
        mount::mount(&machine.var, &var, "ext4", Access::ReadWrite, "").map_err(|error| {
            Failure::new("mount", machine.var.display(), &error, "check the disk, or install the host again")
        })?;
        // Homes of new accounts lie in directories that the image makes at its boot.
        let prefixes =
            ["/var/home", "/var/roothome", "/var/lib/ashlar"].map(|path| format!("--prefix={path}"));
        let root = format!("--root={}", machine.sysroot.display());
        if let Err(error) = Cmd::new("systemd-tmpfiles").arg(root).arg("--create").args(&prefixes).run().await
        {
            (machine.say)(&format!("warning: {error}"));
        }
    }
    let mounted = config_mounts(machine, prepared)?;
    keep(machine, MOUNTS, &mounted).map(|()| Went::On)
}

pub(super) fn config_mounts(machine: &Machine, prepared: &Prepared) -> Result<Vec<PathBuf>, Failure> {
    let storage = prepared.rendered.config.storage.clone().unwrap_or_default();
    mounts::mount_all(&machine.sysroot, storage.filesystems.as_deref().unwrap_or_default())
}

/// The warnings: things that were asked for and have no effect. What is written is on the disk when the result is.
pub(super) async fn files(
    machine: &Machine,
    prepared: &Prepared,
    fetcher: &Fetcher,
) -> Result<Vec<String>, Failure> {
    let rendered = &prepared.rendered;
    let actions = plan(&rendered.config, &rendered.settings)
        .or_else(|problems| prepare::accept(problems, "plan").map(|()| Vec::new()))?;
    let applied = carry_out(&actions, &Root::new(&machine.sysroot), fetcher).await;
    let warnings = applied.map_err(|(entry, error)| Failure::new("files", entry, &error, error.remedy()))?;
    let storage = rendered.config.storage.clone().unwrap_or_default();
    crypttab::write(&machine.sysroot, storage.luks.as_deref().unwrap_or_default()).await?;
    for warning in &warnings {
        (machine.say)(&format!("warning: {warning}"));
    }
    Ok(warnings)
}

fn umount(machine: &Machine, prepared: &Prepared) -> Result<Went, Failure> {
    mounts::unmount_all(&kept::<PathBuf>(machine, MOUNTS)?)?;
    let warnings = kept::<String>(machine, WARNINGS)?;
    finish::record(machine, &prepared.about, &warnings)?;
    // All is on the disk: the boot partition's stamp is what the next boot asks for.
    boot_partition::stamp(machine, &prepared.about.identity)?;
    finish::stamp(machine, &prepared.about)?;
    if machine.var.exists() {
        mounts::unmount_all(&[machine.sysroot.join("var")])?;
    }
    forget(machine, prepared)?;
    Ok(Went::On)
}

/// The running system has no use for the configuration and the keys, and root there is not only us.
fn forget(machine: &Machine, prepared: &Prepared) -> Result<(), Failure> {
    let mut paths: Vec<PathBuf> = [HANDED, MOUNTS, WARNINGS].map(|name| machine.run.join(name)).into();
    let storage = prepared.rendered.config.storage.as_ref();
    if storage.is_some_and(|storage| storage.luks.as_ref().is_some_and(|list| !list.is_empty())) {
        paths.push(KEYS.into());
    }
    paths.iter().try_for_each(|path| {
        files::remove(path)
            .map_err(|error| Failure::new("finish", path.display(), &error, "restart the host"))
    })
}

fn keep<T: serde::Serialize>(machine: &Machine, name: &str, list: &[T]) -> Result<(), Failure> {
    let path = machine.run.join(name);
    let write = || -> io::Result<()> {
        make_run(&machine.run)?;
        files::write(&path, &serde_json::to_vec(list)?, 0o600, files::Ids::default())
    };
    write().map_err(|error| Failure::new("read", path.display(), &error, "restart the host"))
}

fn kept<T: serde::de::DeserializeOwned>(machine: &Machine, name: &str) -> Result<Vec<T>, Failure> {
    let path = machine.run.join(name);
    let read = || -> io::Result<Vec<T>> {
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    };
    read().map_err(|error| Failure::new("read", path.display(), &error, "restart the host"))
}

#[cfg(test)]
#[path = "stages_tests.rs"]
mod tests;
