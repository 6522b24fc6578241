//! What a node fetches for an update in which one file changed: as a delta, and object by object.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{Session, ashlar, output};
use crate::workspace;

pub struct Update {
    pub delta: f64,
    pub objects: f64,
}

/// Builds a release like `release` with one file more; the version and the lists of what is in it change with it.
pub fn measure(session: &Session, release: &Path) -> Result<Update> {
    let add = workspace::programs().with_file_name("xtask").join("bench-update");
    let file = add.join("usr/share/ashlar/bench");
    fs::create_dir_all(add.join("usr/share/ashlar")).with_context(|| format!("making {}", add.display()))?;
    fs::write(&file, "one file\n").with_context(|| format!("writing {}", file.display()))?;
    session.say("Building a release with one file more (usually a minute)");
    let mut build = ashlar(["release", "build", "--release-version", "9.9.9", "--add"]);
    let built = output(build.arg(&add))?;
    session.say("Making the delta to it (usually a minute)");
    let mut delta = ashlar(["--output", "json", "release", "delta", "--from"]);
    let made = output(delta.arg(release).arg(&built))?;
    let made: Value = serde_json::from_str(&made).context("reading what the delta has")?;
    let number = |name: &str| made[name].as_f64().with_context(|| format!("the delta has no {name}"));
    Ok(Update { delta: number("bytes")?, objects: number("object_bytes")? })
}
