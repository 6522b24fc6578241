//! Go modules that are linked into the upstream programs: what the programs say of themselves, with the licences that
//! lie in the modules' sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};

use super::{Component, Kind, Program, UNKNOWN, licence};
use crate::components;

/// Beside a component's programs: the licences of its modules, found once.
const FOUND: &str = "licences.json";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("asking the Go toolchain what is in {}", path.display())]
    Ask { path: PathBuf, source: cmd::Error },
    #[error("asking the Go toolchain where it keeps modules")]
    Cache(#[source] cmd::Error),
    #[error("fetching the sources of modules whose licences are listed")]
    Fetch(#[source] cmd::Error),
    #[error("keeping the licences in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

/// A module as a program names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Module {
    path: String,
    version: String,
}

/// What upstream programs are, by name: each with the version of its component and its modules. `made` leads
/// from a program to its component's name and version; one that was not compiled here has `UNKNOWN` licences.
///
/// # Errors
/// The Go toolchain is not there, or a module's source cannot be fetched.
pub async fn programs(
    files: &BTreeMap<String, PathBuf>,
    made: &BTreeMap<String, (String, String)>,
) -> Result<BTreeMap<String, Program>, Error> {
    let mut linked = BTreeMap::new();
    for (name, path) in files {
        linked.insert(name.clone(), modules(path).await?);
    }
    let licences = licences(files, made, &linked).await?;
    let mut programs = BTreeMap::new();
    for (name, modules) in linked {
        let unknown = (name.clone(), "0".to_owned());
        let (component, version) = made.get(&name).unwrap_or(&unknown);
        let licence_of =
            |module: &Module| licences.get(&key(module)).cloned().unwrap_or_else(|| UNKNOWN.into());
        // The first one is what the program itself is from.
        let licence = modules.first().map_or_else(|| UNKNOWN.into(), licence_of);
        let own = Component {
            kind: Kind::Program,
            licence,
            source: format!("{component} {version}"),
            purl: format!("pkg:generic/{component}/{name}@{version}"),
            sha256: None,
            version: version.clone(),
            name: name.clone(),
        };
        let parts: BTreeSet<Component> = modules.iter().map(|one| part(one, licence_of(one))).collect();
        programs.insert(name, Program { component: own, parts: parts.into_iter().collect() });
    }
    Ok(programs)
}

fn part(module: &Module, licence: String) -> Component {
    Component {
        kind: Kind::GoModule,
        name: module.path.clone(),
        version: module.version.clone(),
        licence,
        source: String::new(),
        purl: format!("pkg:golang/{}@{}", module.path, module.version.replace('+', "%2B")),
        sha256: None,
    }
}

async fn modules(path: &Path) -> Result<Vec<Module>, Error> {
    let said = Cmd::new("go").args(["version", "-m"]).arg(path).env("GOTOOLCHAIN", "local").run().await;
    match said {
        Ok(said) => Ok(parse(&said.stdout)),
        // A C program.
        Err(cmd::Error::Failed { stderr, .. }) if stderr.contains("not a Go executable") => Ok(Vec::new()),
        Err(source) => Err(Error::Ask { path: path.to_owned(), source }),
    }
}

/// `mod` and `dep` lines; `=>` replaces the one before it.
fn parse(said: &str) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (kind, path, version) = match words.as_slice() {
            [kind @ ("mod" | "dep" | "=>"), path, version, ..] => (*kind, *path, *version),
            _ => continue,
        };
        if kind == "=>" {
            modules.pop();
        }
        if version != "(devel)" {
            modules.push(Module { path: path.into(), version: version.into() });
        }
    }
    modules
}

