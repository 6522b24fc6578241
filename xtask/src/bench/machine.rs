//! Running programs in a machine of a rack, as its console would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::output;

const POLL: Duration = Duration::from_millis(100);
const PATH: &str = "PATH=/var/lib/peer:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Machine {
    pub name: String,
    pub address: String,
    /// Its first process, seen from this computer.
    first: u32,
}

impl Machine {
    /// A machine that was just switched on, as soon as its services run.
    pub fn booted(rack: &Path, name: &str, address: &str, limit: Duration) -> Result<Self> {
        let file = rack.join("pids").join(format!("machine-{name}"));
        let find = || {
            let text = fs::read_to_string(&file).context("it has not started")?;
            let nspawn = text.split_whitespace().next().context("an empty pid file")?;
            let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children"))?;
            let first = children.split_whitespace().next().context("it has no process yet")?.parse()?;
            let machine = Self { name: name.to_owned(), address: address.to_owned(), first };
            machine.run("systemctl is-active --quiet multi-user.target")?;
            Ok(machine)
        };
        wait(&format!("{name} to boot"), limit, find)
    }

    /// A shell command inside.
    pub fn run(&self, script: &str) -> Result<String> {
        output(&mut self.command(script)).with_context(|| format!("on {}", self.name))
    }

    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.first.to_string(),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
        ]);
        command.args([
            "--root",
            "--wd",
            "--",
            "env",
            "--ignore-environment",
            PATH,
            "HOME=/root",
            "sh",
            "-ec",
            script,
        ]);
        command
    }

    /// A path of the machine, seen from this computer.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path(path);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// Asks again until there is an answer; the last refusal is told at the end of the time.
pub fn wait<T>(what: &str, limit: Duration, ask: impl Fn() -> Result<T>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > end => {
                bail!("waited {} s for {what}: {error:#}", limit.as_secs())
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
