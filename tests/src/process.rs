//! Commands with a deadline.

use anyhow::{Context, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs to the end or to the deadline; fails unless it succeeds.
pub fn run(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let output = output(command, limit)?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end or to the deadline, whatever the end is.
pub fn output(command: &mut Command, limit: Duration) -> anyhow::Result<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(limit) {
        Ok(output) => Ok(output?),
        Err(_) => {
            kill(pid);
            bail!("{command:?} did not end within {} s", limit.as_secs())
        }
    }
}

/// SIGKILL, as a crash would be.
pub fn kill_hard(child: &mut Child) -> anyhow::Result<()> {
    child.kill().context("killing")?;
    child.wait().context("waiting for the killed process")?;
    Ok(())
}

fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

/// A number in a range, another one in every run.
pub fn random(range: Range<u64>) -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(range.start + u64::from_le_bytes(bytes) % (range.end - range.start))
}

/// Asks again until `ask` gives a value; the last refusal is the error at the deadline.
pub fn wait<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(error.context(format!("waited {} s for {what}", limit.as_secs())));
            }
            Err(_) => std::thread::park_timeout(Duration::from_millis(200)),
        }
    }
}
