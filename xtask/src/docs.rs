//! `cargo xtask docs`: the pages that are made from the code.

use std::fs;

use anyhow::{Context, Result};

use crate::process::{cargo, output};
use crate::workspace;

/// A test of `ashlar-model` compares it with the fields.
const REFERENCE: &str = "docs/config-reference.md";

pub fn run() -> Result<()> {
    let example = ["run", "--quiet", "--package", "ashlar-model", "--example", "reference"];
    let text = output(&mut cargo(example))?;
    let path = workspace::root().join(REFERENCE);
    fs::write(&path, format!("{text}\n")).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("{REFERENCE} is written");
    Ok(())
}
