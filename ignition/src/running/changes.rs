//! From one configuration to another: what is to be done, thing by thing.

use std::collections::BTreeSet;
use std::fmt;

use super::policy::{Need, need_of};
use super::{Entry, Kept, UnitState};
use crate::Problem;

/// One thing that differs. `None` on the new side: it is no longer kept, and becomes what it was before.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    pub need: Need,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file, directory or link.
    Path {
        path: String,
        old: Option<Entry>,
        new: Option<Entry>,
    },
    Unit {
        name: String,
        old: UnitState,
        new: UnitState,
    },
    /// SSH keys of a user.
    Keys {
        user: String,
        keys: Vec<String>,
    },
    /// Arguments that go, and arguments that come.
    KernelArguments {
        remove: Vec<String>,
        add: Vec<String>,
    },
}

/// What leads from `old` to `new`: paths first, parents before what lies in them, and removals from the inside out.
///
/// # Errors
/// What a running node cannot be given: disks, file systems, accounts.
pub fn changes(old: &Kept, new: &Kept) -> Result<Vec<Change>, Vec<Problem>> {
    let fixed = new.fixed.iter().filter(|(member, value)| old.fixed.get(*member) != Some(value));
    let problems: Vec<Problem> = fixed
        .map(|(member, _)| {
            let rule = "must stay as it was when the node was installed: only an install changes it; delete the \
                        change, or install the node again";
            Problem::new(format!("$.{}.{member}", parent(member)), "another value".to_owned(), rule.to_owned())
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut all = removed(old, new);
    all.extend(written(old, new));
    all.extend(units(old, new));
    all.extend(keys(old, new));
    all.extend(kernel_arguments(old, new));
    Ok(all)
}

fn parent(member: &str) -> &'static str {
    if matches!(member, "groups" | "users") { "passwd" } else { "storage" }
}

fn removed(old: &Kept, new: &Kept) -> Vec<Change> {
    let gone = old.entries.iter().rev().filter(|(path, _)| !new.entries.contains_key(*path));
    gone.map(|(path, entry)| path_change(path, Some(entry), None)).collect()
}

fn written(old: &Kept, new: &Kept) -> Vec<Change> {
    let differs = new.entries.iter().filter(|(path, entry)| old.entries.get(*path) != Some(entry));
    differs.map(|(path, entry)| path_change(path, old.entries.get(path), Some(entry))).collect()
}

fn path_change(path: &str, old: Option<&Entry>, new: Option<&Entry>) -> Change {
    let kind = Kind::Path { path: path.to_owned(), old: old.cloned(), new: new.cloned() };
    // A directory alone is nothing that somebody reads.
    let directory =
        |entry: Option<&Entry>| entry.is_none_or(|entry| matches!(entry, Entry::Directory { .. }));
    let need = if directory(old) && directory(new) { Need::Nothing } else { need_of(path) };
    Change { kind, need }
}

fn units(old: &Kept, new: &Kept) -> Vec<Change> {
    let names: BTreeSet<&String> = old.units.keys().chain(new.units.keys()).collect();
    let state = |kept: &Kept, name: &String| kept.units.get(name).cloned().unwrap_or_default();
    let both = names.into_iter().map(|name| (name, state(old, name), state(new, name)));
    both.filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| {
            let need = Need::Restart(name.clone());
            Change { kind: Kind::Unit { name: name.clone(), old, new }, need }
        })
        .collect()
}

fn keys(old: &Kept, new: &Kept) -> Vec<Change> {
    let differs = new.keys.iter().filter(|(user, keys)| old.keys.get(*user) != Some(keys));
    differs
        .map(|(user, keys)| {
            let kind = Kind::Keys { user: user.clone(), keys: keys.clone() };
            Change { kind, need: Need::Nothing }
        })
        .collect()
}

fn kernel_arguments(old: &Kept, new: &Kept) -> Option<Change> {
    let list = |words: &Option<Vec<_>>| -> BTreeSet<String> {
        words.iter().flatten().map(ToString::to_string).collect()
    };
    let (had, has) = (list(&old.kernel_arguments.should_exist), list(&new.kernel_arguments.should_exist));
    let unwanted = list(&new.kernel_arguments.should_not_exist);
    let before = list(&old.kernel_arguments.should_not_exist);
    let remove: Vec<String> = had.difference(&has).chain(unwanted.difference(&before)).cloned().collect();
    let add: Vec<String> = has.difference(&had).cloned().collect();
    (!remove.is_empty() || !add.is_empty())
        .then_some(Change { kind: Kind::KernelArguments { remove, add }, need: Need::Reboot })
}

/// In one line; never contents.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Path { path, old: None, .. } => write!(f, "+ {path}"),
            Kind::Path { path, new: None, .. } => write!(f, "- {path}"),
            Kind::Path { path, .. } => write!(f, "~ {path}"),
            Kind::Unit { name, new: UnitState { enabled: Some(true) }, .. } => write!(f, "enable {name}"),
            Kind::Unit { name, .. } => write!(f, "disable {name}"),
            Kind::Keys { user, .. } => write!(f, "~ SSH keys of {user}"),
            Kind::KernelArguments { remove, add } => {
                let signed = remove.iter().map(|word| format!("-{word}"));
                let signed: Vec<String> = signed.chain(add.iter().map(|word| format!("+{word}"))).collect();
                write!(f, "kernel arguments {}", signed.join(" "))
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
