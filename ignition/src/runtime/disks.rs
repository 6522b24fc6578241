//! The disks stage: partition tables, RAID arrays, LUKS volumes and filesystems, each only when it is not there yet.
//! A device that is in use is refused; what is there is lost only where the configuration says so.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};
use ashlar_host::filesystem;

use super::devices::{not_in_use, not_the_systems, settle, tell_kernel, wait_for};
use super::fetch::Fetcher;
use super::marks::Marks;
use super::partitions::{Disk, Found};
use super::report::{Failure, chain};
use crate::disks::commands;
use crate::disks::refusals::of_table;
use crate::disks::table::{Change, applied, changes};
use crate::resource::Settings;
use crate::spec::{Config, Disk as Wanted, Filesystem, Raid};

const STAGE: &str = "disks";

pub struct Disks<'a> {
    pub fetcher: &'a Fetcher,
    pub settings: &'a Settings,
    /// What is being made, for the run after a power cut.
    pub marks: &'a Marks,
    pub say: fn(&str),
}

impl Disks<'_> {
    /// # Errors
    /// The device, why, and what to do. What was done before it stays, and a repeated run goes on from there.
    pub async fn run(&self, config: &Config) -> Result<(), Failure> {
        let Some(storage) = &config.storage else { return Ok(()) };
        for disk in storage.disks.iter().flatten() {
            self.partition(disk).await?;
        }
        for raid in storage.raid.iter().flatten() {
            self.raid(raid).await?;
        }
        for luks in storage.luks.iter().flatten() {
            self.luks(luks).await?;
        }
        for entry in storage.filesystems.iter().flatten() {
            self.filesystem(entry).await?;
        }
        Ok(())
    }

    async fn partition(&self, wanted: &Wanted) -> Result<(), Failure> {
        let device = wait_for(&wanted.device).await?;
        let wipe = wanted.wipe_table == Some(true);
        let io = |error: io::Error| fail(&wanted.device, &error, "check the device");
        let mut disk = Disk::open(&device).map_err(io)?;
        let partitions = wanted.partitions.as_deref().unwrap_or_default();
        if matches!(disk.found, Found::Mbr) && !wipe && !partitions.is_empty() {
            let cause = "it has an MBR partition table, which would be lost";
            return Err(refuse(&wanted.device, cause, "set wipeTable, or name another disk"));
        }
        let table = disk.table();
        let changes = changes(wanted, &table).map_err(|error| {
            fail(&wanted.device, &error, "correct the partition, or allow that it is wiped")
        })?;
        let after = applied(&table, &changes, wipe);
        let settled = if wipe {
            !matches!(disk.found, Found::Mbr) && same(&table.entries, &after)
        } else {
            changes.iter().all(|change| matches!(change, Change::Keep(_)))
        };
        if settled || (partitions.is_empty() && !wipe) {
            return Ok(());
        }
        if let Some(why) = of_table(&table.entries, &changes, wipe) {
            return Err(refuse(&wanted.device, &why, "leave it as it is, or name another disk"));
        }
        not_in_use(&wanted.device, &device, wipe, &changes)?;
        disk.write(&after, wipe).map_err(io)?;
        drop(disk);
        (self.say)(&format!("{}: partition table written, {} partitions", wanted.device, after.len()));
        tell_kernel(&device).await
    }

    async fn raid(&self, raid: &Raid) -> Result<(), Failure> {
        let place = Path::new("/dev/md").join(&raid.name);
        if place.exists() {
            (self.say)(&format!("{}: the array is there already", place.display()));
            return Ok(());
        }
        for device in raid.devices.iter().flatten() {
            let path = wait_for(device).await?;
            not_the_systems(device, &path)?;
            not_in_use(device, &path, true, &[])?;
        }
        run("mdadm", commands::mdadm_create(raid), &raid.name).await?;
        wait_for(&place.display().to_string()).await.map(drop)
    }

    async fn filesystem(&self, entry: &Filesystem) -> Result<(), Failure> {
        let Some(format) = entry.format.as_deref().filter(|format| !format.is_empty()) else { return Ok(()) };
        let name = &entry.device;
        let device = wait_for(name).await?;
        // One that a power cut left half made is made again: nothing of the user's is in it.
        let wipe = entry.wipe_filesystem == Some(true) || self.marks.has(name);
        let found = probe(name, &device).await?;
        if !wipe && is_as_wanted(entry, format, &found) {
            (self.say)(&format!("{name}: the {format} filesystem is used as it is"));
            return Ok(());
        }
        if !wipe && is_occupied(&found) {
            let what = ["TYPE", "PTTYPE", "LABEL", "UUID"]
                .iter()
                .filter_map(|key| Some(format!("{key}={}", found.get(*key)?)));
            let cause = format!("something else is there ({})", what.collect::<Vec<_>>().join(", "));
            return Err(refuse(name, &cause, "set wipeFilesystem, or name another device"));
        }
        if format == "none" && !wipe {
            return Ok(());
        }
        not_the_systems(name, &device)?;
        not_in_use(name, &device, true, &[])?;
        self.marks.set(name)?;
        run("wipefs", vec!["--all".to_owned(), name.clone()], name).await?;
        if let Some((program, arguments)) = commands::make_filesystem(entry) {
            run(program, arguments, name).await?;
            (self.say)(&format!("{name}: {format} filesystem made"));
        }
        settle().await;
        self.marks.clear(name)
    }
}

