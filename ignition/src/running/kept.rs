//! What a configuration keeps on a node.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::merge::to_value;
use crate::plan::{Action, Contents, Owner, Principal, plan};
use crate::resource::{Settings, Source};
use crate::spec::KernelArguments;
use crate::units::{UNIT_DIRECTORY, template};
use crate::{Config, Problem};

/// User and group, as they are named or numbered; root's when they are not.
pub type Principals = Owner;

/// Something at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    File { contents: Vec<u8>, mode: u32, owner: Principals },
    Directory { mode: u32, owner: Principals },
    Link { target: String },
}

/// What a configuration says of a unit besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    pub enabled: Option<bool>,
}

/// What a configuration keeps on a node that runs.
#[derive(Clone, Default)]
pub struct Kept {
    pub entries: BTreeMap<String, Entry>,
    pub units: BTreeMap<String, UnitState>,
    pub kernel_arguments: KernelArguments,
    /// SSH keys by user.
    pub keys: BTreeMap<String, Vec<String>>,
    /// What only an install can make: by member of the configuration.
    pub(super) fixed: BTreeMap<&'static str, Value>,
}

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

impl Kept {
    /// # Errors
    /// What cannot be kept up to date on a running node, by its path in the configuration.
    pub fn of(config: &Config) -> Result<Self, Vec<Problem>> {
        let actions = plan(config, &Settings::default())?;
        let mut kept = Self { fixed: fixed(config), ..Self::default() };
        let mut problems = Vec::new();
        for action in actions {
            if let Err(problem) = kept.take(action) {
                problems.push(problem);
            }
        }
        kept.kernel_arguments = config.kernel_arguments.clone().unwrap_or_default();
        for user in config.passwd.iter().flat_map(|passwd| passwd.users.iter().flatten()) {
            let keys = user.ssh_authorized_keys.clone().unwrap_or_default();
            kept.keys.insert(user.name.clone(), keys.iter().map(ToString::to_string).collect());
        }
        if problems.is_empty() { Ok(kept) } else { Err(problems) }
    }

    fn take(&mut self, action: Action) -> Result<(), Problem> {
        match action {
            Action::File { path, contents: Contents::Replace(sources), mode, owner, .. } => {
                let contents = bytes(&path, sources)?;
                let entry = Entry::File { contents, mode: mode.unwrap_or(FILE_MODE), owner };
                self.entries.insert(path, entry);
            }
            Action::File { path, contents: Contents::Append(_), .. } => {
                return Err(refused(
                    &path,
                    "append",
                    "must give all contents: what a file had before is not known",
                ));
            }
            // Nothing is said of its contents.
            Action::File { .. } => {}
            Action::Directory { path, mode, owner, .. } => {
                let entry = Entry::Directory { mode: mode.unwrap_or(DIRECTORY_MODE), owner };
                self.entries.insert(path, entry);
            }
            Action::Link { path, target, hard: false, .. } => {
                self.entries.insert(path, Entry::Link { target });
            }
            Action::Link { path, .. } => {
                return Err(refused(&path, "hard", "must be a soft link"));
            }
            Action::Enable { unit } => self.unit(unit).enabled = Some(true),
            Action::Disable { unit } => self.unit(unit).enabled = Some(false),
            // Accounts are `fixed` and `keys`; presets are for first boots; unmasking is the absence of a mask.
            Action::Group(_) | Action::User(_) | Action::Preset { .. } | Action::Unmask { .. } => {}
        }
        Ok(())
    }

    fn unit(&mut self, name: String) -> &mut UnitState {
        self.units.entry(name).or_default()
    }

    /// The unit that a path below systemd's directory is of.
    #[must_use]
    pub fn unit_of(path: &str) -> Option<String> {
        let rest = path.strip_prefix(UNIT_DIRECTORY)?.strip_prefix('/')?;
        let name = rest.split('/').next()?;
        let name = name.strip_suffix(".d").unwrap_or(name);
        // A template has no process of its own.
        (template(name).is_none_or(|(_, instance)| !instance.is_empty())).then(|| name.to_owned())
    }
}

fn bytes(path: &str, sources: Vec<Source>) -> Result<Vec<u8>, Problem> {
    let mut all = Vec::new();
    for source in sources {
        match source {
            Source::Bytes(bytes) => all.extend(bytes),
            Source::Remote { request, .. } => {
                let why =
                    "must be in the configuration (a data URL): what is elsewhere is not part of its name";
                return Err(refused(path, &crate::resource::shown(&request.url), why));
            }
        }
    }
    Ok(all)
}

fn refused(path: &str, found: &str, rule: &str) -> Problem {
    Problem::new(format!("$.storage[{path}]"), found.to_owned(), rule.to_owned())
}

/// Disks, file systems, groups, and users but for their keys.
fn fixed(config: &Config) -> BTreeMap<&'static str, Value> {
    let value = to_value(config);
    let part = |parent: &str, member: &str| value.get(parent).and_then(|value| value.get(member)).cloned();
    let mut users = part("passwd", "users");
    for user in users.iter_mut().filter_map(Value::as_array_mut).flatten() {
        if let Some(members) = user.as_object_mut() {
            members.remove("sshAuthorizedKeys");
        }
    }
    let storage = ["disks", "raid", "luks", "filesystems"].map(|member| (member, part("storage", member)));
    let passwd = [("groups", part("passwd", "groups")), ("users", users)];
    let there = storage.into_iter().chain(passwd);
    // An empty list says as much as none.
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    there.map(|(member, value)| (member, value.filter(|value| !empty(value)).unwrap_or_default())).collect()
}

impl Principal {
    /// As `chown` takes it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}
