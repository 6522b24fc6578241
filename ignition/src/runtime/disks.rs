//! The disks stage: partition tables, RAID arrays, LUKS volumes and filesystems, each only when it is not there yet.
//! A device that is in use is refused; what is there is lost only where the configuration says so.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::cmd::Cmd;
use ashlar_host::filesystem;

use super::fetch::Fetcher;
use super::partitions::{Disk, Found};
use super::report::{Failure, chain};
use crate::disks::commands;
use crate::disks::table::{Change, applied, changes};
use crate::resource::{Settings, Source};
use crate::spec::{Config, Disk as Wanted, Filesystem, Luks, Raid};

const STAGE: &str = "disks";
const DEVICE_APPEARS: Duration = Duration::from_secs(90);
/// Key files live here until the root file system is there; never on a disk.
pub(super) const KEYS: &str = "/run/ashlar-ignition/luks";

pub struct Disks<'a> {
    pub fetcher: &'a Fetcher,
    pub settings: &'a Settings,
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
            same(&table.entries, &after)
        } else {
            changes.iter().all(|change| matches!(change, Change::Keep(_)))
        };
        if settled || (partitions.is_empty() && !wipe) {
            return Ok(());
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
            not_in_use(device, &path, true, &[])?;
        }
        run("mdadm", commands::mdadm_create(raid), &raid.name).await?;
        wait_for(&place.display().to_string()).await.map(drop)
    }

    async fn luks(&self, luks: &Luks) -> Result<(), Failure> {
        let name = luks.device.clone().unwrap_or_default();
        let device = wait_for(&name).await?;
        let mapped = Path::new("/dev/mapper").join(&luks.name);
        if mapped.exists() {
            (self.say)(&format!("{}: the volume is open already", mapped.display()));
            return Ok(());
        }
        let (key, own_key) = self.key_file(luks).await?;
        let key = key.display().to_string();
        if luks.wipe_volume != Some(true) && is_luks(&device).await? {
            if own_key || commands::uses_clevis(luks) {
                let cause = "a LUKS volume is there, and only one with the key file of the configuration can be used again";
                return Err(refuse(&name, cause, "set wipeVolume, or give keyFile"));
            }
            return run("cryptsetup", commands::luks_open(luks, &key), &name).await.map(drop);
        }
        not_in_use(&name, &device, true, &[])?;
        if luks.wipe_volume != Some(true) {
            is_empty(&name, &device, "set wipeVolume, or name another device").await?;
        }
        run("wipefs", vec!["--all".to_owned(), name.clone()], &name).await?;
        run("cryptsetup", commands::luks_format(luks, &key), &name).await?;
        run("cryptsetup", commands::luks_open(luks, &key), &name).await?;
        let bind = commands::clevis_bind(luks, &key)
            .map_err(|error| fail(&name, &error, "correct the advertisement of the Tang server"))?;
        if let Some(arguments) = bind {
            run("clevis", arguments, &name).await?;
            if own_key {
                run("cryptsetup", vec!["luksRemoveKey".to_owned(), name.clone(), key.clone()], &name).await?;
                fs::remove_file(&key).map_err(|error| fail(&name, &error, "check /run"))?;
            }
        }
        wait_for(&mapped.display().to_string()).await.map(drop)
    }

    /// The key file, and whether it was made here.
    async fn key_file(&self, luks: &Luks) -> Result<(PathBuf, bool), Failure> {
        let io = |error: io::Error| fail(&luks.name, &error, "check /run");
        let folder = Path::new(KEYS);
        fs::create_dir_all(folder).map_err(io)?;
        let path = folder.join(&luks.name);
        let given =
            luks.key_file.as_ref().filter(|key| key.source.as_ref().is_some_and(|source| !source.is_empty()));
        if given.is_none() && path.exists() {
            return Ok((path, true));
        }
        let options = |file: &mut fs::OpenOptions| {
            file.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)
        };
        let mut file = options(&mut fs::OpenOptions::new()).map_err(io)?;
        match given.map(|key| Source::of(key, self.settings)) {
            None => {
                let mut key = vec![0; 4096];
                fs::File::open("/dev/urandom")
                    .and_then(|mut random| random.read_exact(&mut key))
                    .map_err(io)?;
                file.write_all(&key).map_err(io)?;
                Ok((path, true))
            }
            Some(Ok(Source::Bytes(bytes))) => file.write_all(&bytes).map_err(io).map(|()| (path, false)),
            Some(Ok(Source::Remote { request, wanted })) => {
                self.fetcher.fetch_into(&request, &wanted, &mut file).await.map(|()| (path, false))
            }
            Some(Err(error)) => Err(fail(&luks.name, &error, "correct keyFile")),
        }
    }

    async fn filesystem(&self, entry: &Filesystem) -> Result<(), Failure> {
        let Some(format) = entry.format.as_deref().filter(|format| !format.is_empty()) else { return Ok(()) };
        let name = &entry.device;
        let device = wait_for(name).await?;
        let wipe = entry.wipe_filesystem == Some(true);
        if format == "none" && !wipe {
            return Ok(());
        }
        let found = probe(name, &device).await?;
        if !wipe && is_as_wanted(entry, format, &found) {
            (self.say)(&format!("{name}: the {format} filesystem is used as it is"));
            return Ok(());
        }
        if !wipe && !found.is_empty() {
            let what = ["TYPE", "PTTYPE", "LABEL", "UUID"]
                .iter()
                .filter_map(|key| Some(format!("{key}={}", found.get(*key)?)));
            let cause = format!("something else is there ({})", what.collect::<Vec<_>>().join(", "));
            return Err(refuse(name, &cause, "set wipeFilesystem, or name another device"));
        }
        not_in_use(name, &device, true, &[])?;
        run("wipefs", vec!["--all".to_owned(), name.clone()], name).await?;
        let Some((program, arguments)) = commands::make_filesystem(entry) else { return Ok(()) };
        run(program, arguments, name).await?;
        (self.say)(&format!("{name}: {format} filesystem made"));
        settle().await;
        Ok(())
    }
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
    let is = |key: &str, wanted: Option<String>| {
        wanted.is_none_or(|wanted| found.get(key).is_some_and(|found| found.eq_ignore_ascii_case(&wanted)))
    };
    let label =
        given(&entry.label).is_none_or(|label| found.get("LABEL").is_some_and(|found| *found == label));
    found.get("TYPE").is_some_and(|kind| kind == format) && label && is("UUID", given(&entry.uuid))
}

