//! How this computer reaches package servers: the part of its configuration that a fresh one would be given too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::output;

/// Settings of apt that say how servers are reached; anything else is apt's own affair.
const APT: &[&str] = &["Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries"];
/// Environment variables that say the same to other programs.
const VARIABLES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GONOPROXY",
    "GOPRIVATE",
    "GOINSECURE",
];
const AUTHORITIES: &str = "/usr/local/share/ca-certificates";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

pub fn apt_settings() -> Result<String> {
    let all = output(Command::new("apt-config").args(["dump", "--no-empty"]))?;
    let kept = all.lines().filter(|line| APT.iter().any(|name| line.starts_with(name)));
    Ok(kept.map(|line| format!("{line}\n")).collect())
}

/// apt's sources for `suite`, from the mirrors that this computer's apt uses.
pub fn apt_sources(suite: &str) -> Result<String> {
    let format = "$(LABEL) $(REPO_URI)";
    let targets = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        format,
        "Origin: Debian",
        "Created-By: Packages",
    ]))?;
    let mirror = |label: &str| {
        targets.lines().find_map(|line| Some(line.strip_prefix(label)?.strip_prefix(' ')?.trim().to_owned()))
    };
    let line = |mirror: &str, suite: &str| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    let main = mirror("Debian").context("apt knows no Debian mirror; run `apt-get update` first")?;
    let mut sources = line(&main, suite) + &line(&main, &format!("{suite}-updates"));
    if let Some(security) = mirror("Debian-Security") {
        sources += &line(&security, &format!("{suite}-security"));
    }
    Ok(sources)
}

/// Files for the root: own certificate authorities, cargo's registries, Go's settings.
pub fn settings() -> Vec<(PathBuf, String)> {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let authorities = fs::read_dir(AUTHORITIES).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<(PathBuf, PathBuf)> = authorities
        .filter(|path| path.extension().is_some_and(|extension| extension == "crt"))
        .map(|path| (inside(&path), path))
        .collect();
    files.push(("root/.cargo/config.toml".into(), cargo.join("config.toml")));
    let read = files.into_iter().filter_map(|(to, from)| Some((to, fs::read_to_string(from).ok()?)));
    let mut read: Vec<(PathBuf, String)> = read.collect();
    let go = fs::read_to_string(home.join(".config/go/env")).unwrap_or_default();
    let go: String = go.lines().filter(|line| is_wanted(line)).map(|line| format!("{line}\n")).collect();
    read.push(("root/.config/go/env".into(), go));
    read
}

/// Variables for the environment inside.
pub fn environment() -> impl Iterator<Item = (&'static str, String)> {
    VARIABLES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)))
}

fn is_wanted(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| VARIABLES.contains(&name))
}

fn inside(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}
