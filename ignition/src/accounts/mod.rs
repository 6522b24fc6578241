//! Users and groups as edits of `passwd`, `shadow`, `group` and `gshadow`: pure text in, text out.
//!
//! No program of the target is run, so the same code serves any root file system and an interrupted edit of one
//! file is repeated without harm.

mod lines;
mod sub_ids;

use lines::{add_word, append, edit, edit_all, field, find, free, given, owner_of, remove, remove_word, set};
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
    /// Ids of namespaces; only edited when the files are there.
    pub subuid: Option<String>,
    pub subgid: Option<String>,
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
/// `UID_MIN` to `UID_MAX`.
const REGULAR_OR_LAST: std::ops::RangeInclusive<u32> = 1000..=60_000;
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
        // As useradd: of people, not of services, and not of ids that were chosen elsewhere.
        if !system && (wanted.is_none_or(|uid| uid == 0) || REGULAR_OR_LAST.contains(&uid)) {
            for text in [&mut self.subuid, &mut self.subgid].into_iter().flatten() {
                sub_ids::give(text, &user.name);
            }
        }
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
        for text in [&mut self.subuid, &mut self.subgid].into_iter().flatten() {
            remove(text, name);
        }
        for text in [&mut self.group, &mut self.gshadow] {
            edit_all(text, |fields| remove_word(fields, 3, name));
        }
        if find(&self.group, name).is_some_and(|line| field(&line, 3).is_empty()) {
            remove(&mut self.group, name);
            remove(&mut self.gshadow, name);
        }
    }
}

#[cfg(test)]
mod tests;
