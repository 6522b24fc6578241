//! What firmware, boot loader and initramfs do before systemd starts: find the system on a medium or a disk and
//! put its root together.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ashlar_host::gpt::{self, Partition};
use ashlar_host::loop_device::Range;
use ashlar_host::mount::{self, Access};
use ashlar_model::boot_counter::{self, Entry, Environment, Menu, choose};

use super::kernel_arguments::{KernelArguments, newest_first};
use super::medium;
use super::stack::{self, Stack};
use super::view::{self, DiskNode};
use crate::rack::{self, Rack};
use crate::spec::ServerSpec;

const CONFIG_SLOT: &str = ashlar_model::slot::PARTITION_TYPE;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no bootable medium")]
    Medium(#[from] medium::Error),
    #[error("no bootable medium: its boot menu does not say where the root is (`{argument}=`)")]
    NoRoot { argument: &'static str },
    #[error("no bootable device: the disk has no {what}")]
    Disk { what: &'static str },
    #[error("no bootable device: the rack has nothing to boot from the network")]
    Network,
    #[error("the deployment {path} cannot be found on the root filesystem")]
    Deployment { path: String, source: io::Error },
    #[error(transparent)]
    Stack(#[from] stack::Error),
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error("looking at device {}", path.display())]
    Device { path: PathBuf, source: io::Error },
}

/// A system that is ready to be started.
#[derive(Debug)]
pub struct Prepared {
    /// Root for systemd-nspawn; the deployment is below it.
    pub root: PathBuf,
    /// Absolute path of the deployment in `root`.
    pub deployment: String,
    /// `(what, where in the machine)`, writable.
    pub binds: Vec<(PathBuf, String)>,
    /// Devices of this computer that the machine may use.
    pub devices: Vec<PathBuf>,
}

/// A machine's things on this computer.
pub struct Place<'a> {
    pub rack: &'a Rack,
    pub server: &'a ServerSpec,
}

impl Place<'_> {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.rack.machine_directory(&self.server.name).join(name)
    }
}

/// Boots the medium at `url` into a live system; `say` is the console.
///
/// # Errors
/// The medium cannot be read or is not bootable.
pub async fn live(
    place: &Place<'_>,
    url: &str,
    stack: &mut Stack,
    say: impl Fn(&str),
) -> Result<Prepared, Error> {
    say(&format!("booting from virtual media {url}"));
    let file = place.file("medium.iso");
    medium::fetch(url, &file).await?;
    let medium = medium::open(&file)?;
    let arguments = &medium.kernel_arguments;
    let range = Range { offset: medium.root_filesystem.offset, size: Some(medium.root_filesystem.length) };
    let mounted = stack.mount_range(&file, range, "squashfs", Access::ReadOnly, "medium").await?;
    let (offset, length) = arguments.range("ashlar.root").ok_or(Error::NoRoot { argument: "ashlar.root" })?;
    let range = Range { offset, size: Some(length) };
    let lower =
        stack.mount_range(&mounted.join("disk.img"), range, "ext4", Access::ReadOnly, "lower").await?;
    let memory = stack.tmpfs("memory")?;
    let [upper, work, var] = ["upper", "work", "var"].map(|name| memory.join(name));
    for folder in [&upper, &work, &var] {
        std::fs::create_dir(folder).map_err(|source| Error::Device { path: folder.clone(), source })?;
    }
    let root = stack.path("root");
    mount::overlay(&lower, &upper, &work, &root)?;
    let ostree = arguments.value("ostree").ok_or(Error::NoRoot { argument: "ostree" })?;
    let deployment = deployment(&root, ostree)?;
    let mut binds = vec![(var, "/var".to_owned()), (mounted, "/run/ashlar/medium".to_owned())];
    if let Some(text) = &medium.host_view {
        let path = place.file("host.json");
        rack::write(&path, text)?;
        binds.push((path, "/run/ashlar/host.json".into()));
    }
    say(&format!("starting {deployment} (live)"));
    finish(place, stack, Prepared { root, deployment, binds, devices: Vec::new() }, arguments).await
}

