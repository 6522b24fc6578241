//! Installs fetched packages into a tree, without the network: the same packages give the same tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};

use super::{apt, local, lock::Lock};
use crate::chroot::SOURCE_DATE_EPOCH;

/// Not unpacked at all. Kernel hooks would make an initramfs; ours is made later, once.
const LEFT_OUT: &[&str] = &[
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/i18n/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/etc/kernel/postinst.d/*",
    "path-exclude=/etc/kernel/postrm.d/*",
    "force-unsafe-io",
];
/// dracut's maintainer script calls the hook that was left out.
const KERNEL_HOOK: &str =
    r#"mkdir -p "$1/etc/kernel/postinst.d" && ln -s /bin/true "$1/etc/kernel/postinst.d/dracut""#;
/// What mmdebstrap leaves: the settings of this build.
const SETTINGS: &[&str] =
    &["etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("installing Debian packages into {}", path.display())]
    Bootstrap { path: PathBuf, source: cmd::Error },
    #[error("removing {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// Installs the packages of `fetched` into `tree`, then runs `os/finish-packages.sh` on it.
///
/// # Errors
/// mmdebstrap fails (no root, no space, a package's script).
pub async fn install(
    fetched: &Path,
    lock: &Lock,
    os: &Path,
    tree: &Path,
    report: &dyn Fn(&str),
) -> Result<(), Error> {
    let names: Vec<&str> = lock.packages.iter().map(|one| one.name.as_str()).collect();
    let hook = format!("'{}' \"$1\"", os.join("finish-packages.sh").display());
    let command = Cmd::new("mmdebstrap")
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        .arg(format!("--architectures={}", apt::ARCHITECTURE))
        .arg(format!("--include={}", names.join(",")))
        .args([r#"--aptopt=APT::Install-Recommends "false""#, r#"--aptopt=Acquire::Languages "none""#])
        .arg(r#"--aptopt=APT::Sandbox::User "root""#)
        .args(LEFT_OUT.iter().map(|option| format!("--dpkgopt={option}")))
        .arg(format!("--essential-hook={KERNEL_HOOK}"))
        .arg(format!("--customize-hook={hook}"))
        .arg(apt::SUITE)
        .arg(tree)
        .arg("-")
        .stdin(local::source(fetched, apt::SUITE))
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .timeout(Duration::from_secs(1800));
    let told = command.stream(|line| {
        if let Some(message) = line.strip_prefix("I: ") {
            report(message);
        }
    });
    told.await.map_err(|source| Error::Bootstrap { path: tree.to_owned(), source })?;
    for name in SETTINGS {
        let path = tree.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Remove { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}
