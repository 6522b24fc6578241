//! Control groups of processes that we start: the v1 hierarchies and v2, whichever this machine has mounted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("making the control group {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("writing `{value}` to {}", path.display())]
    Write { path: PathBuf, value: String, source: io::Error },
    #[error("removing the control group {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// One directory of a group: the same group has one in every mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// `cpu`, `devices`, …; `name=systemd`; empty for v2.
    pub controller: String,
    pub path: PathBuf,
}

/// Makes the group `name` in every hierarchy, empty of groups of an earlier life: below our own group; where there
/// is v2 alone, below the root, because only there controllers and processes can be in one place.
///
/// # Errors
/// A directory cannot be made or cleaned.
pub fn make(name: &str) -> Result<Vec<Directory>, Error> {
    let mut group = Vec::new();
    for parent in parents()? {
        let path = parent.path.join(name);
        remove_children(&path)?;
        fs::create_dir_all(&path).map_err(|source| Error::Make { path: path.clone(), source })?;
        if parent.controller.split(',').any(|controller| controller == "cpuset") {
            copy(&parent.path, &path, "cpuset.cpus")?;
            copy(&parent.path, &path, "cpuset.mems")?;
        }
        group.push(Directory { controller: parent.controller, path });
    }
    Ok(group)
}

/// Directories of the groups whose name starts with `prefix`, wherever they are.
#[must_use]
pub fn find(prefix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    search(Path::new(ROOT), prefix, &mut found);
    found
}

/// Process ids in a group and in the groups below it.
#[must_use]
pub fn members(group: &Path) -> Vec<u32> {
    let mut pids: Vec<u32> = fs::read_to_string(group.join("cgroup.procs"))
        .map(|text| text.lines().filter_map(|pid| pid.parse().ok()).collect())
        .unwrap_or_default();
    for child in children(group) {
        pids.extend(members(&child));
    }
    pids
}

/// Removes a group and the groups below it; their processes must have ended.
///
/// # Errors
/// A process is still in it.
pub fn remove(group: &Path) -> Result<(), Error> {
    remove_children(group)?;
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| Error::Remove { path: group.to_owned(), source }),
    }
}

/// Writes one value to a file of a group.
///
/// # Errors
/// The kernel refuses it.
pub fn write(group: &Path, file: &str, value: &str) -> Result<(), Error> {
    let path = group.join(file);
    fs::write(&path, value).map_err(|source| Error::Write { path, value: value.to_owned(), source })
}

/// There are no v1 controllers beside v2.
#[must_use]
pub fn is_v2_alone() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn parents() -> Result<Vec<Directory>, Error> {
    if is_v2_alone() {
        let root = Path::new(ROOT);
        let path = root.join("cgroup.controllers");
        let controllers = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        for controller in controllers.split_whitespace() {
            write(root, "cgroup.subtree_control", &format!("+{controller}"))?;
        }
        return Ok(vec![Directory { controller: String::new(), path: root.to_owned() }]);
    }
    let own = Path::new("/proc/self/cgroup");
    let table = fs::read_to_string(own).map_err(|source| Error::Read { path: own.to_owned(), source })?;
    Ok(parse(&table))
}

fn remove_children(group: &Path) -> Result<(), Error> {
    children(group).iter().try_for_each(|child| remove(child))
}

fn children(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn search(directory: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
    for child in children(directory) {
        let name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            found.push(child);
        } else {
            search(&child, prefix, found);
        }
    }
}

fn copy(parent: &Path, child: &Path, file: &str) -> Result<(), Error> {
    let path = parent.join(file);
    let value = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    write(child, file, value.trim())
}

/// Our own group in every hierarchy, from `/proc/self/cgroup`.
fn parse(table: &str) -> Vec<Directory> {
    table.lines().filter_map(parse_line).filter(|group| group.path.is_dir()).collect()
}

fn parse_line(line: &str) -> Option<Directory> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controller, group) = (fields.next()?, fields.next()?);
    let hierarchy = match controller {
        "" if Path::new(ROOT).join("unified").is_dir() => "unified",
        "" => "",
        "name=systemd" => "systemd",
        other => other,
    };
    let path = Path::new(ROOT).join(hierarchy).join(group.trim_start_matches('/'));
    Some(Directory { controller: controller.to_owned(), path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_hierarchy_and_group() {
        let group = parse_line("4:memory:/a/b").expect("three fields");
        assert_eq!(group.controller, "memory");
        assert_eq!(group.path, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(parse_line("9:name=systemd:/").expect("valid").path, Path::new("/sys/fs/cgroup/systemd/"));
    }
}
