//! Users and groups as edits of `passwd`, `shadow`, `group` and `gshadow`: pure text in, text out.
//!
//! No program of the target is run, so the same code serves any root file system and an interrupted edit of one
//! file is repeated without harm.

use thiserror::Error;

use crate::spec::{Group, User};

/// The texts of the four files, and the image's own accounts that `/etc` may not repeat.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    pub passwd: String,
    pub shadow: String,
    pub group: String,
    /// Only edited when it is not empty.
    pub gshadow: String,
    /// `/usr/lib/passwd` and `/usr/lib/group`, read only.
    pub vendor_passwd: String,
    pub vendor_group: String,
    /// Of new users; `/bin/sh` when it is empty.
    pub default_shell: String,
}

/// The home directory of a user that now exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub path: String,
    pub user: u32,
    pub group: u32,
    /// Of a user that existed before: what the home was.
    pub before: Option<Box<Home>>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum AccountError {
    #[error("group {group} already exists with the id {found}, not {wanted}")]
    GroupId { group: String, found: u32, wanted: u32 },
    #[error("the id {id} belongs to {owner}")]
    Taken { id: u32, owner: String },
    #[error("there is no group {0}")]
    NoGroup(String),
    #[error("no free id is left")]
    NoFreeId,
    #[error("the entry of {0} is malformed")]
    Malformed(String),
}

const REGULAR: std::ops::Range<u32> = 1000..60_000;
const SYSTEM: std::ops::Range<u32> = 100..1000;
/// Debian's `users`.
const USERS_GROUP: u32 = 100;

impl Accounts {
    pub fn user_id(&self, name: &str) -> Option<u32> {
        let line = find(&self.passwd, name).or_else(|| find(&self.vendor_passwd, name))?;
        field(&line, 2).parse().ok()
    }

    pub fn group_id(&self, name: &str) -> Option<u32> {
        let line = find(&self.group, name).or_else(|| find(&self.vendor_group, name))?;
        field(&line, 2).parse().ok()
    }

    /// # Errors
    /// When ids contradict what is there.
    pub fn apply_group(&mut self, group: &Group) -> Result<(), AccountError> {
        if group.should_exist == Some(false) {
            remove(&mut self.group, &group.name);
            remove(&mut self.gshadow, &group.name);
            return Ok(());
        }
        let wanted = group.gid.and_then(|gid| u32::try_from(gid).ok());
        match (self.group_id(&group.name), wanted) {
            (Some(found), Some(wanted)) if found != wanted => {
                return Err(AccountError::GroupId { group: group.name.clone(), found, wanted });
            }
            (Some(_), _) => {}
            (None, wanted) => {
                self.add_group(&group.name, wanted, group.system == Some(true))?;
                edit(&mut self.gshadow, &group.name, |fields| set(fields, 1, "*"));
            }
        }
        if let Some(hash) = group.password_hash.as_deref().filter(|hash| !hash.is_empty()) {
            edit(&mut self.gshadow, &group.name, |fields| set(fields, 1, hash));
        }
        Ok(())
    }

    fn add_group(&mut self, name: &str, wanted: Option<u32>, system: bool) -> Result<(), AccountError> {
        let gid = match wanted {
            Some(gid) => gid,
            None => free(system, &[&self.group, &self.vendor_group])?,
        };
        if let Some(owner) = owner_of(gid, &[&self.group, &self.vendor_group]) {
            return Err(AccountError::Taken { id: gid, owner });
        }
        append(&mut self.group, &format!("{name}:x:{gid}:"));
        if !self.gshadow.is_empty() && find(&self.gshadow, name).is_none() {
            append(&mut self.gshadow, &format!("{name}:!::"));
        }
        Ok(())
    }

