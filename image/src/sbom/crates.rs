//! Crates that are linked into our programs, from cargo's own resolution.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};
use serde::Deserialize;

use super::{Component, Kind, Program, UNKNOWN};

const TARGET: &str = "x86_64-unknown-linux-gnu";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("asking cargo what is in our programs")]
    Cargo(#[source] cmd::Error),
    #[error("understanding what cargo said")]
    Parse(#[from] serde_json::Error),
    #[error("reading {}", path.display())]
    Lock { path: PathBuf, source: std::io::Error },
    #[error("understanding {}", path.display())]
    ParseLock { path: PathBuf, source: toml::de::Error },
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The programs `names` of the workspace at `root`, each with its crates.
///
/// # Errors
/// cargo is not there, or `Cargo.lock` does not fit the manifests.
pub async fn programs(
    root: &Path,
    names: &[&str],
    version: &str,
) -> Result<BTreeMap<String, Program>, Error> {
    let said = Cmd::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET])
        .dir(root)
        .timeout(Duration::from_secs(300))
        .run()
        .await
        .map_err(Error::Cargo)?;
    let metadata: Metadata = serde_json::from_str(&said.stdout)?;
    let path = root.join("Cargo.lock");
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Lock { path: path.clone(), source })?;
    let lock: CargoLock = toml::from_str(&text).map_err(|source| Error::ParseLock { path, source })?;
    let checksums = lock.package.into_iter().filter_map(|one| Some(((one.name, one.version), one.checksum?)));
    Ok(resolve(&metadata, &checksums.collect(), names, version))
}

fn resolve(
    metadata: &Metadata,
    checksums: &HashMap<(String, String), String>,
    names: &[&str],
    version: &str,
) -> BTreeMap<String, Program> {
    let packages: HashMap<&str, &Package> =
        metadata.packages.iter().map(|one| (one.id.as_str(), one)).collect();
    let nodes: HashMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|one| (one.id.as_str(), one)).collect();
    let makes = |package: &&Package, name: &str| {
        package
            .targets
            .iter()
            .any(|target| target.name == name && target.kind.iter().any(|kind| kind == "bin"))
    };
    let mut programs = BTreeMap::new();
    for name in names {
        let Some(package) = metadata.packages.iter().find(|package| makes(package, name)) else { continue };
        let linked = linked(&nodes, &package.id);
        let crates = linked.iter().filter_map(|id| packages.get(*id)).filter(|one| one.source.is_some());
        let parts = crates.map(|one| component(one, checksums)).collect::<BTreeSet<_>>();
        let own = Component {
            kind: Kind::Program,
            name: (*name).to_owned(),
            version: version.to_owned(),
            licence: licence(package),
            source: "Ashlar".into(),
            purl: format!("pkg:generic/ashlar/{name}@{version}"),
            sha256: None,
        };
        programs.insert((*name).to_owned(), Program { component: own, parts: parts.into_iter().collect() });
    }
    programs
}

/// What is compiled into it: not what only builds or tests it.
fn linked<'a>(nodes: &HashMap<&'a str, &'a Node>, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            if dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()) {
                next.push(&dependency.pkg);
            }
        }
    }
    seen
}

fn component(one: &Package, checksums: &HashMap<(String, String), String>) -> Component {
    Component {
        kind: Kind::Crate,
        name: one.name.clone(),
        version: one.version.clone(),
        licence: licence(one),
        source: String::new(),
        purl: format!("pkg:cargo/{}@{}", one.name, one.version.replace('+', "%2B")),
        sha256: checksums.get(&(one.name.clone(), one.version.clone())).cloned(),
    }
}

/// Old manifests separate with a slash.
fn licence(one: &Package) -> String {
    one.license.as_ref().map_or_else(|| UNKNOWN.into(), |said| said.replace('/', " OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |id: &str, source: Option<&str>, bin: &str| {
            serde_json::json!({"id": id, "name": id, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source,
                "targets": [{"name": bin, "kind": ["bin"]}]})
        };
        let needs = |id: &str, deps: &[(&str, Option<&str>)]| {
            let deps: Vec<_> = deps
                .iter()
                .map(|(pkg, kind)| serde_json::json!({"pkg": pkg, "dep_kinds": [{"kind": kind}]}))
                .collect();
            serde_json::json!({"id": id, "deps": deps})
        };
        let metadata = serde_json::json!({
            "packages": [
                package("own", None, "program"), package("sister", None, ""), package("linked", Some("r"), ""),
                package("builds", Some("r"), ""), package("tests", Some("r"), "")
            ],
            "resolve": {"nodes": [
                needs("own", &[("sister", None), ("builds", Some("build")), ("tests", Some("dev"))]),
                needs("sister", &[("linked", None)])
            ]}
        });
        let metadata: Metadata = serde_json::from_value(metadata).expect("metadata");
        let checksums = HashMap::from([(("linked".to_owned(), "1.0.0".to_owned()), "abc".to_owned())]);
        let programs = resolve(&metadata, &checksums, &["program"], "0.1.0");
        let parts = &programs["program"].parts;
        assert_eq!(parts.len(), 1, "{parts:?}");
        assert_eq!((parts[0].name.as_str(), parts[0].licence.as_str()), ("linked", "MIT OR Apache-2.0"));
        assert_eq!(parts[0].sha256.as_deref(), Some("abc"));
    }
}