/// By `path@version`, of components that were compiled here; looked for once.
async fn licences(
    files: &BTreeMap<String, PathBuf>,
    made: &BTreeMap<String, (String, String)>,
    linked: &BTreeMap<String, Vec<Module>>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut folders: BTreeMap<&Path, BTreeSet<&Module>> = BTreeMap::new();
    let compiled = |path: &Path| path.with_file_name(components::STAMP).exists();
    for (name, path) in files.iter().filter(|(name, path)| made.contains_key(*name) && compiled(path)) {
        let modules = linked.get(name).into_iter().flatten();
        folders.entry(path.parent().unwrap_or(path)).or_default().extend(modules);
    }
    let mut all = BTreeMap::new();
    for (folder, modules) in folders {
        let kept = folder.join(FOUND);
        let known: BTreeMap<String, String> =
            fs::read(&kept).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        if modules.iter().all(|module| known.contains_key(&key(module))) {
            all.extend(known);
            continue;
        }
        let found = find(&modules).await?;
        let keep = |source| Error::Keep { path: kept.clone(), source };
        let text = serde_json::to_vec_pretty(&found).map_err(io::Error::from).map_err(keep)?;
        let temporary = tempfile::NamedTempFile::new_in(folder).map_err(keep)?;
        fs::write(temporary.path(), text).map_err(keep)?;
        temporary.persist(&kept).map_err(|error| keep(error.error))?;
        all.extend(found);
    }
    Ok(all)
}

async fn find(modules: &BTreeSet<&Module>) -> Result<BTreeMap<String, String>, Error> {
    let asked = Cmd::new("go").args(["env", "GOMODCACHE"]).env("GOTOOLCHAIN", "local").run().await;
    let cache = PathBuf::from(asked.map_err(Error::Cache)?.stdout.trim());
    let place =
        |module: &Module| cache.join(format!("{}@{}", escaped(&module.path), escaped(&module.version)));
    let missing: Vec<String> =
        modules.iter().filter(|module| !place(module).is_dir()).map(|module| key(module)).collect();
    if !missing.is_empty() {
        let nowhere = tempfile::tempdir().map_err(|source| Error::Keep { path: cache.clone(), source })?;
        let fetch = Cmd::new("go").args(["mod", "download"]).args(missing).dir(nowhere.path());
        let fetch = fetch.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod").env("GOWORK", "off");
        fetch.timeout(Duration::from_secs(900)).run().await.map_err(Error::Fetch)?;
    }
    Ok(modules.iter().map(|module| (key(module), in_source(&place(module)))).collect())
}

/// The licences whose texts lie at the top of a module's source.
fn in_source(dir: &Path) -> String {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_licence = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        ["LICENSE", "LICENCE", "COPYING"].iter().any(|start| name.starts_with(start)) && path.is_file()
    };
    let texts = names.filter(is_licence).filter_map(|path| fs::read_to_string(path).ok());
    let found: BTreeSet<String> = texts.filter_map(|text| licence::of_text(&text)).collect();
    if found.is_empty() { UNKNOWN.into() } else { found.into_iter().collect::<Vec<_>>().join(" AND ") }
}

fn key(module: &Module) -> String {
    format!("{}@{}", module.path, module.version)
}

/// The module cache writes a capital as `!` and the small letter.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(letter.to_ascii_lowercase());
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_of_itself_is_read_with_replacements() {
        let said = "/x: go1.26\n\tpath\tk8s.io/x/cmd\n\tmod\tk8s.io/x\tv1.2.3\th1:a=\n\
                    \tdep\tgithub.com/NYTimes/gziphandler\tv1.1.1\th1:b=\n\tdep\told.io/a\tv1.0.0\n\
                    \t=>\tnew.io/a\tv1.0.1\th1:c=\n\tbuild\t-trimpath=true\n";
        let all: Vec<_> = parse(said).iter().map(key).collect();
        assert_eq!(all, ["k8s.io/x@v1.2.3", "github.com/NYTimes/gziphandler@v1.1.1", "new.io/a@v1.0.1"]);
        assert_eq!(escaped("github.com/NYTimes/gz"), "github.com/!n!y!times/gz");
        assert!(parse("\tmod\tashlar\t(devel)\n").is_empty());
    }

    #[test]
    fn the_licence_of_a_source_is_that_of_its_text() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(in_source(dir.path()), UNKNOWN);
        fs::write(dir.path().join("LICENSE.txt"), include_str!("../../../LICENSE")).expect("write");
        assert_eq!(in_source(dir.path()), "Apache-2.0");
    }
}
