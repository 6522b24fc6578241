//! Writes the operating system to a disk. The order is what makes an interruption harmless: the first MiB is zeroed
//! first and written last, when everything else, config slot included, is durable. Boot code (sector 0) is the very
//! last write, and a disk keeps or loses one sector as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ashlar_host::clock;
use ashlar_host::cmd::Cmd;
use ashlar_host::inventory::Machine;
use ashlar_model::agent_api::{InstallTask, TaskResult, WipeTask};
use ashlar_model::release::DiskImage;
use ashlar_model::slot::{self, Slot, SlotSecret};

use super::check::{self, Expected};
use super::device::Device;
use super::table::{self, Range, Table};
use super::{DiskError, MIB, Report, boot_order, chunks, efi, say, wipe};
use crate::failure::Failure;

/// The medium's files, and who the host is.
pub struct Source {
    pub image: PathBuf,
    pub manifest: PathBuf,
    pub host: String,
    pub secret: SlotSecret,
}

pub async fn run(
    machine: &Machine,
    source: Source,
    task: &InstallTask,
    report: &Report,
) -> Result<TaskResult, Failure> {
    let started = Instant::now();
    let serial = task.disk_serial.as_deref();
    let expected = Expected { disk: &task.disk, serial, size_bytes: task.disk_size_bytes };
    let disk = check::target(machine, &expected, task.wipe_consent).await?;
    let manifest = read_manifest(&source.manifest)?;
    erase_old_systems(machine, task, report).await?;
    let slot = Slot {
        host: source.host,
        ignition: task.ignition.clone(),
        server_ca_pem: task.server_ca_pem.clone(),
        secret: Some(source.secret),
        issued_at: clock::now(),
    };
    let bytes = manifest.size;
    let job = Job {
        disk: disk.name.clone().into(),
        sector: u64::from(disk.sector_size),
        image: source.image,
        manifest,
        slot: Some(slot),
        verify: task.verify,
    };
    let table = install(Arc::new(job), report).await?;
    if let Some(efi) = table.efi {
        boot_order::put_first(machine, Path::new(&disk.name), efi.number, report).await?;
    }
    Ok(TaskResult::Installed { disk: disk.name, bytes, seconds: started.elapsed().as_secs_f64() })
}

/// A file as a disk that nobody's configuration is on: `image` is the release's, with its manifest `disk.json` beside
/// it, `size` in bytes.
pub async fn to_file(image: PathBuf, file: &Path, size: u64, report: &Report) -> Result<(), Failure> {
    let manifest = read_manifest(&image.with_file_name("disk.json"))?;
    let made = File::create_new(file).and_then(|made| made.set_len(size));
    made.map_err(|error| {
        Failure::new("check", format!("making {}: {error}", file.display()))
            .hint("name a file that does not exist, in a folder with room for it")
    })?;
    let (disk, sector) = (file.to_owned(), efi::IMAGE_SECTOR);
    let job = Job { disk, sector, image, manifest, slot: None, verify: false };
    install(Arc::new(job), report).await.map(drop)
}

async fn erase_old_systems(machine: &Machine, task: &InstallTask, report: &Report) -> Result<(), Failure> {
    if task.old_systems.is_empty() {
        return Ok(());
    }
    let erased = wipe::run(machine, &WipeTask { disks: task.old_systems.clone() }, report).await?;
    match erased {
        TaskResult::Wiped { left } if !left.is_empty() => {
            let (disk, found) = &left[0];
            let cause = format!("{disk} was erased and still has {}", found.join(", "));
            Err(Failure::new("wipe", cause).hint("the disk does not keep what it is given: replace it"))
        }
        _ => Ok(()),
    }
}

fn read_manifest(path: &Path) -> Result<DiskImage, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new("check", format!("reading {}: {error}", path.display())).hint(
            "the virtual medium is gone or unreadable: reset the machine and let it boot the medium again",
        )
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new("check", format!("reading {}: {error}", path.display())))
}

