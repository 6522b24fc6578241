//! What goes over the package tree in every build: the upstream programs, our own, the container images, the
//! initramfs and the version.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::images::BuiltImage;
use crate::initramfs;

/// Our programs in `/usr/bin` of every host.
pub const OUR_PROGRAMS: &[&str] = &["ashlar-agent", "ashlar-bootstrap", "ashlar-console", "ashlar-ignition"];
/// Ours, in the initramfs of media that fetch their root file system.
pub const OUR_MEDIUM_PROGRAMS: &[&str] = &["ashlar-fetch"];
/// Ours, inside a container image only.
pub const OUR_IMAGE_PROGRAMS: &[&str] = &["ashlar-controllers"];
/// Upstream programs in `/usr/bin` of every host.
const PROGRAMS: &[&str] =
    &["kubelet", "kubectl", "crictl", "etcdctl", "containerd", "ctr", "containerd-shim-runc-v2"];
/// Upstream programs in `/usr/libexec/cni` of every host.
const CNI_PLUGINS: &[&str] = &[
    "bandwidth",
    "bridge",
    "dhcp",
    "firewall",
    "flannel",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "static",
    "tuning",
    "vlan",
    "vrf",
];
/// Upstream programs for people, in the release directory.
pub const CLIENT_TOOLS: &[&str] = &["kubectl", "etcdctl", "crictl"];
/// The program that the initramfs runs at the first boot.
const FIRST_BOOT_PROGRAM: &str = "ashlar-ignition";

pub type Programs = BTreeMap<String, PathBuf>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("placing {} into the system", path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Initramfs(#[from] initramfs::Error),
    #[error("describing the container images")]
    Describe(#[from] serde_json::Error),
}

/// What the system is put together from.
pub struct Parts<'a> {
    pub upstream: &'a Programs,
    pub ours: &'a Programs,
    pub images: &'a [BuiltImage],
    pub initramfs: &'a Path,
    pub kernel: &'a str,
    pub version: &'a str,
}

/// Every program in the system that is not from a Debian package.
pub fn programs() -> impl Iterator<Item = &'static str> {
    [PROGRAMS, CNI_PLUGINS, OUR_PROGRAMS].into_iter().flatten().copied()
}

/// Names of programs that a host needs and nobody brought.
#[must_use]
pub fn missing(upstream: &Programs, ours: &Programs) -> Vec<&'static str> {
    let lacks = |have: &Programs, wanted: &[&'static str]| -> Vec<&'static str> {
        wanted.iter().filter(|name| !have.contains_key(**name)).copied().collect()
    };
    [
        lacks(upstream, PROGRAMS),
        lacks(upstream, CNI_PLUGINS),
        lacks(ours, OUR_PROGRAMS),
        lacks(ours, OUR_MEDIUM_PROGRAMS),
        lacks(ours, OUR_IMAGE_PROGRAMS),
    ]
    .concat()
}

/// Fills `root` with files over the package tree. Programs that are missing are left out.
///
/// # Errors
/// A file cannot be read or written.
pub fn assemble(parts: &Parts<'_>, root: &Path) -> Result<(), Error> {
    for (have, names, place) in [
        (parts.upstream, PROGRAMS, "usr/bin"),
        (parts.upstream, CNI_PLUGINS, "usr/libexec/cni"),
        (parts.ours, OUR_PROGRAMS, "usr/bin"),
    ] {
        for name in names {
            if let Some(from) = have.get(*name) {
                place_program(from, &root.join(place).join(name))?;
            }
        }
    }
    place_images(parts.images, &root.join("usr/share/ashlar/images"))?;
    let modules = root.join("usr/lib/modules").join(parts.kernel);
    create(&modules)?;
    let appended: Vec<_> = parts
        .ours
        .get(FIRST_BOOT_PROGRAM)
        .map(|from| ("usr/bin/ashlar-ignition", from.clone()))
        .into_iter()
        .collect();
    initramfs::append_programs(parts.initramfs, &appended, &modules.join("initramfs.img"))?;
    write(&root.join("usr/lib/os-release"), os_release(parts.version).as_bytes())
}

fn place_images(images: &[BuiltImage], dir: &Path) -> Result<(), Error> {
    create(dir)?;
    let mut list = Vec::new();
    for image in images {
        let file = image.archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        link_or_copy(&image.archive, &dir.join(&file))?;
        list.push(json!({"name": image.reference, "file": file, "digest": image.digest}));
    }
    write(&dir.join("images.json"), &serde_json::to_vec_pretty(&list)?)
}

fn os_release(version: &str) -> String {
    format!(
        "PRETTY_NAME=\"Ashlar {version}\"\nNAME=\"Ashlar\"\nID=ashlar\nID_LIKE=debian\nVERSION_ID=\"{version}\"\n\
         VERSION=\"{version}\"\nVERSION_CODENAME=trixie\nDEBIAN_VERSION_FULL=13\n"
    )
}

/// Copied, not linked: the owner and mode of the system's file are not the build's.
pub fn place_program(from: &Path, to: &Path) -> Result<(), Error> {
    let place = |source| Error::Place { path: from.to_owned(), source };
    create(to.parent().unwrap_or(to))?;
    fs::copy(from, to).map_err(place)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(place)
}

fn link_or_copy(from: &Path, to: &Path) -> Result<(), Error> {
    let place = |source| Error::Place { path: from.to_owned(), source };
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).map_err(place)?;
    }
    Ok(())
}

fn create(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::Place { path: dir.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    create(path.parent().unwrap_or(path))?;
    fs::write(path, bytes).map_err(|source| Error::Place { path: path.to_owned(), source })
}
