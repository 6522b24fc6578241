//! Rules on source files: who may start processes, how long a file may be, what it opens with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Nothing but tables may be longer.
const LONGEST: usize = 600;
/// Files that are tables.
const TABLES: &[&str] = &["model/src/config/fields.rs"];
/// Folders that may start processes.
const MAY_START: &[&str] = &["host", "xtask", "tests"];
const STARTS: &[&str] = &["process::Command", "Command::new("];

pub fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for folder in folders(root)? {
        for path in sources(&folder)? {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
            problems.extend(judge(&name, &text));
        }
    }
    Ok(problems)
}

fn judge(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST && !TABLES.contains(&name) {
        problems.push(format!("{name} has {lines} lines; {LONGEST} is the most"));
    }
    let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
    if !is_test && !text.starts_with("//!") {
        problems.push(format!("{name} does not open with `//!` and what it is for"));
    }
    let folder = name.split('/').next().unwrap_or_default();
    // Examples are for developers, and never part of a program.
    let may_start = MAY_START.contains(&folder) || is_test || name.contains("/examples/");
    if let Some(found) = STARTS.iter().find(|found| !may_start && text.contains(**found)) {
        problems.push(format!("{name} starts processes (`{found}`); only {} may", MAY_START.join(" and ")));
    }
    problems
}

/// Packages: folders with a manifest.
fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root).with_context(|| format!("reading {}", root.display()))?;
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("Cargo.toml").exists()).collect();
    folders.sort();
    Ok(folders)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_breach() {
        assert_eq!(judge("model/src/a.rs", "//! Fine.\n"), Vec::<String>::new());
        assert_eq!(judge("model/src/a.rs", "fn a() {}\n").len(), 1);
        assert_eq!(judge("model/src/a.rs", "//! x\nuse std::process::Command;\n").len(), 1);
        assert_eq!(judge("host/src/a.rs", "//! x\nuse std::process::Command;\n").len(), 0);
        assert_eq!(judge("model/src/a.rs", &format!("//! x\n{}", "\n".repeat(LONGEST))).len(), 1);
    }
}