/// Boots the system that is installed on the machine's first disk.
///
/// # Errors
/// The disk carries no system.
pub async fn disk(place: &Place<'_>, stack: &mut Stack, say: impl Fn(&str)) -> Result<Prepared, Error> {
    say("booting from disk");
    let file = place.rack.disk(&place.server.name, 0);
    let table = gpt::read(&file).map_err(|_| Error::Disk { what: "partition table" })?;
    let range = |name, what| -> Result<Range, Error> {
        named(&table, name).map(range_of).ok_or(Error::Disk { what })
    };
    let boot_range = range("boot", "boot partition")?;
    let boot = stack.mount_range(&file, boot_range, "ext4", Access::ReadWrite, "boot").await?;
    let arguments = boot_entry(&boot)?.ok_or(Error::Disk { what: "boot loader entry" })?;
    let root_range = range("root", "root partition")?;
    let root = stack.mount_range(&file, root_range, "ext4", Access::ReadWrite, "root").await?;
    let var_range = range("var", "var partition")?;
    let var = stack.mount_range(&file, var_range, "ext4", Access::ReadWrite, "var").await?;
    let ostree = arguments.value("ostree").ok_or(Error::NoRoot { argument: "ostree" })?;
    let deployment = deployment(&root, ostree)?;
    let mut prepared = Prepared {
        root,
        deployment,
        binds: vec![(boot, "/boot".into()), (var, "/var".into())],
        devices: Vec::new(),
    };
    if let Some(slot) = table.iter().find(|partition| partition.type_guid == CONFIG_SLOT) {
        let device = stack.device(&file, range_of(slot)).await?;
        prepared.binds.push((device.clone(), "/dev/ashlar/config-slot".into()));
        prepared.devices.push(device);
    }
    say(&format!("starting {}", prepared.deployment));
    finish(place, stack, prepared, &arguments).await
}

/// What both ways of booting share: the machine's disks and the view of its hardware.
async fn finish(
    place: &Place<'_>,
    stack: &mut Stack,
    mut prepared: Prepared,
    arguments: &KernelArguments,
) -> Result<Prepared, Error> {
    let mut nodes = Vec::new();
    for number in 0..place.server.disks.len() {
        let file = place.rack.disk(&place.server.name, number);
        let device = stack.device(&file, Range::default()).await?;
        let kernel_name = view::disk_name(number);
        nodes.push(DiskNode { device_number: device_number(&device)?, kernel_name: kernel_name.clone() });
        prepared.binds.push((device.clone(), format!("/dev/{kernel_name}")));
        prepared.devices.push(device);
    }
    let folder = place.file("lab");
    view::write(&folder, place.server, &nodes, &arguments.text)?;
    prepared.binds.push((folder, "/run/lab".into()));
    Ok(prepared)
}

/// `7:3`, as the kernel writes it.
fn device_number(device: &Path) -> Result<String, Error> {
    let about = std::fs::metadata(device);
    let number = about.map_err(|source| Error::Device { path: device.to_owned(), source })?.rdev();
    Ok(format!("{}:{}", libc::major(number), libc::minor(number)))
}

/// The `ostree=` argument names a link; what it points to is the deployment.
fn deployment(root: &Path, ostree: &str) -> Result<String, Error> {
    let missing = |source| Error::Deployment { path: ostree.to_owned(), source };
    let found = root.join(ostree.trim_start_matches('/')).canonicalize().map_err(missing)?;
    let root = root.canonicalize().map_err(missing)?;
    let inside = found.strip_prefix(&root).map_err(|_| missing(io::ErrorKind::NotFound.into()))?;
    Ok(format!("/{}", inside.display()))
}

/// What the boot loader does: counts the boots of a new system, and takes the one before when it is not found good.
fn boot_entry(boot: &Path) -> Result<Option<KernelArguments>, Error> {
    let Ok(entries) = std::fs::read_dir(boot.join("loader/entries")) else { return Ok(None) };
    let entries = newest_first(entries.filter_map(|entry| Some(entry.ok()?.path())).collect());
    let menu = std::fs::read_to_string(boot.join(boot_counter::MENU_FILE)).unwrap_or_default();
    let number = Menu::parse(&menu).map_or(Ok(0), |menu| count_boot(boot, &menu))?;
    let text = entries.get(number).and_then(|entry| std::fs::read_to_string(entry).ok());
    Ok(text.and_then(|text| KernelArguments::from_entry(&text)))
}

/// The entry's place in the menu.
fn count_boot(boot: &Path, menu: &Menu) -> Result<usize, Error> {
    let path = boot.join(boot_counter::ENVIRONMENT_FILE);
    let failed = |source| Error::Device { path: path.clone(), source };
    let before = Environment::parse(&std::fs::read(&path).map_err(failed)?);
    let (entry, after) = choose(menu, &before);
    if after != before
        && let Some(block) = after.block()
    {
        // A boot loader writes to the disk itself: a power cut must not lose it.
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).map_err(failed)?;
        file.write_all(&block).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(usize::from(entry == Entry::Previous))
}

fn named<'a>(table: &'a [Partition], name: &str) -> Option<&'a Partition> {
    table.iter().find(|partition| partition.name == name)
}

fn range_of(partition: &Partition) -> Range {
    Range { offset: partition.start, size: Some(partition.size) }
}