    /// Creates or changes a user. `day` counts from 1970 and becomes the date of the password.
    ///
    /// # Errors
    /// When ids contradict what is there, or a group is missing.
    pub fn apply_user(&mut self, user: &User, day: u64) -> Result<Option<Home>, AccountError> {
        if user.should_exist == Some(false) {
            self.remove_user(&user.name);
            return Ok(None);
        }
        let wanted = user.uid.and_then(|uid| u32::try_from(uid).ok());
        let mut before = None;
        match self.user_id(&user.name) {
            Some(found) => {
                self.copy_from_vendor(&user.name);
                before = Some(Box::new(self.home(&user.name)?));
                let taken = wanted
                    .filter(|wanted| *wanted != found)
                    .and_then(|id| self.owner_of_uid(id).map(|owner| (id, owner)));
                if let Some((id, owner)) = taken {
                    return Err(AccountError::Taken { id, owner });
                }
            }
            None => self.add_user(user, wanted)?,
        }
        self.change_user(user)?;
        for group in user.groups.iter().flatten() {
            self.join(group, &user.name)?;
        }
        self.set_password(user, day);
        Ok(Some(Home { before, ..self.home(&user.name)? }))
    }

    fn owner_of_uid(&self, id: u32) -> Option<String> {
        owner_of(id, &[&self.passwd, &self.vendor_passwd])
    }

    /// # Errors
    /// There is no such user, or its entry is malformed.
    pub fn home(&self, name: &str) -> Result<Home, AccountError> {
        let malformed = || AccountError::Malformed(name.to_owned());
        let line = find(&self.passwd, name).ok_or_else(malformed)?;
        let id = |index| field(&line, index).parse::<u32>().map_err(|_| malformed());
        Ok(Home { path: field(&line, 5).to_owned(), user: id(2)?, group: id(3)?, before: None })
    }

    fn add_user(&mut self, user: &User, wanted: Option<u32>) -> Result<(), AccountError> {
        let system = user.system == Some(true);
        let uid = match wanted {
            Some(uid) => uid,
            None => free(system, &[&self.passwd, &self.vendor_passwd])?,
        };
        if let Some(owner) = self.owner_of_uid(uid) {
            return Err(AccountError::Taken { id: uid, owner });
        }
        let gid = self.primary_group(user, uid, system)?;
        let shell = if self.default_shell.is_empty() { "/bin/sh" } else { &self.default_shell };
        append(&mut self.passwd, &format!("{0}:x:{uid}:{gid}::/home/{0}:{shell}", user.name));
        Ok(())
    }

    fn primary_group(&mut self, user: &User, uid: u32, system: bool) -> Result<u32, AccountError> {
        if let Some(group) = given(&user.primary_group) {
            return self.id_of_group(group);
        }
        if user.no_user_group == Some(true) {
            return Ok(USERS_GROUP);
        }
        if self.group_id(&user.name).is_none() {
            // The user's own number when it is free and one of its kind.
            let free = owner_of(uid, &[&self.group, &self.vendor_group]).is_none();
            let fits = if system { SYSTEM.contains(&uid) } else { REGULAR.contains(&uid) };
            self.add_group(&user.name, (free && fits).then_some(uid), system)?;
        }
        self.id_of_group(&user.name)
    }

    /// By name or by number.
    fn id_of_group(&self, group: &str) -> Result<u32, AccountError> {
        let id = self.group_id(group).or_else(|| group.parse().ok());
        id.ok_or_else(|| AccountError::NoGroup(group.to_owned()))
    }

    fn change_user(&mut self, user: &User) -> Result<(), AccountError> {
        let gid = given(&user.primary_group).map(|group| self.id_of_group(group)).transpose()?;
        edit(&mut self.passwd, &user.name, |fields| {
            if let Some(uid) = user.uid {
                set(fields, 2, &uid.to_string());
            }
            if let Some(gid) = gid {
                set(fields, 3, &gid.to_string());
            }
            for (index, value) in [(4, &user.gecos), (5, &user.home_dir), (6, &user.shell)] {
                if let Some(value) = given(value) {
                    set(fields, index, value);
                }
            }
        });
        Ok(())
    }

