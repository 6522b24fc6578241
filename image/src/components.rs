//! Compiles the upstream components under `layers/` from their Go modules and keeps the results in a cache.
//!
//! A component is a folder with `component.toml`, `go.mod` and `go.sum`; nothing about one component is
//! written here. To add one, add a folder. Another version of one is a folder of the same kind inside its own
//! (`kubernetes/1.36/`): what it makes takes the place of what the default version makes. Nothing here decides where
//! a binary ends up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::cmd::{self, Cmd};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The API server takes minutes on two cores; a whole hour means that something hangs.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);
/// Marks a cache folder that holds every binary of its component.
pub const STAMP: &str = ".finished";

/// `component.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub name: String,
    pub version: String,
    pub binaries: Vec<Binary>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    ldflags: Vec<String>,
    #[serde(default)]
    cgo: bool,
    #[serde(default)]
    c_programs: Vec<CProgram>,
    /// Modules that the checksum database does not know; `go.sum` still pins them.
    #[serde(default)]
    no_checksum_database: Vec<String>,
    #[serde(skip)]
    dir: PathBuf,
}

/// A Go main package and the file name of what it becomes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    pub package: String,
    pub output: String,
}

/// One C file inside a Go module, compiled without the rest of its build system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CProgram {
    module: String,
    source: String,
    output: String,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("understanding {}", path.display())]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("no component.toml under {}", dir.display())]
    NoComponents { dir: PathBuf },
    #[error("there is no {component} {version} under {}\nhint: there is {}", dir.display(), known.join(", "))]
    NoVersion { component: String, version: String, dir: PathBuf, known: Vec<String> },
    #[error("components {first} and {second} both make `{output}`")]
    SameOutput { output: String, first: String, second: String },
    #[error("asking the Go toolchain for its version")]
    Toolchain { source: cmd::Error },
    #[error("finding module {module} of component {component}")]
    Module { component: String, module: String, source: cmd::Error },
    #[error("compiling {output} of component {component}")]
    Compile { component: String, output: String, source: cmd::Error },
    #[error("keeping the binaries of component {component} in {}", path.display())]
    Keep { component: String, path: PathBuf, source: io::Error },
}

/// Compiles what is not in the cache yet. Returns every binary by its output name.
///
/// `report` gets one line when a binary starts and one when it is done.
///
/// # Errors
/// A component cannot be read, two make the same file, or a compiler fails.
pub async fn build(
    layers: &Layers,
    cache_dir: &Path,
    report: &dyn Fn(&str),
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let components = layers.components()?;
    let toolchain = go_version().await?;
    let mut found = BTreeMap::new();
    for component in &components {
        let dir = cache_dir.join("components").join(component.cache_name(&toolchain)?);
        if !dir.join(STAMP).exists() {
            component.build_into(&dir, report).await?;
        }
        found.extend(component.outputs().map(|output| (output.to_owned(), dir.join(output))));
    }
    Ok(found)
}

/// The version of every component, by its name.
///
/// # Errors
/// A component cannot be read.
pub fn versions(layers: &Layers) -> Result<BTreeMap<String, String>, Error> {
    Ok(layers.components()?.into_iter().map(|component| (component.name, component.version)).collect())
}

/// The components of a release: the default version of each, and another of those that `chosen` names.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub dir: PathBuf,
    /// Version (`1.36.4`) by component.
    pub chosen: BTreeMap<String, String>,
}

impl Layers {
    /// All defaults in the order of their paths, then what takes the place of some.
    fn components(&self) -> Result<Vec<Component>, Error> {
        let mut components = read_all(&self.dir)?;
        check_outputs(&components)?;
        for (name, version) in &self.chosen {
            components.extend(self.other(&components, name, version)?);
        }
        Ok(components)
    }

