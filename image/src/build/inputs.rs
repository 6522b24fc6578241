//! The programs that a release is built from, and whether they changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ashlar_host::cmd::Cmd;

use super::{Error, file};
use crate::images;
use crate::stage::{Key, cached};
use crate::system::Programs;

/// A host has no registry to get another one from.
pub(super) fn check_sandbox_image(os: &Path, versions: &BTreeMap<String, String>) -> Result<(), Error> {
    let path = os.join("root/etc/containerd/config.toml");
    let text = fs::read_to_string(&path).map_err(file(&path))?;
    let image = images::reference("pause", versions).unwrap_or_default();
    if text.contains(&format!("\"{image}\"")) { Ok(()) } else { Err(Error::Sandbox { path, image }) }
}

/// By time and size: they are hundreds of megabytes in directories that are never written to again.
pub(super) fn upstream_key(programs: &Programs) -> Result<String, Error> {
    let mut key = Key::new("");
    for (name, path) in programs {
        let about = fs::metadata(path).map_err(file(path))?;
        key = key.text(name).text(&format!("{} {} {}", about.len(), about.mtime(), about.mtime_nsec()));
    }
    Ok(key.finish())
}

pub(super) fn programs_key(mut key: Key, programs: &Programs) -> Result<Key, Error> {
    for (name, path) in programs {
        key = key.text(name).file(path)?;
    }
    Ok(key)
}

/// Without their symbols, a quarter of their size.
pub(super) async fn stripped(cache: &Path, programs: &Programs) -> Result<Programs, Error> {
    let key = programs_key(Key::new("strip"), programs)?.finish();
    let dir = cached::<Error, _, _>(cache, "programs", &key, async |dir| {
        for (name, path) in programs {
            let strip = Cmd::new("strip").arg("--strip-all").arg("-o").arg(dir.join(name)).arg(path);
            strip.run().await.map_err(|source| Error::Strip { path: path.clone(), source })?;
        }
        Ok(())
    })
    .await?;
    Ok(programs.keys().map(|name| (name.clone(), dir.join(name))).collect())
}

pub(super) fn prebuilt(dir: &Path) -> Result<Programs, Error> {
    let mut programs = Programs::new();
    for component in fs::read_dir(dir).map_err(file(dir))?.flatten().filter(|entry| entry.path().is_dir()) {
        for program in fs::read_dir(component.path()).map_err(file(dir))?.flatten() {
            programs.insert(program.file_name().to_string_lossy().into_owned(), program.path());
        }
    }
    Ok(programs)
}

pub(super) fn programs_in(dir: &Path, names: &[&str]) -> Programs {
    let there = names.iter().map(|name| ((*name).to_owned(), dir.join(name)));
    there.filter(|(_, path)| path.is_file()).collect()
}
