//! Disks from `/sys/block`, each once, by however many paths it is reached. What is on them is read by `contents`.

use std::path::{Path, PathBuf};

use ashlar_model::inventory::Disk;

use super::Machine;

/// Block devices that are no disks to install to.
const SKIPPED: &[&str] =
    &["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "zd", "mtdblock", "drbd", "rbd"];

/// All disks, ordered by name, without their contents.
pub fn list(machine: &Machine) -> Vec<Disk> {
    let Ok(entries) = std::fs::read_dir(machine.path("sys/block")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    once(names.iter().filter_map(|name| describe(machine, name)))
}

/// A logical unit that is reached by several paths is one disk: the World Wide Name says so. Without multipathing in
/// the live system each path is written like a disk of its own.
fn once(found: impl Iterator<Item = Disk>) -> Vec<Disk> {
    let mut disks: Vec<Disk> = Vec::new();
    for disk in found {
        let same = |known: &&mut Disk| known.wwn.is_some() && known.wwn == disk.wwn;
        match disks.iter_mut().find(same) {
            Some(known) => known.paths.push(disk.name),
            None => disks.push(disk),
        }
    }
    disks
}

/// One disk by its kernel name (`vda`), when it is a disk and has a size.
pub fn describe(machine: &Machine, kernel_name: &str) -> Option<Disk> {
    if SKIPPED.iter().any(|prefix| kernel_name.starts_with(prefix)) {
        return None;
    }
    let at = format!("sys/block/{kernel_name}");
    let text = |file: &str| machine.text(format!("{at}/{file}"));
    let flag = |file: &str| text(file).is_some_and(|value| value != "0");
    let size_bytes = text("size")?.parse::<u64>().ok()? * 512;
    if size_bytes == 0 || flag("hidden") {
        return None;
    }
    let name = format!("/dev/{}", kernel_name.replace('!', "/"));
    Some(Disk {
        links: links(machine, &name),
        size_bytes,
        sector_size: text("queue/logical_block_size").and_then(|value| value.parse().ok()).unwrap_or(512),
        serial: serial(machine, &at),
        wwn: wwn(machine, &at),
        model: machine.first_text(&[format!("{at}/device/model"), format!("{at}/model")]),
        vendor: machine
            .first_text(&[format!("{at}/device/vendor"), format!("{at}/vendor")])
            .filter(|vendor| real_vendor(vendor)),
        hctl: hctl(machine, &at),
        rotational: flag("queue/rotational") || flag("rotational"),
        removable: flag("removable"),
        read_only: flag("ro"),
        contents: Vec::new(),
        paths: Vec::new(),
        has_system: false,
        name,
    })
}

/// The kernel name of a device path: `/dev/vda` is `vda`, `/dev/cciss/c0d0` is `cciss!c0d0`.
pub fn kernel_name(device: &str) -> String {
    device.strip_prefix("/dev/").unwrap_or(device).replace('/', "!")
}

/// Virtio's "vendor" is a PCI number, which says nothing.
fn real_vendor(vendor: &str) -> bool {
    !vendor.starts_with("0x")
}

fn serial(machine: &Machine, at: &str) -> Option<String> {
    let plain = [format!("{at}/device/serial"), format!("{at}/serial")];
    machine
        .first_text(&plain)
        .or_else(|| page_80(machine, at))
        .or_else(|| from_udev(machine, at, "ID_SERIAL_SHORT"))
}

/// SCSI vital product data, page 0x80: four bytes of header, then the unit's serial number.
fn page_80(machine: &Machine, at: &str) -> Option<String> {
    let bytes = std::fs::read(machine.path(format!("{at}/device/vpd_pg80"))).ok()?;
    let text = String::from_utf8_lossy(bytes.get(4..)?).trim_matches(['\0', ' ', '\n']).to_owned();
    (!text.is_empty()).then_some(text)
}

fn from_udev(machine: &Machine, at: &str, key: &str) -> Option<String> {
    let number = machine.text(format!("{at}/dev"))?;
    let database = machine.text(format!("run/udev/data/b{number}"))?;
    let prefix = format!("E:{key}=");
    database.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
}

/// In the form that root device hints use: `0x5000c500…`; NVMe's `eui.…` stays as it is.
fn wwn(machine: &Machine, at: &str) -> Option<String> {
    let raw = machine.first_text(&[format!("{at}/device/wwid"), format!("{at}/wwid")])?;
    if let Some(number) = raw.strip_prefix("naa.") {
        return Some(format!("0x{}", number.to_lowercase()));
    }
    (raw.starts_with("eui.") || raw.starts_with("nvme.") || raw.starts_with("uuid.")).then_some(raw)
}

fn hctl(machine: &Machine, at: &str) -> Option<String> {
    let device = std::fs::read_link(machine.path(format!("{at}/device"))).ok()?;
    let name = device.file_name()?.to_str()?;
    let parts: Vec<&str> = name.split(':').collect();
    (parts.len() == 4 && parts.iter().all(|part| part.parse::<u64>().is_ok())).then(|| name.to_owned())
}

fn links(machine: &Machine, device: &str) -> Vec<String> {
    let mut links = Vec::new();
    for folder in ["dev/disk/by-id", "dev/disk/by-path"] {
        let Ok(entries) = std::fs::read_dir(machine.path(folder)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if resolves_to(&entry.path(), device) {
                links.push(format!("/{folder}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    links.sort();
    links
}

/// The link's text is resolved by hand, so that it works below another root.
fn resolves_to(link: &Path, device: &str) -> bool {
    let Ok(target) = std::fs::read_link(link) else { return false };
    let target = if target.is_absolute() { target } else { PathBuf::from("/dev/disk/by-x").join(target) };
    let mut plain = PathBuf::new();
    for part in target.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain == Path::new(device)
}

/// Who uses a disk, in words; empty when nobody is seen to. Mounts are compared by device number: in a container the
/// same name may be another device outside. What this misses (swap, btrfs) an exclusive open finds.
pub fn users(machine: &Machine, device: &str) -> Vec<String> {
    let name = kernel_name(device);
    let at = machine.path(format!("sys/block/{name}"));
    let mut users = holders(&at);
    let mut numbers: Vec<String> = own_number(machine, device, &name).into_iter().collect();
    for entry in std::fs::read_dir(&at).into_iter().flatten().filter_map(Result::ok) {
        let partition = entry.file_name().to_string_lossy().into_owned();
        if partition.starts_with(&name) {
            users.extend(holders(&entry.path()));
            numbers.extend(machine.text(format!("sys/block/{name}/{partition}/dev")));
        }
    }
    let mounts = machine.text("proc/self/mountinfo").unwrap_or_default();
    users.extend(mounts.lines().filter_map(|line| mounted_from(line, &numbers)));
    users
}

/// `major:minor`, from the node where there is one: `/sys` may be another machine's view.
fn own_number(machine: &Machine, device: &str, name: &str) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let node = std::fs::metadata(machine.path(device.trim_start_matches('/'))).ok().map(|meta| meta.rdev());
    let from_node = node.filter(|number| *number != 0);
    let from_node =
        from_node.map(|number| format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)));
    from_node.or_else(|| machine.text(format!("sys/block/{name}/dev")))
}

fn holders(at: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(at.join("holders")).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| format!("held by {}", entry.file_name().to_string_lossy())).collect()
}

/// `<id> <parent> <major:minor> <root> <mount point> …` (proc(5)).
fn mounted_from(line: &str, numbers: &[String]) -> Option<String> {
    let mut fields = line.split(' ').skip(2);
    let number = fields.next()?;
    let point = fields.nth(1)?;
    numbers.iter().any(|own| own == number).then(|| format!("mounted on {point}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        }
        let machine = Machine::at(dir.path());
        (dir, machine)
    }

    #[test]
    fn a_disk_needs_only_its_size_and_loops_are_no_disks() {
        let (_dir, machine) = machine(&[
            ("sys/block/vda/size", "2048\n"),
            ("sys/block/vda/serial", "LAB-1\n"),
            ("sys/block/vda/queue/rotational", "0\n"),
            ("sys/block/loop0/size", "2048\n"),
            ("sys/block/sdb/size", "0\n"),
        ]);
        let disks = list(&machine);
        assert_eq!(disks.len(), 1);
        assert_eq!((disks[0].name.as_str(), disks[0].size_bytes), ("/dev/vda", 1 << 20));
        assert_eq!(disks[0].serial.as_deref(), Some("LAB-1"));
        assert!(!disks[0].rotational);
    }

    #[test]
    fn a_scsi_disk_has_its_serial_number_wwn_and_links() {
        let (dir, machine) = machine(&[
            ("sys/block/sda/size", "2048\n"),
            ("sys/devices/0:0:1:0/vpd_pg80", "\0\u{1}\0\u{8}  ZC1234 "),
            ("sys/devices/0:0:1:0/wwid", "naa.5000C500A1B2C3D4\n"),
            ("dev/disk/by-id/keep", ""),
        ]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, dir.path().join(name)).expect("a link");
        };
        link("../../devices/0:0:1:0", "sys/block/sda/device");
        link("../../sda", "dev/disk/by-id/wwn-1");
        link("../../sda1", "dev/disk/by-id/wwn-1-part1");
        let disk = describe(&machine, "sda").expect("a disk");
        assert_eq!(disk.serial.as_deref(), Some("ZC1234"));
        assert_eq!(disk.wwn.as_deref(), Some("0x5000c500a1b2c3d4"));
        assert_eq!(disk.hctl.as_deref(), Some("0:0:1:0"));
        assert_eq!(disk.links, ["/dev/disk/by-id/wwn-1"]);
    }

    #[test]
    fn two_paths_to_one_unit_are_one_disk_and_namespaces_of_one_drive_are_two() {
        let (_dir, machine) = machine(&[
            ("sys/block/sda/size", "2048\n"),
            ("sys/block/sda/device/wwid", "naa.5000c500a1b2c3d4\n"),
            ("sys/block/sdb/size", "2048\n"),
            ("sys/block/sdb/device/wwid", "naa.5000c500a1b2c3d4\n"),
            ("sys/block/nvme0n1/size", "2048\n"),
            ("sys/block/nvme0n1/device/serial", "S1\n"),
            ("sys/block/nvme0n1/wwid", "eui.01\n"),
            ("sys/block/nvme0n2/size", "2048\n"),
            ("sys/block/nvme0n2/device/serial", "S1\n"),
            ("sys/block/nvme0n2/wwid", "eui.02\n"),
            ("sys/block/nvme0c0n1/size", "2048\n"),
            ("sys/block/nvme0c0n1/hidden", "1\n"),
        ]);
        let disks = list(&machine);
        let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
        assert_eq!(names, ["/dev/nvme0n1", "/dev/nvme0n2", "/dev/sda"]);
        assert_eq!(disks[2].paths, ["/dev/sdb"]);
    }

    #[test]
    fn a_disk_is_used_by_its_mounts_and_holders_and_not_by_its_neighbours_or_namesakes() {
        let (_dir, machine) = machine(&[
            ("sys/block/sda/dev", "8:0\n"),
            ("sys/block/sda/sda1/dev", "8:1\n"),
            ("sys/block/sda/sda2/holders/dm-0", ""),
            ("sys/block/sdaa/holders/dm-1", ""),
            (
                "proc/self/mountinfo",
                "30 1 8:1 / /mnt rw - ext4 /dev/sda1 rw\n31 1 65:0 / /x rw - ext4 /dev/sda rw\n",
            ),
        ]);
        assert_eq!(users(&machine, "/dev/sda"), ["held by dm-0", "mounted on /mnt"]);
    }
}
