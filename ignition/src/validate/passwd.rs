//! Rules of users and groups: what could not become a line of `passwd`, `shadow` or `group`.

use ashlar_model::config::Problem;

use super::{Report, given, quoted};
use crate::spec::{Passwd, User};

pub(super) fn check(passwd: &Passwd, report: &mut Report) {
    for (index, user) in passwd.users.iter().flatten().enumerate() {
        let place = format!("$.passwd.users.{index}");
        name(&user.name, format!("{place}.name"), report);
        id(user.uid, format!("{place}.uid"), report);
        for (member, value) in [("homeDir", &user.home_dir), ("shell", &user.shell)] {
            absolute(given(value), format!("{place}.{member}"), report);
        }
        field(user.gecos.as_deref(), "the text", format!("{place}.gecos"), report);
        field(user.password_hash.as_deref(), "the hash", format!("{place}.passwordHash"), report);
        hash(user.password_hash.as_deref(), format!("{place}.passwordHash"), report);
        keys(user, &place, report);
    }
    for (index, group) in passwd.groups.iter().flatten().enumerate() {
        let place = format!("$.passwd.groups.{index}");
        name(&group.name, format!("{place}.name"), report);
        id(group.gid, format!("{place}.gid"), report);
        field(group.password_hash.as_deref(), "the hash", format!("{place}.passwordHash"), report);
    }
}

fn name(name: &str, place: String, report: &mut Report) {
    let common = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || ":,/".contains(c);
    if name.is_empty() || name.starts_with(['-', '+', '~']) || name.contains(forbidden) || name.len() > 32 {
        let rule = "must have 1 to 32 characters, none of them a space, `:`, `,` or `/`, and not begin with `-`, `+` or `~`";
        report.error(Problem::new(place, quoted(name), rule));
    } else if !name.chars().all(common) || !name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
        let rule = "has characters that many programs do not accept in a name";
        report.warning(Problem::new(place, quoted(name), rule).hint("use a-z, 0-9, `_`, `-` and `.`"));
    }
}

fn id(id: Option<i64>, place: String, report: &mut Report) {
    if let Some(id) = id.filter(|id| !(0..=0xffff_fffe).contains(id)) {
        report.error(Problem::new(place, id, "must be from 0 to 4294967294"));
    }
}

fn absolute(path: Option<&str>, place: String, report: &mut Report) {
    let Some(path) = path else { return };
    if !path.starts_with('/') {
        report.error(Problem::new(&place, quoted(path), "must be an absolute path"));
    }
    field(Some(path), "the path", place, report);
}

fn keys(user: &User, place: &str, report: &mut Report) {
    for (number, key) in user.ssh_authorized_keys.iter().flatten().enumerate() {
        if key.trim().contains('\n') || key.trim().is_empty() {
            let place = format!("{place}.sshAuthorizedKeys.{number}");
            report.warning(Problem::new(place, "several lines or none", "should be one line with one key"));
        }
    }
}

/// A password that is no hash would lock the account, and could be read by everyone who reads the configuration.
fn hash(hash: Option<&str>, place: String, report: &mut Report) {
    let looks_like_one =
        |hash: &str| hash.is_empty() || hash.starts_with(['$', '*', '!', '_']) || hash.len() == 13;
    if hash.is_some_and(|hash| !looks_like_one(hash)) {
        let rule = "does not look like the hash of a password";
        report.warning(Problem::new(place, "some text", rule).hint("`mkpasswd --method=yescrypt` makes one"));
    }
}

/// The text becomes a field of a colon-separated line.
fn field(text: Option<&str>, what: &str, place: String, report: &mut Report) {
    if text.is_some_and(|text| text.contains([':', '\n', '\0'])) {
        let found = format!("{what} with a colon or a new line");
        report.error(Problem::new(place, found, "must contain neither"));
    }
}