    /// Nothing when the default has this version.
    fn other(&self, defaults: &[Component], name: &str, version: &str) -> Result<Option<Component>, Error> {
        let is = |component: &Component| component.version.trim_start_matches('v') == version;
        let default = defaults.iter().find(|component| component.name == name);
        if default.is_some_and(is) {
            return Ok(None);
        }
        let dir = default.map_or(&self.dir, |component| &component.dir).clone();
        let mut known: Vec<String> = default.iter().map(|component| component.version.clone()).collect();
        for folder in folders(&dir)? {
            if folder.join("component.toml").exists() && default.is_some() {
                let component = Component::read(folder)?;
                if component.name == name && is(&component) {
                    return Ok(Some(component));
                }
                known.push(component.version);
            }
        }
        Err(Error::NoVersion { component: name.to_owned(), version: version.to_owned(), dir, known })
    }
}

/// Name and version of the component that makes each program.
///
/// # Errors
/// A component cannot be read.
pub fn makers(layers: &Layers) -> Result<BTreeMap<String, (String, String)>, Error> {
    let mut makers = BTreeMap::new();
    for component in layers.components()? {
        for output in component.outputs() {
            makers.insert(output.to_owned(), (component.name.clone(), component.version.clone()));
        }
    }
    Ok(makers)
}

/// Every component under `layers_dir` (`<layer>/<component>/component.toml`), in the order of their paths.
///
/// # Errors
/// A folder or file cannot be read, a file is not a component, or there is none.
pub fn read_all(layers_dir: &Path) -> Result<Vec<Component>, Error> {
    let mut components = Vec::new();
    for layer in folders(layers_dir)? {
        for dir in folders(&layer)? {
            if dir.join("component.toml").exists() {
                components.push(Component::read(dir)?);
            }
        }
    }
    if components.is_empty() {
        return Err(Error::NoComponents { dir: layers_dir.to_owned() });
    }
    Ok(components)
}

impl Component {
    fn read(dir: PathBuf) -> Result<Self, Error> {
        let path = dir.join("component.toml");
        let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let component: Self = toml::from_str(&text).map_err(|source| Error::Parse { path, source })?;
        Ok(Self { dir, ..component })
    }

    fn outputs(&self) -> impl Iterator<Item = &str> {
        let go = self.binaries.iter().map(|binary| binary.output.as_str());
        go.chain(self.c_programs.iter().map(|program| program.output.as_str()))
    }

