//! Rules of users and groups.

use ashlar_model::config::Problem;

use super::{path, quoted, unique};
use crate::spec::Passwd;

pub(super) fn check(passwd: &Passwd, problems: &mut Vec<Problem>) {
    let users = passwd.users.as_deref().unwrap_or_default();
    let groups = passwd.groups.as_deref().unwrap_or_default();
    for (index, user) in users.iter().enumerate() {
        let place = format!("$.passwd.users.{index}");
        name(&user.name, format!("{place}.name"), problems);
        id(user.uid, format!("{place}.uid"), problems);
        if let Some(home) = user.home_dir.as_deref().filter(|home| !home.is_empty()) {
            path(home, format!("{place}.homeDir"), problems);
        }
        if let Some(shell) = user.shell.as_deref().filter(|shell| !shell.is_empty()) {
            path(shell, format!("{place}.shell"), problems);
        }
        field(user.gecos.as_deref(), "the text", format!("{place}.gecos"), problems);
        field(user.password_hash.as_deref(), "the hash", format!("{place}.passwordHash"), problems);
        for (number, key) in user.ssh_authorized_keys.iter().flatten().enumerate() {
            if key.trim().contains('\n') || key.trim().is_empty() {
                let place = format!("{place}.sshAuthorizedKeys.{number}");
                problems.push(Problem::new(place, "several lines or none", "must be one line with one key"));
            }
        }
    }
    for (index, group) in groups.iter().enumerate() {
        let place = format!("$.passwd.groups.{index}");
        name(&group.name, format!("{place}.name"), problems);
        id(group.gid, format!("{place}.gid"), problems);
        field(group.password_hash.as_deref(), "the hash", format!("{place}.passwordHash"), problems);
    }
    let names = users.iter().enumerate();
    unique(names.map(|(i, user)| (user.name.as_str(), format!("$.passwd.users.{i}.name"))), problems);
    let names = groups.iter().enumerate();
    unique(names.map(|(i, group)| (group.name.as_str(), format!("$.passwd.groups.{i}.name"))), problems);
}

fn name(name: &str, place: String, problems: &mut Vec<Problem>) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    let good_start = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if !good_start || !name.chars().all(allowed) || name.len() > 32 {
        let rule = "must begin with a lower-case letter and have at most 32 of a-z, 0-9, `_`, `-` and `.`";
        problems.push(Problem::new(place, quoted(name), rule));
    }
}

fn id(id: Option<i64>, place: String, problems: &mut Vec<Problem>) {
    if let Some(id) = id.filter(|id| !(0..=0xffff_fffe).contains(id)) {
        problems.push(Problem::new(place, id, "must be from 0 to 4294967294"));
    }
}

/// The text becomes a field of a colon-separated line.
fn field(text: Option<&str>, what: &str, place: String, problems: &mut Vec<Problem>) {
    if text.is_some_and(|text| text.contains([':', '\n', '\0'])) {
        let found = format!("{what} with a colon or a new line");
        problems.push(Problem::new(place, found, "must contain neither"));
    }
}
