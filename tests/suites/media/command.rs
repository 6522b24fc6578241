//! Running `ashlar media`, and changing files as a broken disk would.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, ensure};
use ashlar_tests::process;
use ashlar_tests::rack::program;

pub const LIMIT: Duration = Duration::from_secs(120);

pub fn release() -> anyhow::Result<PathBuf> {
    let shown = process::run(Command::new(program()?).args(["release", "show"]), LIMIT)?;
    Ok(PathBuf::from(shown.lines().next().context("a folder")?))
}

fn media(arguments: &[&str]) -> anyhow::Result<Output> {
    process::output(Command::new(program()?).arg("media").args(arguments), LIMIT)
}

pub fn succeeds(arguments: &[&str]) -> anyhow::Result<String> {
    let output = media(arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn refused(arguments: &[&str]) -> anyhow::Result<String> {
    let output = media(arguments)?;
    ensure!(!output.status.success(), "{arguments:?} succeeded");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

pub fn digest(path: &Path) -> anyhow::Result<String> {
    process::run(Command::new("sha256sum").arg(path), LIMIT)
}

pub fn flip(path: &Path, at: u64) -> anyhow::Result<()> {
    let mut file: File = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(at))?;
    Ok(file.write_all(&[byte[0] ^ 1])?)
}

pub fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path in UTF-8")
}