    /// Changes whenever anything that goes into the binaries does.
    fn cache_name(&self, toolchain: &str) -> Result<String, Error> {
        let mut hash = Sha256::new();
        for name in ["component.toml", "go.mod", "go.sum"] {
            let path = self.dir.join(name);
            let bytes = fs::read(&path).map_err(|source| Error::Read { path, source })?;
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.update(toolchain);
        let key = hex::encode(hash.finalize());
        Ok(format!("{}-{}-{}", self.name, self.version, &key[..16]))
    }

    /// Compiles into a folder beside `dir` and renames it, so that `dir` is whole or absent.
    async fn build_into(&self, dir: &Path, report: &dyn Fn(&str)) -> Result<(), Error> {
        let keep = |source| Error::Keep { component: self.name.clone(), path: dir.to_owned(), source };
        let parent = dir.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(keep)?;
        let work = tempfile::Builder::new().prefix(".building-").tempdir_in(parent).map_err(keep)?;
        let total = self.outputs().count();
        for (index, binary) in self.binaries.iter().enumerate() {
            let step = Step { component: self, output: &binary.output, number: index + 1, total };
            step.run(self.go_build(binary, work.path()), report).await?;
        }
        for (index, program) in self.c_programs.iter().enumerate() {
            let number = self.binaries.len() + index + 1;
            let step = Step { component: self, output: &program.output, number, total };
            step.run(self.gcc(program, work.path()).await?, report).await?;
        }
        fs::write(work.path().join(STAMP), &self.version).map_err(keep)?;
        replace(work, dir).map_err(keep)
    }

    fn go_build(&self, binary: &Binary, out: &Path) -> Cmd {
        self.go(&go_build_args(self, binary, out)).timeout(BUILD_TIMEOUT)
    }

    fn go(&self, args: &[OsString]) -> Cmd {
        let command = Cmd::new("go")
            .args(args)
            .dir(&self.dir)
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env("CGO_ENABLED", if self.cgo { "1" } else { "0" });
        if self.no_checksum_database.is_empty() {
            return command;
        }
        command.env("GONOSUMDB", self.no_checksum_database.join(","))
    }

    async fn gcc(&self, program: &CProgram, out: &Path) -> Result<Cmd, Error> {
        let folder = self.module_dir(&program.module).await?;
        Ok(Cmd::new("gcc")
            .args(&program.flags)
            .arg("-o")
            .arg(out.join(&program.output))
            .arg(Path::new(&folder).join(&program.source))
            .timeout(BUILD_TIMEOUT))
    }

    /// Where the unpacked module lies. `go mod download` first: `go list` alone may not have fetched it.
    async fn module_dir(&self, module: &str) -> Result<String, Error> {
        let failed =
            |source| Error::Module { component: self.name.clone(), module: module.to_owned(), source };
        let download = ["mod", "download", module].map(OsString::from);
        self.go(&download).timeout(BUILD_TIMEOUT).run().await.map_err(failed)?;
        let list = ["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module].map(OsString::from);
        let output = self.go(&list).timeout(BUILD_TIMEOUT).run().await.map_err(failed)?;
        Ok(output.stdout.trim().to_owned())
    }
}

/// One compiler run, for its progress lines and its error.
struct Step<'a> {
    component: &'a Component,
    output: &'a str,
    number: usize,
    total: usize,
}

impl Step<'_> {
    async fn run(&self, command: Cmd, report: &dyn Fn(&str)) -> Result<(), Error> {
        let Self { component, output, number, total } = self;
        let title = format!("{} {}: {output} ({number} of {total})", component.name, component.version);
        report(&format!("{title}: compiling"));
        let start = Instant::now();
        command.run().await.map_err(|source| Error::Compile {
            component: component.name.clone(),
            output: (*output).to_owned(),
            source,
        })?;
        report(&format!("{title}: done in {} s", start.elapsed().as_secs()));
        Ok(())
    }
}

fn go_build_args(component: &Component, binary: &Binary, out: &Path) -> Vec<OsString> {
    let ldflags = ["-s", "-w"].into_iter().chain(component.ldflags.iter().map(String::as_str));
    let ldflags = ldflags.collect::<Vec<_>>().join(" ");
    let mut args: Vec<OsString> =
        ["build", "-mod=readonly", "-trimpath", "-buildvcs=false"].map(OsString::from).into();
    if !component.tags.is_empty() {
        args.extend(["-tags".into(), component.tags.join(",").into()]);
    }
    args.extend(["-ldflags".into(), ldflags.into()]);
    args.extend(["-o".into(), out.join(&binary.output).into_os_string(), binary.package.as_str().into()]);
    args
}

async fn go_version() -> Result<String, Error> {
    let output = Cmd::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").run().await;
    Ok(output.map_err(|source| Error::Toolchain { source })?.stdout.trim().to_owned())
}

/// Renames the finished folder. Another run may have been faster; what it made is the same.
fn replace(work: tempfile::TempDir, dir: &Path) -> io::Result<()> {
    if dir.join(STAMP).exists() {
        return Ok(());
    }
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::rename(work.path(), dir)?;
    // The folder has moved: there is nothing left to clean up under the old name.
    let _ = work.keep();
    Ok(())
}

fn check_outputs(components: &[Component]) -> Result<(), Error> {
    let mut makers = BTreeMap::new();
    for component in components {
        for output in component.outputs() {
            if let Some(first) = makers.insert(output, &component.name) {
                return Err(Error::SameOutput {
                    output: output.to_owned(),
                    first: first.clone(),
                    second: component.name.clone(),
                });
            }
        }
    }
    Ok(())
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
