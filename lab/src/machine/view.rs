//! What a machine sees of its hardware, through the ordinary places: its disk in `/sys/block`, its name plate in
//! `/sys/class/dmi/id`, its kernel's settings in `/proc/sys`. This computer's own disks are not among them.

use std::path::{Path, PathBuf};

use crate::rack;
use crate::spec::ServerSpec;

/// `/proc/sys` files that the kubelet checks, or that a system sets at boot: private copies.
const KERNEL_SETTINGS: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
    ("fs/inotify/max_user_instances", "8192"),
    ("fs/inotify/max_user_watches", "1048576"),
];

/// Settings of the container runtime and the kubelet that a kernel with control groups v1 and a container need.
const KUBELET: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\n\
    kind: KubeletConfiguration\n\
    failCgroupV1: false\n\
    cgroupDriver: cgroupfs\n\
    failSwapOn: false\n\
    protectKernelDefaults: false\n\
    evictionHard:\n  memory.available: 100Mi\n  nodefs.available: 1%\n  imagefs.available: 1%\n  nodefs.inodesFree: 1%\n\
    imageGCHighThresholdPercent: 100\n\
    imageGCLowThresholdPercent: 99\n";
const CONTAINERD: &str = "version = 3\n\
    [plugins.'io.containerd.cri.v1.runtime']\n  restrict_oom_score_adj = true\n\
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n  runtime_type = 'io.containerd.runc.v2'\n\
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n  \
    BinaryName = '/usr/sbin/runc'\n  SystemdCgroup = false\n";

/// Where the drop-ins of this driver appear in a machine; the product reads these folders on every machine.
pub const DROP_INS: &[(&str, &str)] = &[
    ("kubelet.conf", "/etc/kubernetes/kubelet.d/90-lab.conf"),
    ("containerd.toml", "/etc/containerd/conf.d/lab.toml"),
];

/// A disk of a machine as it runs: its kernel name there, and the device number behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskNode {
    pub kernel_name: String,
    pub device_number: String,
}

/// Kernel name of a machine's nth disk.
#[must_use]
pub fn disk_name(number: usize) -> String {
    format!("vd{}", char::from(b'a' + u8::try_from(number).unwrap_or(25).min(25)))
}

/// Writes the folder that a machine finds at `/run/lab`.
///
/// # Errors
/// The files cannot be written.
pub fn write(
    folder: &Path,
    server: &ServerSpec,
    disks: &[DiskNode],
    cmdline: &str,
) -> Result<(), rack::Error> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .map_err(|source| rack::Error::Write { path: folder.to_owned(), source })?;
    }
    for (path, contents) in files(server, disks, cmdline) {
        rack::write(&folder.join(path), contents)?;
    }
    for empty in ["sys/block", "drop-ins"] {
        let path = folder.join(empty);
        std::fs::create_dir_all(&path).map_err(|source| rack::Error::Write { path, source })?;
    }
    Ok(())
}

fn files(server: &ServerSpec, disks: &[DiskNode], cmdline: &str) -> Vec<(PathBuf, String)> {
    let mut files = vec![
        ("cmdline".into(), format!("{cmdline}\n")),
        ("init".into(), include_str!("init.sh").to_owned()),
        ("drop-ins/kubelet.conf".into(), KUBELET.to_owned()),
        ("drop-ins/containerd.toml".into(), CONTAINERD.to_owned()),
    ];
    let settings = KERNEL_SETTINGS.iter();
    files.extend(settings.map(|(name, value)| (Path::new("settings").join(name), format!("{value}\n"))));
    for (name, value) in [
        ("sys_vendor", "Ashlar"),
        ("product_name", "Ashlar Lab Server"),
        ("product_serial", &server.serial),
        ("product_uuid", &server.uuid),
        ("board_vendor", "Ashlar"),
        ("chassis_type", "23"),
    ] {
        files.push((Path::new("sys/dmi/id").join(name), format!("{value}\n")));
    }
    for (node, disk) in disks.iter().zip(&server.disks) {
        let folder = Path::new("sys/block").join(&node.kernel_name);
        let sectors = (disk.bytes() / 512).to_string();
        for (name, value) in [
            ("dev", node.device_number.as_str()),
            ("size", &sectors),
            ("ro", "0"),
            ("removable", "0"),
            ("hidden", "0"),
            ("serial", &disk.serial),
            ("device/model", &disk.model),
            ("device/serial", &disk.serial),
            ("queue/rotational", if disk.rotational { "1" } else { "0" }),
            ("queue/logical_block_size", "512"),
            ("queue/physical_block_size", "4096"),
            ("queue/scheduler", "[none]"),
        ] {
            files.push((folder.join(name), format!("{value}\n")));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::RackSpec;

    #[test]
    fn a_machine_sees_its_own_disk_and_name_plate() {
        let rack = RackSpec::standard("demo", 1, 0);
        let node = DiskNode { kernel_name: disk_name(0), device_number: "7:3".into() };
        let files = files(&rack.servers[0], &[node], "quiet");
        let text = |path: &str| files.iter().find(|(at, _)| at == Path::new(path)).expect(path).1.as_str();
        assert_eq!(text("sys/block/vda/size"), "41943040\n");
        assert_eq!(text("sys/block/vda/dev"), "7:3\n");
        assert_eq!(text("sys/dmi/id/product_serial"), "LAB00020\n");
    }
}
