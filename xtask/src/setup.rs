//! Installs what building and the lab need, says what and why, and refuses clearly where it cannot.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, Session};
use crate::workspace;

/// Package, and what it is for.
const PACKAGES: &[(&str, &str)] = &[
    ("binutils", "programs without their symbols"),
    ("ca-certificates", "trusting package servers"),
    ("chrony", "the lab's time server"),
    ("curl", "fetching the Go toolchain; tests ask services with it"),
    ("debian-archive-keyring", "checking the packages of the operating system that is built"),
    ("dnsmasq-base", "the lab's DHCP and DNS"),
    ("dosfstools", "the EFI partition of the disk image"),
    ("e2fsprogs", "file systems of the disk image"),
    ("fdisk", "partition tables"),
    ("gcc", "linking, and the pause program"),
    ("git", "Go modules that have no proxy"),
    ("iproute2", "the lab's networks"),
    ("jq", "examples in the documentation"),
    ("libc6-dev", "linking"),
    ("libostree-dev", "deployments of the operating system"),
    ("mmdebstrap", "the operating system's package tree"),
    ("mtools", "files on the EFI partition without mounting it"),
    ("nftables", "keeping the lab apart from the world"),
    ("openssh-client", "logging in to the lab's servers"),
    ("ovmf", "UEFI of emulated servers"),
    ("qemu-system-x86", "emulated servers: firmware, boot loader and kernel are tested with them"),
    ("squashfs-tools", "the medium's root file system"),
    ("swtpm", "TPMs of emulated servers"),
    ("systemd-container", "the lab's machines"),
    ("unzip", "unpacking the Go toolchain"),
    ("xorriso", "the medium"),
    ("xz-utils", "the kernel's modules in the initramfs"),
];

const QEMU: &str = "qemu-system-x86";
const QEMU_MINIMUM: u32 = 10;
const BACKPORTS: &str = "/etc/apt/sources.list.d/ashlar-backports.list";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Newest that all components build with; what is needed at least is in their go.mod files.
const GO: &str = "1.26.8";
const GO_MINIMUM: (u32, u32) = (1, 26);
/// Below the module proxy that Go itself is set up to use.
const GO_MODULE: &str = "golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.zip";
const GO_SHA256: &str = "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7";
const GO_FOLDER: &str = "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64";

pub fn run() -> Result<()> {
    ensure(&Session::open("setup")?)
}

/// Does what is missing, and says nothing when nothing is.
pub fn ensure(session: &Session) -> Result<()> {
    packages(session, PACKAGES)?;
    package_lists(session)?;
    newer_qemu(session)?;
    go(session)
}

/// `PATH` with the Go toolchain that was installed here, if it was.
pub fn path() -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let own = go_root().join("bin");
    // root's PATH in a bare environment lacks the folders of mkfs and the like.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut all: Vec<PathBuf> = std::env::split_paths(&old).collect();
    all.extend(system.into_iter().filter(|path| !std::env::split_paths(&old).any(|known| known == *path)));
    if own.join("go").exists() {
        all.insert(0, own);
    }
    std::env::join_paths(all).unwrap_or(old)
}

/// Installs those that are missing: each with what it is for.
pub fn packages(session: &Session, wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&(&str, &str)> = wanted.iter().filter(|(name, _)| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let by_hand = format!("apt-get update && apt-get install --no-install-recommends -y {}", names.join(" "));
    if !Path::new("/etc/debian_version").exists() {
        bail!("this is not Debian: install what these packages hold yourself:\n  {by_hand}");
    }
    if process::output(Command::new("id").arg("-u"))? != "0" {
        bail!("packages are missing and only root can install them. Run, as root:\n  {by_hand}");
    }
    for (name, reason) in &missing {
        session.say(&format!("will install {name}: {reason}"));
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    session.run("Reading the package lists", "10 s", &mut apt(&["update", "-qq"]))?;
    let mut install = apt(&["install", "-qq", "-y", "--no-install-recommends"]);
    session.run_quietly("Installing packages", "60 s", install.args(&names))
}

/// The release was proven in QEMU 10; Debian 12 has 7, and 10 in its backports.
fn newer_qemu(session: &Session) -> Result<()> {
    let version = process::output(Command::new("dpkg-query").args(["-W", "-f", "${Version}", QEMU]))?;
    if major(&version) >= QEMU_MINIMUM {
        return Ok(());
    }
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("/etc/os-release has no VERSION_CODENAME")?;
    let format = ["indextargets", "--format", "$(REPO_URI)", "Label: Debian", "Created-By: Packages"];
    let mirrors = process::output(Command::new("apt-get").args(format))?;
    let mirror = mirrors.lines().next().context("apt knows no mirror of Debian")?;
    session
        .say(&format!("adds {codename}-backports to apt's sources ({BACKPORTS}): QEMU {version} is too old"));
    let line = format!("deb [signed-by={KEYRING}] {mirror} {codename}-backports main\n");
    fs::write(BACKPORTS, line).with_context(|| format!("writing {BACKPORTS}"))?;
    session.run("Reading the package lists", "10 s", Command::new("apt-get").args(["update", "-qq"]))?;
    let suite = format!("{codename}-backports");
    let install = ["install", "-qq", "-y", "--no-install-recommends", "-t", &suite, QEMU];
    let mut command = Command::new("apt-get");
    command.args(install).env("DEBIAN_FRONTEND", "noninteractive");
    session.run_quietly("Installing a newer QEMU", "30 s", &mut command)
}

/// `1:10.0.2+ds-2` is 10.
fn major(version: &str) -> u32 {
    let upstream = version.split_once(':').map_or(version, |(_, upstream)| upstream);
    upstream.split('.').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The operating system that is built comes from apt's mirrors, and apt knows them by its lists.
fn package_lists(session: &Session) -> Result<()> {
    let known = process::output(Command::new("apt-get").args([
        "indextargets",
        "Origin: Debian",
        "Created-By: Packages",
    ]));
    if known.is_ok_and(|known| !known.is_empty()) {
        return Ok(());
    }
    session.run("Reading the package lists", "10 s", Command::new("apt-get").args(["update", "-qq"]))
}

fn is_installed(package: &str) -> bool {
    let query =
        process::output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]));
    query.is_ok_and(|status| status == "installed")
}