    fn set_password(&mut self, user: &User, day: u64) {
        // `*` is no password; the account itself is not locked, so keys work.
        let hash = user.password_hash.as_deref().map(|hash| if hash.is_empty() { "*" } else { hash });
        if find(&self.shadow, &user.name).is_none() {
            // A service's password has no age.
            let age = if user.system == Some(true) { "::::::" } else { ":0:99999:7:::" };
            append(&mut self.shadow, &format!("{}:{}:{day}{age}", user.name, hash.unwrap_or("*")));
        } else if let Some(hash) = hash {
            edit(&mut self.shadow, &user.name, |fields| {
                if field(fields, 1) != hash {
                    set(fields, 1, hash);
                    set(fields, 2, &day.to_string());
                }
            });
        }
    }

    fn join(&mut self, group: &str, user: &str) -> Result<(), AccountError> {
        if find(&self.group, group).is_none() {
            let line =
                find(&self.vendor_group, group).ok_or_else(|| AccountError::NoGroup(group.to_owned()))?;
            append(&mut self.group, &line.join(":"));
        }
        edit(&mut self.group, group, |fields| add_word(fields, 3, user));
        edit(&mut self.gshadow, group, |fields| add_word(fields, 3, user));
        Ok(())
    }

    fn copy_from_vendor(&mut self, name: &str) {
        if find(&self.passwd, name).is_none()
            && let Some(line) = find(&self.vendor_passwd, name)
        {
            append(&mut self.passwd, &line.join(":"));
        }
    }

