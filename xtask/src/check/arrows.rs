//! Which package may use which: arrows point only downwards.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folder, and the packages it may use (without `ashlar-`). A folder that is not here may use none.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("redfish", &[]),
    ("xtask", &[]),
    ("pki", &["model"]),
    ("host", &["model"]),
    // `host` only for its program, behind a feature.
    ("ignition", &["host", "model"]),
    ("firmware", &["redfish", "model"]),
    ("webui", &["model"]),
    ("image", &["ignition", "host", "model"]),
    ("agent", &["ignition", "host", "pki", "model"]),
    ("fetch", &["model"]),
    ("console", &["host", "model"]),
    ("controllers", &["redfish", "ignition", "pki", "model"]),
    ("bootstrap", &["controllers", "host", "pki", "model"]),
    ("lab", &["redfish", "image", "host", "pki", "model"]),
    (
        "installer",
        &["webui", "lab", "firmware", "image", "controllers", "redfish", "ignition", "host", "pki", "model"],
    ),
    ("tests", &["lab", "redfish", "pki", "model"]),
];

pub fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (folder, allowed) in ARROWS {
        let path = root.join(folder).join("Cargo.toml");
        if !path.exists() {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for used in dependencies(&text).filter(|used| !allowed.contains(used)) {
            problems.push(format!("{folder} must not depend on {used} (it may on: {})", allowed.join(", ")));
        }
    }
    Ok(problems)
}

/// Our packages in `[dependencies]`; those of tests do not count.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]" || line.starts_with("[dependencies.");
        }
        let name = line.trim_start_matches("[dependencies.").strip_prefix("ashlar-")?;
        inside.then(|| name.split(['.', ' ', '=', ']']).next().unwrap_or(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_dependencies_are_arrows() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nserde = \"1\"\nashlar-model.workspace = true\n\
                        ashlar-host = { workspace = true }\n[dev-dependencies]\nashlar-lab.workspace = true\n";
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["model", "host"]);
    }

    #[test]
    fn every_package_of_the_workspace_has_its_arrows() {
        let root = crate::workspace::root();
        let text = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace");
        let members = text.lines().find(|line| line.starts_with("members")).expect("members");
        for member in members.split('"').skip(1).step_by(2) {
            assert!(ARROWS.iter().any(|(folder, _)| *folder == member), "{member} has no arrows");
        }
    }
}
