//! Debian packages of a tree: from dpkg's database, with the licences of their copyright files and the hashes of the
//! lock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Component, Kind, UNKNOWN, licence};
use crate::packages::lock::Lock;

const DATABASE: &str = "var/lib/dpkg";

#[derive(Debug, thiserror::Error)]
#[error("reading {}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Every package that is installed in `tree`, by name.
///
/// # Errors
/// The database cannot be read.
pub fn components(tree: &Path, lock: &Lock) -> Result<BTreeMap<String, Component>, Error> {
    let installed = crate::tree::package_versions(tree)
        .map_err(|error| Error { path: tree.join(DATABASE), source: io::Error::other(error) })?;
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for one in lock.packages.iter().filter(|one| installed.contains_key(&one.name)) {
        let text = fs::read(tree.join("usr/share/doc").join(&one.name).join("copyright"));
        if let Ok(text) = text {
            // Debian's files are of many ages: what is not UTF-8 is in names of people.
            texts.entry(&one.source).or_insert_with(|| String::from_utf8_lossy(&text).into_owned());
        }
    }
    let component = |one: &crate::packages::lock::Locked| Component {
        kind: Kind::Debian,
        name: one.name.clone(),
        version: one.version.clone(),
        // Packages of one source have one copyright file, some of them as a link that is left out.
        licence: texts
            .get(one.source.as_str())
            .map_or_else(|| UNKNOWN.into(), |text| licence::of_copyright(text)),
        source: format!("Debian source package {} {}, {}", one.source, one.source_version, one.architecture),
        purl: format!(
            "pkg:deb/debian/{}@{}?arch={}",
            one.name,
            one.version.replace(':', "%3A").replace('+', "%2B"),
            one.architecture
        ),
        sha256: Some(one.sha256.clone()),
    };
    let here = lock.packages.iter().filter(|one| installed.contains_key(&one.name));
    Ok(here.map(|one| (one.name.clone(), component(one))).collect())
}

/// Which package each file of `tree` is from; paths as `/usr/bin/x`.
///
/// # Errors
/// The database cannot be read.
pub fn owners(tree: &Path) -> Result<BTreeMap<String, String>, Error> {
    let folder = tree.join(DATABASE).join("info");
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| Error { path, source }
    };
    let mut owners = BTreeMap::new();
    for entry in fs::read_dir(&folder).map_err(fail(&folder))? {
        let path = entry.map_err(fail(&folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".list")) else {
            continue;
        };
        let package = name.split(':').next().unwrap_or(name);
        let text = fs::read_to_string(&path).map_err(fail(&path))?;
        owners.extend(text.lines().map(|file| (merged(file), package.to_owned())));
    }
    Ok(owners)
}

/// Packages may still say `/lib` for `/usr/lib`.
fn merged(path: &str) -> String {
    let old = ["/lib/", "/lib64/", "/bin/", "/sbin/"].iter().any(|folder| path.starts_with(folder));
    if old { format!("/usr{path}") } else { path.to_owned() }
}