    fn remove_user(&mut self, name: &str) {
        remove(&mut self.passwd, name);
        remove(&mut self.shadow, name);
        for text in [&mut self.group, &mut self.gshadow] {
            edit_all(text, |fields| remove_word(fields, 3, name));
        }
        if find(&self.group, name).is_some_and(|line| field(&line, 3).is_empty()) {
            remove(&mut self.group, name);
            remove(&mut self.gshadow, name);
        }
    }
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

/// For services the highest that is free; for people the one after the highest that is used, as useradd does it.
fn free(system: bool, texts: &[&str]) -> Result<u32, AccountError> {
    let unused = |id: &u32| owner_of(*id, texts).is_none();
    if system {
        return SYSTEM.rev().find(unused).ok_or(AccountError::NoFreeId);
    }
    let ids =
        texts.iter().flat_map(|text| text.lines()).filter_map(|line| field(&fields(line), 2).parse().ok());
    let next = ids.filter(|id: &u32| REGULAR.contains(id)).max().map_or(REGULAR.start, |highest| highest + 1);
    let next = Some(next).filter(|next| REGULAR.contains(next));
    next.or_else(|| REGULAR.clone().find(unused)).ok_or(AccountError::NoFreeId)
}

fn owner_of(id: u32, texts: &[&str]) -> Option<String> {
    let lines = texts.iter().flat_map(|text| text.lines()).map(fields);
    lines.into_iter().find(|line| field(line, 2).parse() == Ok(id)).map(|line| field(&line, 0).to_owned())
}

fn fields(line: &str) -> Vec<String> {
    line.split(':').map(str::to_owned).collect()
}

fn field(line: &[String], index: usize) -> &str {
    line.get(index).map_or("", String::as_str)
}

fn find(text: &str, name: &str) -> Option<Vec<String>> {
    text.lines().map(fields).find(|line| field(line, 0) == name)
}

fn set(fields: &mut Vec<String>, index: usize, value: &str) {
    if fields.len() <= index {
        fields.resize(index + 1, String::new());
    }
    fields[index] = value.to_owned();
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

fn edit(text: &mut String, name: &str, change: impl Fn(&mut Vec<String>)) {
    edit_all(text, |fields| {
        if field(fields, 0) == name {
            change(fields);
        }
    });
}

fn edit_all(text: &mut String, change: impl Fn(&mut Vec<String>)) {
    let edited = text.lines().map(|line| {
        let mut fields = fields(line);
        change(&mut fields);
        fields.join(":") + "\n"
    });
    *text = edited.collect();
}

fn remove(text: &mut String, name: &str) {
    *text =
        text.lines().filter(|line| field(&fields(line), 0) != name).map(|line| format!("{line}\n")).collect();
}

fn add_word(fields: &mut Vec<String>, index: usize, word: &str) {
    let mut words: Vec<&str> = field(fields, index).split(',').filter(|word| !word.is_empty()).collect();
    if !words.contains(&word) {
        words.push(word);
        let joined = words.join(",");
        set(fields, index, &joined);
    }
}

fn remove_word(fields: &mut Vec<String>, index: usize, word: &str) {
    if fields.len() > index {
        let words =
            field(fields, index).split(',').filter(|other| *other != word).collect::<Vec<_>>().join(",");
        set(fields, index, &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh\n".into(),
            shadow: "root:*:1:0:99999:7:::\nold:!:1:0:99999:7:::\n".into(),
            group: "root:x:0:\nold:x:1000:\nops:x:500:old\n".into(),
            gshadow: "root:*::\nops:!::old\n".into(),
            vendor_passwd: String::new(),
            vendor_group: "sudo:x:27:\n".into(),
            default_shell: "/bin/bash".into(),
        }
    }

    fn user(name: &str) -> User {
        User::new(name.to_owned())
    }

    #[test]
    fn a_new_user_gets_a_group_of_its_own_a_shell_and_no_password() {
        let mut have = accounts();
        let core = User { groups: Some(vec!["sudo".into(), "ops".into()]), ..user("core") };
        let home = have.apply_user(&core, 20_000).expect("possible");
        assert_eq!(home, Some(Home { path: "/home/core".into(), user: 1001, group: 1001, before: None }));
        assert!(have.passwd.ends_with("\ncore:x:1001:1001::/home/core:/bin/bash\n"));
        assert!(have.shadow.ends_with("\ncore:*:20000:0:99999:7:::\n"));
        assert!(have.group.contains("ops:x:500:old,core\n") && have.group.contains("core:x:1001:\n"));
        assert!(have.group.contains("sudo:x:27:core\n"), "the image's group is copied to be joined");
        let once = have.clone();
        have.apply_user(&core, 20_001).expect("possible");
        assert!(have == once, "doing it again changes nothing");
    }

    #[test]
    fn an_existing_user_is_changed_where_the_configuration_says_so() {
        let mut have = accounts();
        let old = User {
            password_hash: Some("$y$hash".into()),
            shell: Some("/bin/bash".into()),
            primary_group: Some("ops".into()),
            ..user("old")
        };
        have.apply_user(&old, 1).expect("possible");
        assert!(have.passwd.contains("old:x:1000:500::/home/old:/bin/bash\n"));
        assert!(have.shadow.contains("old:$y$hash:1:"));
        let wrong = User { uid: Some(0), ..user("old") };
        assert!(matches!(have.apply_user(&wrong, 1), Err(AccountError::Taken { .. })));
        let home =
            have.apply_user(&User { uid: Some(7), ..user("old") }, 1).expect("possible").expect("a home");
        assert_eq!((home.user, home.before.map(|before| before.user)), (7, Some(1000)));
        let lost = User { groups: Some(vec!["nobody-knows".into()]), ..user("old") };
        assert_eq!(have.apply_user(&lost, 1), Err(AccountError::NoGroup("nobody-knows".into())));
    }

    #[test]
    fn users_and_groups_are_removed_when_they_should_not_exist() {
        let mut have = accounts();
        have.apply_user(&User { should_exist: Some(false), ..user("old") }, 1).expect("possible");
        assert!(!format!("{}{}{}{}", have.passwd, have.shadow, have.group, have.gshadow).contains("old"));
        let group = |gid, exist| Group { gid, should_exist: exist, ..Group::new("net".into()) };
        have.apply_group(&group(Some(700), None)).expect("possible");
        assert!(have.group.contains("net:x:700:\n") && have.gshadow.contains("net:*::\n"));
        assert!(matches!(have.apply_group(&group(Some(701), None)), Err(AccountError::GroupId { .. })));
        have.apply_group(&group(None, Some(false))).expect("possible");
        assert_eq!(have.group_id("net"), None);
    }
}