/// The write path, on a disk or a file. What blocks runs on threads of its own: progress is told meanwhile.
async fn install(job: Arc<Job>, report: &Report) -> Result<Table, Failure> {
    let table = blocking(&job, report, write_image).await?;
    make_var(&job.disk, table.var, report).await?;
    blocking(&job, report, move |job, report| finish(job, &table, report).map(|()| table)).await
}

struct Job {
    disk: PathBuf,
    /// Logical, in bytes.
    sector: u64,
    image: PathBuf,
    manifest: DiskImage,
    /// None: a system that is nobody's.
    slot: Option<Slot>,
    verify: bool,
}

async fn blocking<T: Send + 'static>(
    job: &Arc<Job>,
    report: &Report,
    act: impl FnOnce(&Job, &Report) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (job, report) = (Arc::clone(job), Arc::clone(report));
    tokio::task::spawn_blocking(move || act(&job, &report)).await.map_err(Failure::during("write"))?
}

fn write_image(job: &Job, report: &Report) -> Result<Table, Failure> {
    let Job { disk: path, manifest, .. } = job;
    let device = Device::open(path).map_err(DiskError::during("wipe"))?;
    let need = manifest.size + table::VAR_MINIMUM + 2 * MIB;
    if device.size() < need {
        let have = device.size();
        return Err(DiskError::during("check")(DiskError::TooSmall { path: path.to_owned(), have, need }));
    }
    say(report, "wipe", None, "wiping old signatures").map_err(DiskError::during("wipe"))?;
    wipe::erase(&device).map_err(DiskError::during("wipe"))?;
    let first = chunks::write(&job.image, manifest, &device, report).map_err(DiskError::during("write"))?;
    let table = table::build(&first, device.size(), job.sector, path).map_err(DiskError::during("table"))?;
    say(report, "write", None, "flushing").map_err(DiskError::during("write"))?;
    device.sync().map_err(DiskError::during("write"))?;
    if job.verify {
        chunks::verify(&first, manifest, &device, report).map_err(DiskError::during("verify"))?;
    }
    Ok(table)
}

/// mke2fs claims the disk for itself, so ours is closed by now. It flushes before it exits.
async fn make_var(path: &Path, var: Range, report: &Report) -> Result<(), Failure> {
    say(report, "var", None, "making the filesystem for /var").map_err(DiskError::during("var"))?;
    let extended = format!("offset={},lazy_itable_init=1,lazy_journal_init=1,nodiscard", var.start);
    let mke2fs = Cmd::new("mke2fs").args(["-t", "ext4", "-q", "-L", "var", "-E", &extended, "-F"]);
    let mke2fs = mke2fs.arg(path).arg(format!("{}k", var.size / 1024)).timeout(Duration::from_secs(600));
    mke2fs.run().await.map(drop).map_err(Failure::during("var"))
}

fn finish(job: &Job, table: &Table, report: &Report) -> Result<(), Failure> {
    let failed = DiskError::during("finish");
    say(report, "finish", None, "writing configuration and boot record").map_err(&failed)?;
    write_ends(job, table, report).map_err(failed)
}

fn write_ends(job: &Job, table: &Table, report: &Report) -> Result<(), DiskError> {
    let device = Device::open(&job.disk)?;
    if let Some(efi) = table.efi
        && job.sector != efi::IMAGE_SECTOR
    {
        efi::remake(&device, efi.range, job.sector)?;
    }
    if let Some(slot) = &job.slot {
        device.write(table.slot.start, &slot::encode(slot)?)?;
    }
    device.write(table.tail_start, &table.tail)?;
    device.sync()?;
    say(report, "finish", None, "making the disk bootable")?;
    device.write(job.sector, &table.head[job.sector as usize..])?;
    device.sync()?;
    device.write(0, &table.head[..job.sector as usize])?;
    device.sync()?;
    device.forget_cache();
    let mut head = vec![0; MIB as usize];
    device.read(0, &mut head)?;
    if head == table.head { Ok(()) } else { Err(DiskError::Verify { chunk: 0, path: job.disk.clone() }) }
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
