//! `cargo xtask cold`: does a fresh clone work on a fresh Debian with nothing cached? Makes a minimal root with what
//! README asks for beforehand and nothing else, clones the committed state into it and runs a command there.

mod computer;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::process::{Session, output};
use crate::{setup, workspace};

/// What README asks for beside Rust.
const PREREQUISITES: &str = "ca-certificates,gcc,git,libc6-dev";
const SUITE: &str = "bookworm";
const PLACE: &str = "/var/tmp/ashlar-cold";
/// In the root: the toolchain, then what Debian has.
const PATH: &str = "/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ENTER: &str = include_str!("cold/enter.sh");

#[derive(Args)]
pub struct Arguments {
    /// What runs in the fresh root
    #[arg(long, value_enum, default_value_t = Inner::Test)]
    command: Inner,
    /// Leave the root behind and say where it is
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Inner {
    Test,
    Lab,
    /// Only what installs what the others need
    Setup,
}

impl Inner {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Test => &["test"],
            Self::Lab => &["lab"],
            Self::Setup => &["setup"],
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("cold")?;
    setup::ensure(&session)?;
    let place = Path::new(PLACE);
    fs::create_dir_all(place).with_context(|| format!("making {PLACE}"))?;
    let lock = File::create(place.join("lock")).with_context(|| format!("writing {PLACE}/lock"))?;
    if lock.try_lock().is_err() {
        bail!("another `cargo xtask cold` runs ({PLACE}/lock)");
    }
    let root = place.join("root");
    remove(&session, &root)?;
    let end = make(&session, &root).and_then(|()| enter(&session, &root, arguments.command));
    if arguments.keep {
        session.say(&format!("the root stays: {}", root.display()));
    } else {
        remove(&session, place)?;
    }
    remove_groups();
    session.say(if end.is_ok() { "cold: all went well" } else { "cold: failed" });
    end
}

/// A minimal Debian with the prerequisites, this computer's package settings and a clone.
fn make(session: &Session, root: &Path) -> Result<()> {
    let settings = root.with_file_name("apt.conf");
    write(&settings, &computer::apt_settings()?)?;
    let sources = root.with_file_name("sources.list");
    write(&sources, &computer::apt_sources(SUITE)?)?;
    let mut debian = Command::new("mmdebstrap");
    debian.args(["--mode=root", "--variant=minbase", "--format=directory"]);
    debian.arg(format!("--include={PREREQUISITES}")).arg(format!("--aptopt={}", settings.display()));
    debian.args([r#"--aptopt=APT::Install-Recommends "false""#, SUITE]).arg(root).arg(&sources);
    session.run("Making a fresh Debian", "1 minute", &mut debian)?;
    for path in ["etc/hosts", "etc/resolv.conf"] {
        copy(&Path::new("/").join(path), &root.join(path))?;
    }
    for (path, text) in computer::settings() {
        write(&root.join(path), &text)?;
    }
    session.run(
        "Trusting what this computer trusts",
        "1 s",
        Command::new("chroot").arg(root).arg("update-ca-certificates"),
    )?;
    let clone = root.join("root/ashlar");
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--no-hardlinks"]).arg(workspace::root()).arg(&clone);
    session.run("Cloning the committed state", "1 s", &mut git)
}

fn enter(session: &Session, root: &Path, inner: Inner) -> Result<()> {
    let script = root.with_file_name("enter.sh");
    write(&script, ENTER)?;
    let toolchain =
        output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(workspace::root()))?;
    let mut command = Command::new("sh");
    command.arg(&script).arg(root).arg(toolchain);
    command.args(["env", "--ignore-environment", "HOME=/root", "LANG=C.UTF-8"]).arg(format!("PATH={PATH}"));
    command.args(computer::environment().map(|(name, value)| format!("{name}={value}")));
    // Devices and control groups are this computer's: a rack of the same name may be up outside.
    command.arg("ASHLAR_LAB_DIR=/var/lib/ashlar/cold");
    command.args(["cargo", "xtask"]).args(inner.arguments());
    let title = format!("`cargo xtask {}` from nothing", inner.arguments().join(" "));
    let end = session.run(&title, "45 minutes", &mut command);
    let log = root.join("root/ashlar/target/xtask").join(format!("{}.log", inner.arguments()[0]));
    session.say("steps:");
    for line in fs::read_to_string(&log).unwrap_or_default().lines().filter(|line| is_long_step(line)) {
        session.say(line);
    }
    end
}

/// `...: done in 12.3 s`, and worth a line.
fn is_long_step(line: &str) -> bool {
    let seconds =
        line.split_once(": done in ").and_then(|(_, time)| time.strip_suffix(" s")?.parse::<f64>().ok());
    seconds.is_some_and(|seconds| seconds >= 5.0)
}

/// Mounts in it were private to what ran there and went with it.
fn remove(session: &Session, path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut remove = Command::new("rm");
    session.run("Removing the root", "20 s", remove.args(["-rf", "--one-file-system"]).arg(path))
}

/// Empty by now: the first process inside took all others with it.
fn remove_groups() {
    let find =
        ["/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/ashlar-cold*", "-exec", "rmdir", "{}", ";"];
    if let Err(error) = output(Command::new("find").args(find)) {
        eprintln!("note: control groups `ashlar-cold` stay: {error:#}");
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    // It may be a link to somewhere that is not in the root.
    let _ = fs::remove_file(to);
    fs::copy(from, to).map(drop).with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent: PathBuf = path.parent().unwrap_or(path).to_owned();
    fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_steps_are_left_out() {
        assert!(is_long_step("[ 1.0 s] Unit tests: done in 415.7 s"));
        assert!(is_long_step("[ 139 s] coredns: done in 138 s"));
        assert!(!is_long_step("[ 1.0 s] Fetching Go: done in 0.3 s"));
        assert!(!is_long_step("[ 1.0 s] Unit tests: still running"));
    }
}