fn go(session: &Session) -> Result<()> {
    // The folder we run in must not choose another toolchain.
    let version = process::output(Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"));
    if version.as_ref().is_ok_and(|version| is_enough(version)) {
        return Ok(());
    }
    let found = version.map_or_else(|_| "there is none".to_owned(), |version| format!("there is {version}"));
    session.say(&format!("will install Go {GO} under {}: {found}", go_root().display()));
    let root = go_root();
    let work = root.with_extension("new");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let zip = work.join("go.zip");
    let url = format!("{}/{GO_MODULE}", module_proxy(session)?);
    session.run(
        "Fetching Go",
        "20 s",
        Command::new("curl").args(["-sSfL", "--retry", "3", "-o"]).arg(&zip).arg(&url),
    )?;
    let sum = process::output(Command::new("sha256sum").arg(&zip))?;
    if !sum.starts_with(GO_SHA256) {
        bail!("{url} is not what it should be: SHA-256 {sum}, expected {GO_SHA256}");
    }
    session.run("Unpacking Go", "10 s", Command::new("unzip").arg("-q").arg(&zip).arg("-d").arg(&work))?;
    let unpacked = work.join(GO_FOLDER);
    for folder in ["bin", "pkg/tool/linux_amd64"] {
        make_executable(&unpacked.join(folder))?;
    }
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    fs::rename(&unpacked, &root).with_context(|| format!("moving Go to {}", root.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
}

/// Where Go takes modules from: `GOPROXY`, or what an installed Go says, if need be Debian's old one.
fn module_proxy(session: &Session) -> Result<String> {
    let setting = match std::env::var("GOPROXY") {
        Ok(setting) => setting,
        Err(_) => {
            if process::output(Command::new("go").arg("version")).is_err() {
                let install = ["install", "-y", "--no-install-recommends", "golang-go"];
                session.run_quietly(
                    "Installing Debian's Go, to learn its module proxy",
                    "10 s",
                    Command::new("apt-get").args(install),
                )?;
            }
            process::output(Command::new("go").args(["env", "GOPROXY"]))?
        }
    };
    let first = setting.split([',', '|']).map(str::trim).find(|entry| entry.starts_with("http"));
    let first =
        first.with_context(|| format!("GOPROXY is `{setting}`; a proxy is needed to fetch Go {GO}"))?;
    Ok(first.trim_end_matches('/').to_owned())
}

fn go_root() -> PathBuf {
    workspace::cache().join(format!("go-{GO}"))
}

fn is_enough(version: &str) -> bool {
    let mut parts = version.trim_start_matches("go").split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    found >= GO_MINIMUM
}

/// Modules keep no modes.
fn make_executable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("making {} executable", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_no_versions() {
        assert_eq!(major("1:7.2+dfsg-7+deb12u18+b3"), 7);
        assert_eq!(major("1:10.0.2+ds-2+deb13u1~bpo12+1"), 10);
        assert_eq!(major(""), 0);
    }

    #[test]
    fn old_toolchains_are_not_enough() {
        for (version, enough) in [("go1.26.0", true), ("go1.19.8", false), ("", false)] {
            assert_eq!(is_enough(version), enough, "{version}");
        }
    }
}
