//! Enabling, disabling and unmasking units by their links in `/etc/systemd/system`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apply::{ApplyError, io_error};
use super::files::{self, Ids};
use super::root::Root;
use crate::units::{UNIT_DIRECTORY, UNIT_PATHS, enablement_links, parse_install, template};

/// Makes the links of the unit's `[Install]` section, and of the units that it names with `Also=`.
pub(super) fn enable(unit: &str, root: &Root, warnings: &mut Vec<String>) -> Result<(), ApplyError> {
    let mut queue = vec![unit.to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(name) = queue.pop() {
        if seen.contains(&name) {
            continue;
        }
        let Some((file, text)) = find(&name, root)? else {
            warnings.push(format!("{name} is enabled, but there is no such unit"));
            seen.push(name);
            continue;
        };
        let install = parse_install(&text);
        let links = enablement_links(&name, &file, &install);
        if links.is_empty() && install.also.is_empty() {
            warnings
                .push(format!("{name} is enabled, but has no [Install] section; enabling it has no effect"));
        }
        for (path, target) in links {
            let place = root.place(&path)?;
            files::link(&place, &target, Ids::default()).map_err(io_error("linking", &path))?;
        }
        queue.extend(install.also);
        seen.push(name);
    }
    Ok(())
}

/// The path inside the root and the text of the unit or of its template.
fn find(name: &str, root: &Root) -> Result<Option<(String, String)>, ApplyError> {
    let names = [Some(name.to_owned()), template(name).map(|(template, _)| template)];
    for name in names.into_iter().flatten() {
        for folder in UNIT_PATHS {
            let path = format!("{folder}/{name}");
            let place = root.follow(&path)?;
            if place.is_file() {
                let text = fs::read_to_string(&place).map_err(io_error("reading", &path))?;
                return Ok(Some((path, text)));
            }
        }
    }
    Ok(None)
}

/// Removes the links that enable a unit; its own file stays.
pub(super) fn disable(unit: &str, root: &Root) -> Result<(), ApplyError> {
    let base = root.follow(UNIT_DIRECTORY)?;
    for folder in folders_of_links(&base).map_err(io_error("reading", UNIT_DIRECTORY))? {
        let link = folder.join(unit);
        if link.is_symlink() {
            files::remove(&link).map_err(io_error("removing the link of", unit))?;
            // Goes when nothing else is in it, as systemctl does it.
            let _ = fs::remove_dir(&folder);
        }
    }
    Ok(())
}

fn folders_of_links(base: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let folders = entries.filter_map(Result::ok).map(|entry| entry.path());
    let wanted = |path: &PathBuf| {
        let kind = path.extension().and_then(|extension| extension.to_str());
        matches!(kind, Some("wants" | "requires" | "upholds")) && path.is_dir() && !path.is_symlink()
    };
    Ok(folders.filter(wanted).collect())
}

pub(super) fn unmask(unit: &str, root: &Root) -> Result<(), ApplyError> {
    let path = format!("{UNIT_DIRECTORY}/{unit}");
    let place = root.look(&path)?;
    if place.read_link().is_ok_and(|target| target == Path::new("/dev/null")) {
        files::remove(&place).map_err(io_error("unmasking", unit))?;
    }
    Ok(())
}