async fn probe(name: &str, device: &Path) -> Result<BTreeMap<String, String>, Failure> {
    filesystem::probe(device, 0).await.map_err(|error| fail(name, &error, "check the device"))
}

async fn is_luks(device: &Path) -> Result<bool, Failure> {
    Ok(probe(&device.display().to_string(), device)
        .await?
        .get("TYPE")
        .is_some_and(|kind| kind == "crypto_LUKS"))
}

async fn is_empty(name: &str, device: &Path, remedy: &str) -> Result<(), Failure> {
    let found = probe(name, device).await?;
    match found.get("TYPE").or_else(|| found.get("PTTYPE")) {
        Some(kind) => Err(refuse(name, &format!("it holds {kind}, which would be lost"), remedy)),
        None => Ok(()),
    }
}

/// The device behind the links of udev, once it is there.
async fn wait_for(name: &str) -> Result<PathBuf, Failure> {
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

/// Mounted, swapped on, or held by another device: the disk itself, or a partition that is to change.
fn not_in_use(name: &str, device: &Path, whole: bool, changes: &[Change]) -> Result<(), Failure> {
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
async fn tell_kernel(device: &Path) -> Result<(), Failure> {
    let class = Path::new("/sys/class/block").join(device.file_name().unwrap_or_default());
    if class.exists() {
        let name = device.display().to_string();
        run("partx", vec!["--update".to_owned(), name.clone()], &name).await?;
        settle().await;
    }
    Ok(())
}

async fn settle() {
    if Path::new("/run/udev/control").exists() {
        let _ = Cmd::new("udevadm").args(["settle", "--timeout=30"]).run().await;
    }
}

pub(super) async fn run(program: &str, arguments: Vec<String>, entry: &str) -> Result<String, Failure> {
    let command = Cmd::new(program).args(&arguments).timeout(Duration::from_secs(600));
    let output = command.run().await.map_err(|error| {
        fail(entry, &error, "see what the program says; the device may be broken or too small")
    })?;
    Ok(output.stdout)
}

fn fail(entry: &str, error: &dyn std::error::Error, remedy: &str) -> Failure {
    refuse(entry, &chain(error), remedy)
}

fn refuse(entry: &str, cause: &str, remedy: &str) -> Failure {
    Failure { stage: STAGE, entry: entry.to_owned(), cause: cause.to_owned(), remedy: remedy.to_owned() }
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
