//! From a rendered configuration to the list of actions, in the order in which they are to be done.

use std::fmt;

use ashlar_model::config::Problem;

use crate::Config;
use crate::resource::{Settings, Source, shown};
use crate::spec::{File, Group, NodeGroup, NodeUser, Resource, Storage, Unit, User};
use crate::units::{UNIT_DIRECTORY, preset_lines};

/// One thing to do to a root file system. All paths are absolute and inside it.
#[derive(Clone, PartialEq)]
pub enum Action {
    Group(Group),
    User(User),
    Directory {
        path: String,
        mode: Option<u32>,
        owner: Owner,
        overwrite: bool,
    },
    File {
        path: String,
        contents: Contents,
        mode: Option<u32>,
        owner: Owner,
        overwrite: bool,
    },
    Link {
        path: String,
        target: String,
        hard: bool,
        owner: Owner,
        overwrite: bool,
    },
    /// Lines that the preset file must have.
    Preset {
        lines: Vec<String>,
    },
    Unmask {
        unit: String,
    },
    Enable {
        unit: String,
    },
    Disable {
        unit: String,
    },
}

/// What a file is to contain.
#[derive(Clone, PartialEq, Eq)]
pub enum Contents {
    /// What it has; an empty file when there is none.
    Keep,
    Replace(Vec<Source>),
    /// What it has and this.
    Append(Vec<Source>),
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

/// The actions of the files stage, of a configuration that was validated and rendered.
///
/// # Errors
/// A problem for each file whose contents are given in the configuration and are wrong.
pub fn plan(config: &Config, settings: &Settings) -> Result<Vec<Action>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut actions = Vec::new();
    let passwd = config.passwd.clone().unwrap_or_default();
    actions.extend(passwd.groups.into_iter().flatten().map(Action::Group));
    actions.extend(passwd.users.into_iter().flatten().map(Action::User));
    if let Some(storage) = &config.storage {
        actions.extend(nodes(storage, settings, &mut problems));
    }
    let units = config.systemd.iter().flat_map(|systemd| systemd.units.iter().flatten());
    actions.extend(unit_actions(&units.collect::<Vec<_>>()));
    if problems.is_empty() { Ok(actions) } else { Err(problems) }
}

/// Directories, files and soft links with parents before what lies in them; hard links last.
fn nodes(storage: &Storage, settings: &Settings, problems: &mut Vec<Problem>) -> Vec<Action> {
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
        match contents(file, &format!("$.storage.files.{index}"), settings) {
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
            Err(problem) => problems.push(problem),
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

fn contents(file: &File, place: &str, settings: &Settings) -> Result<Contents, Problem> {
    let source = |resource: &Resource, member: &str| {
        Source::of(resource, settings).map_err(|error| {
            let found = shown(resource.source.as_deref().unwrap_or(""));
            Problem::new(
                format!("{place}.{member}"),
                found,
                format!("must be what it is said to be: {error}"),
            )
        })
    };
    let start = file.contents.as_ref().filter(|resource| resource.source.is_some());
    let start = start.map(|resource| source(resource, "contents")).transpose()?;
    let more = file.append.iter().flatten().enumerate();
    let more = more.map(|(index, resource)| source(resource, &format!("append.{index}")));
    let more = more.collect::<Result<Vec<_>, _>>()?;
    Ok(match start {
        Some(start) => Contents::Replace([start].into_iter().chain(more).collect()),
        None if more.is_empty() => Contents::Keep,
        None => Contents::Append(more),
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
            if let Some(text) = dropin.contents.as_deref() {
                actions.push(unit_file(format!("{UNIT_DIRECTORY}/{}.d/{}", unit.name, dropin.name), text));
            }
        }
    }
    let decided = || units.iter().filter_map(|unit| Some((unit, unit.enabled?)));
    let lines = preset_lines(decided().map(|(unit, enabled)| (unit.name.as_str(), enabled)));
    if !lines.is_empty() {
        actions.push(Action::Preset { lines });
    }
    actions.extend(decided().map(|(unit, enabled)| match (enabled, unit.name.clone()) {
        (true, unit) => Action::Enable { unit },
        (false, unit) => Action::Disable { unit },
    }));
    actions
}

fn unit_file(path: String, text: &str) -> Action {
    let contents = Contents::Replace(vec![Source::Bytes(text.as_bytes().to_vec())]);
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
                Contents::Replace(sources) => write!(f, "file {path} ({})", amount(sources)),
                Contents::Append(sources) => write!(f, "append {} to {path}", amount(sources)),
            },
            Action::Preset { lines } => write!(f, "preset {}", lines.join(", ")),
            Action::Link { path, target, hard: false, .. } => write!(f, "link {path} -> {target}"),
            Action::Link { path, target, .. } => write!(f, "hard link {path} = {target}"),
            Action::Unmask { unit } => write!(f, "unmask {unit}"),
            Action::Enable { unit } => write!(f, "enable {unit}"),
            Action::Disable { unit } => write!(f, "disable {unit}"),
        }
    }
}

/// `12 bytes`, `12 bytes and https://host/path`.
fn amount(sources: &[Source]) -> String {
    let bytes: usize =
        sources.iter().map(|source| if let Source::Bytes(bytes) = source { bytes.len() } else { 0 }).sum();
    let urls = sources.iter().filter_map(|source| match source {
        Source::Remote { request, .. } => Some(shown(&request.url)),
        Source::Bytes(_) => None,
    });
    let urls: Vec<String> = urls.collect();
    match (bytes, urls.is_empty()) {
        (bytes, true) => format!("{bytes} bytes"),
        (0, false) => urls.join(" and "),
        (bytes, false) => format!("{bytes} bytes and {}", urls.join(" and ")),
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
