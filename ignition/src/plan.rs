//! From a rendered configuration to the list of actions, in the order in which they are to be done.

use std::fmt;

use ashlar_model::config::Problem;

use crate::Config;
use crate::resource::read_data_url;
use crate::spec::{File, Group, NodeGroup, NodeUser, Resource, Storage, Unit, User};
use crate::units::{PRESET_FILE, UNIT_DIRECTORY, preset_line};

/// One thing to do to a root file system. All paths are absolute and inside it.
#[derive(Clone, PartialEq)]
pub enum Action {
    Group(Group),
    User(User),
    Directory { path: String, mode: Option<u32>, owner: Owner, overwrite: bool },
    File { path: String, contents: Contents, mode: Option<u32>, owner: Owner, overwrite: bool },
    Link { path: String, target: String, hard: bool, owner: Owner, overwrite: bool },
    Unmask { unit: String },
    Enable { unit: String },
    Disable { unit: String },
}

/// What a file is to contain.
#[derive(Clone, PartialEq, Eq)]
pub enum Contents {
    /// What it has; an empty file when there is none.
    Keep,
    Replace(Vec<u8>),
    /// What it has and this.
    Append(Vec<u8>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    pub user: Option<Principal>,
    pub group: Option<Principal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    Id(u32),
    Name(String),
}

/// The actions of a configuration that was validated and rendered.
///
/// # Errors
/// A problem for each part that the first boot cannot carry out: it is refused rather than left out.
pub fn plan(config: &Config) -> Result<Vec<Action>, Vec<Problem>> {
    let mut problems = unsupported(config);
    let mut actions = Vec::new();
    let passwd = config.passwd.clone().unwrap_or_default();
    actions.extend(passwd.groups.into_iter().flatten().map(Action::Group));
    actions.extend(passwd.users.into_iter().flatten().map(Action::User));
    if let Some(storage) = &config.storage {
        actions.extend(nodes(storage, &mut problems));
    }
    let units = config.systemd.iter().flat_map(|systemd| systemd.units.iter().flatten());
    actions.extend(unit_actions(&units.collect::<Vec<_>>()));
    if problems.is_empty() { Ok(actions) } else { Err(problems) }
}

fn unsupported(config: &Config) -> Vec<Problem> {
    let storage = config.storage.clone().unwrap_or_default();
    let arguments = config.kernel_arguments.clone().unwrap_or_default();
    let parts = [
        ("$.storage.disks", storage.disks.map_or(0, |list| list.len())),
        ("$.storage.raid", storage.raid.map_or(0, |list| list.len())),
        ("$.storage.luks", storage.luks.map_or(0, |list| list.len())),
        ("$.storage.filesystems", storage.filesystems.map_or(0, |list| list.len())),
        ("$.kernelArguments.shouldExist", arguments.should_exist.map_or(0, |list| list.len())),
        ("$.kernelArguments.shouldNotExist", arguments.should_not_exist.map_or(0, |list| list.len())),
    ];
    let present = parts.into_iter().filter(|(_, count)| *count > 0);
    present
        .map(|(path, count)| {
            Problem::new(path, format!("{count} entries"), "cannot be carried out at the first boot")
                .hint("remove it from the configuration")
        })
        .collect()
}

/// Directories, files and soft links with parents before what lies in them; hard links last.
fn nodes(storage: &Storage, problems: &mut Vec<Problem>) -> Vec<Action> {
    let mut sorted: Vec<(String, Action)> = Vec::new();
    let mut hard_links = Vec::new();
    for directory in storage.directories.iter().flatten() {
        let action = Action::Directory {
            path: directory.path.clone(),
            mode: mode(directory.mode),
            owner: owner(directory.user.as_ref(), directory.group.as_ref()),
            overwrite: directory.overwrite == Some(true),
        };
        sorted.push((directory.path.clone(), action));
    }
    for (index, file) in storage.files.iter().flatten().enumerate() {
        match contents(file) {
            Ok(contents) => {
                let action = Action::File {
                    path: file.path.clone(),
                    contents,
                    mode: mode(file.mode),
                    owner: owner(file.user.as_ref(), file.group.as_ref()),
                    overwrite: file.overwrite == Some(true),
                };
                sorted.push((file.path.clone(), action));
            }
            Err(rule) => {
                problems.push(Problem::new(format!("$.storage.files.{index}"), "other contents", rule));
            }
        }
    }
    for link in storage.links.iter().flatten() {
        let action = Action::Link {
            path: link.path.clone(),
            target: link.target.clone().unwrap_or_default(),
            hard: link.hard == Some(true),
            owner: owner(link.user.as_ref(), link.group.as_ref()),
            overwrite: link.overwrite == Some(true),
        };
        if link.hard == Some(true) {
            hard_links.push(action)
        } else {
            sorted.push((link.path.clone(), action))
        }
    }
    sorted.sort_by(|(left, _), (right, _)| left.split('/').cmp(right.split('/')));
    sorted.into_iter().map(|(_, action)| action).chain(hard_links).collect()
}

fn contents(file: &File) -> Result<Contents, String> {
    let bytes = |resource: &Resource| {
        let source = resource.source.as_deref().filter(|source| !source.is_empty()).unwrap_or("data:,");
        read_data_url(source).map_err(|_| "must have been rendered: its contents as a data URL".to_owned())
    };
    let replace =
        file.contents.as_ref().filter(|resource| resource.source.is_some()).map(bytes).transpose()?;
    let mut appended = Vec::new();
    for resource in file.append.iter().flatten() {
        appended.extend(bytes(resource)?);
    }
    Ok(match replace {
        Some(start) => Contents::Replace([start, appended].concat()),
        None if appended.is_empty() => Contents::Keep,
        None => Contents::Append(appended),
    })
}

fn mode(mode: Option<i64>) -> Option<u32> {
    // Specs up to 3.5 have no special bits; they are ignored, as in the reference.
    mode.and_then(|mode| u32::try_from(mode).ok()).map(|mode| mode & 0o777)
}

fn owner(user: Option<&NodeUser>, group: Option<&NodeGroup>) -> Owner {
    Owner {
        user: user.and_then(|user| principal(user.id, user.name.as_ref())),
        group: group.and_then(|group| principal(group.id, group.name.as_ref())),
    }
}

fn principal(id: Option<i64>, name: Option<&String>) -> Option<Principal> {
    let id = id.and_then(|id| u32::try_from(id).ok()).map(Principal::Id);
    id.or_else(|| name.filter(|name| !name.is_empty()).cloned().map(Principal::Name))
}

fn unit_actions(units: &[&Unit]) -> Vec<Action> {
    let mut actions = Vec::new();
    for unit in units {
        let path = format!("{UNIT_DIRECTORY}/{}", unit.name);
        if unit.mask == Some(false) {
            actions.push(Action::Unmask { unit: unit.name.clone() });
        }
        if unit.mask == Some(true) {
            let target = "/dev/null".to_owned();
            actions.push(Action::Link {
                path,
                target,
                hard: false,
                owner: Owner::default(),
                overwrite: true,
            });
        } else if let Some(text) = unit.contents.as_deref().filter(|text| !text.is_empty()) {
            actions.push(unit_file(path, text));
        }
        for dropin in unit.dropins.iter().flatten() {
            if let Some(text) = dropin.contents.as_deref().filter(|text| !text.is_empty()) {
                actions.push(unit_file(format!("{UNIT_DIRECTORY}/{}.d/{}", unit.name, dropin.name), text));
            }
        }
    }
    let decided = || units.iter().filter_map(|unit| Some((unit, unit.enabled?)));
    let preset: String = decided().map(|(unit, on)| preset_line(&unit.name, on) + "\n").collect();
    if !preset.is_empty() {
        actions.push(unit_file(PRESET_FILE.to_owned(), &preset));
    }
    actions.extend(decided().map(|(unit, enabled)| match (enabled, unit.name.clone()) {
        (true, unit) => Action::Enable { unit },
        (false, unit) => Action::Disable { unit },
    }));
    actions
}

fn unit_file(path: String, text: &str) -> Action {
    let contents = Contents::Replace(text.as_bytes().to_vec());
    Action::File { path, contents, mode: Some(0o644), owner: Owner::default(), overwrite: true }
}

/// What is done, in one line; never what is secret.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Group(group) if group.should_exist == Some(false) => {
                write!(f, "remove group {}", group.name)
            }
            Action::Group(group) => write!(f, "group {}", group.name),
            Action::User(user) if user.should_exist == Some(false) => write!(f, "remove user {}", user.name),
            Action::User(user) => write!(f, "user {}", user.name),
            Action::Directory { path, .. } => write!(f, "directory {path}"),
            Action::File { path, contents, .. } => match contents {
                Contents::Keep => write!(f, "file {path}"),
                Contents::Replace(bytes) => write!(f, "file {path} ({} bytes)", bytes.len()),
                Contents::Append(bytes) => write!(f, "append {} bytes to {path}", bytes.len()),
            },
            Action::Link { path, target, hard: false, .. } => write!(f, "link {path} -> {target}"),
            Action::Link { path, target, .. } => write!(f, "hard link {path} = {target}"),
            Action::Unmask { unit } => write!(f, "unmask {unit}"),
            Action::Enable { unit } => write!(f, "enable {unit}"),
            Action::Disable { unit } => write!(f, "disable {unit}"),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(mut value: Value) -> Config {
        value["ignition"]["version"] = "3.5.0".into();
        crate::parse_value(value).expect("a configuration").config
    }

    #[test]
    fn accounts_come_first_parents_before_children_and_hard_links_last() {
        let config = config(json!({
            "passwd": {"users": [{"name": "core"}], "groups": [{"name": "ops"}]},
            "storage": {
                "links": [{"path": "/etc/a", "target": "/etc/d/f", "hard": true}, {"path": "/etc/d/l", "target": "f"}],
                "files": [{"path": "/etc/d/f", "contents": {"source": "data:,a"}, "append": [{"source": "data:,b"}]}],
                "directories": [{"path": "/etc/d"}]},
            "systemd": {"units": [
                {"name": "a.service", "enabled": true, "contents": "[Unit]", "dropins": [{"name": "1.conf", "contents": "[Unit]"}]},
                {"name": "b.service", "mask": true}, {"name": "c.service", "enabled": false}]}}));
        let lines: Vec<String> = plan(&config).expect("possible").iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "group ops",
                "user core",
                "directory /etc/d",
                "file /etc/d/f (2 bytes)",
                "link /etc/d/l -> f",
                "hard link /etc/a = /etc/d/f",
                "file /etc/systemd/system/a.service (6 bytes)",
                "file /etc/systemd/system/a.service.d/1.conf (6 bytes)",
                "link /etc/systemd/system/b.service -> /dev/null",
                "file /etc/systemd/system-preset/20-ignition.preset (35 bytes)",
                "enable a.service",
                "disable c.service",
            ]
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let config = config(json!({"storage": {"disks": [{"device": "/dev/sda"}],
            "files": [{"path": "/a", "contents": {"source": "https://a/b"}}]},
            "kernelArguments": {"shouldExist": ["quiet"]}}));
        let paths: Vec<String> = plan(&config).unwrap_err().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["$.storage.disks", "$.kernelArguments.shouldExist", "$.storage.files.0"]);
    }
}