/// On a partition, `blkid` also says what the partition table says of it.
fn is_occupied(found: &BTreeMap<String, String>) -> bool {
    found.contains_key("TYPE") || found.contains_key("PTTYPE")
}

fn same(left: &[crate::disks::table::Entry], right: &[crate::disks::table::Entry]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            let guid = right.guid.is_empty() || left.guid == right.guid;
            guid && (left.number, left.start, left.size, &left.label, &left.type_guid)
                == (right.number, right.start, right.size, &right.label, &right.type_guid)
        })
}

fn is_as_wanted(entry: &Filesystem, format: &str, found: &BTreeMap<String, String>) -> bool {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let uuid = given(&entry.uuid).is_none_or(|wanted| {
        let found = found.get("UUID").map(|found| plain_uuid(format, found));
        found == Some(plain_uuid(format, &wanted))
    });
    let label =
        given(&entry.label).is_none_or(|label| found.get("LABEL").is_some_and(|found| *found == label));
    found.get("TYPE").is_some_and(|kind| kind == format) && label && uuid
}

/// FAT has a number of four bytes, which may be written with a dash.
fn plain_uuid(format: &str, uuid: &str) -> String {
    let uuid = uuid.to_ascii_lowercase();
    if format == "vfat" { uuid.replacen('-', "", 1) } else { uuid }
}

pub(super) async fn probe(name: &str, device: &Path) -> Result<BTreeMap<String, String>, Failure> {
    filesystem::probe(device, 0).await.map_err(|error| fail(name, &error, "check the device"))
}

pub(super) async fn is_empty(name: &str, device: &Path, remedy: &str) -> Result<(), Failure> {
    let found = probe(name, device).await?;
    match found.get("TYPE").or_else(|| found.get("PTTYPE")) {
        Some(kind) => Err(refuse(name, &format!("it holds {kind}, which would be lost"), remedy)),
        None => Ok(()),
    }
}

pub(super) async fn run(program: &str, arguments: Vec<String>, entry: &str) -> Result<String, Failure> {
    let command = Cmd::new(program).args(&arguments).timeout(Duration::from_secs(600));
    match command.run().await {
        Ok(output) => Ok(output.stdout),
        Err(error @ cmd::Error::NotFound { .. }) => {
            Err(fail(entry, &error, "use an image that has it, or leave the entry out"))
        }
        // Arguments may hold what a configuration keeps to itself (pins of clevis): the program's words are enough.
        Err(cmd::Error::Failed { status, stderr, .. }) => {
            let cause = format!("`{program}` failed with {status}: {stderr}");
            Err(refuse(entry, &cause, "see what the program says; the device may be broken or too small"))
        }
        Err(error) => {
            let cause = format!("`{program}` did not end well: {error}");
            Err(refuse(entry, &cause, "see what the program says; the device may be broken or too small"))
        }
    }
}

pub(super) fn fail(entry: &str, error: &dyn std::error::Error, remedy: &str) -> Failure {
    refuse(entry, &chain(error), remedy)
}

pub(super) fn refuse(entry: &str, cause: &str, remedy: &str) -> Failure {
    Failure::because(STAGE, entry, cause, remedy)
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
