//! The lock of a release: which Debian packages its system is made of, exactly, and where in Debian's archive each
//! was. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format of this file; 1.
    pub format: u32,
    /// Debian's name of its release.
    pub suite: String,
    pub architecture: String,
    /// By name.
    pub packages: Vec<Locked>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// The source package that it was built from.
    pub source: String,
    pub source_version: String,
    /// What apt calls the archive: `Debian`, `Debian-Security`.
    pub archive: String,
    /// Below the archive's address, as in a URL.
    pub path: String,
    pub sha256: String,
    pub bytes: u64,
}

/// One package that is not as it was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub locked: Option<String>,
    pub taken: Option<String>,
}

impl Lock {
    pub const FORMAT: u32 = 1;

    /// What `taken` has otherwise, by name. The same version with other contents counts.
    #[must_use]
    pub fn differences(&self, taken: &Self) -> Vec<Difference> {
        let by_name = |lock: &Self| -> BTreeMap<String, (String, String)> {
            let row = |one: &Locked| (one.name.clone(), (one.version.clone(), one.sha256.clone()));
            lock.packages.iter().map(row).collect()
        };
        let (old, new) = (by_name(self), by_name(taken));
        let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let version = |found: Option<&(String, String)>| found.map(|(version, _)| version.clone());
        names
            .into_iter()
            .filter(|name| old.get(*name) != new.get(*name))
            .map(|name| Difference {
                name: name.clone(),
                locked: version(old.get(name)),
                taken: version(new.get(name)),
            })
            .collect()
    }

    /// apt's preferences that take what is locked wherever it can be had.
    #[must_use]
    pub fn preferences(&self) -> String {
        let pin = |one: &Locked| {
            format!("Package: {}\nPin: version {}\nPin-Priority: 1001\n\n", one.name, one.version)
        };
        self.packages.iter().map(pin).collect()
    }
}

impl Locked {
    /// Name of the package's file.
    #[must_use]
    pub fn file(&self) -> String {
        // As apt names it: an epoch's colon is encoded.
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.architecture)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, locked, taken } = self;
        match (locked, taken) {
            (Some(locked), Some(taken)) if locked == taken => {
                write!(f, "{name}: {locked} is locked with other contents")
            }
            (Some(locked), Some(taken)) => write!(f, "{name}: {locked} is locked, {taken} is taken"),
            (Some(locked), None) => write!(f, "{name}: {locked} is locked, none is taken"),
            (None, Some(taken)) => write!(f, "{name}: not locked, {taken} is taken"),
            (None, None) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(rows: &[(&str, &str, &str)]) -> Lock {
        let row = |(name, version, sha256): &(&str, &str, &str)| Locked {
            name: (*name).into(),
            version: (*version).into(),
            architecture: "amd64".into(),
            source: (*name).into(),
            source_version: (*version).into(),
            archive: "Debian".into(),
            path: String::new(),
            sha256: (*sha256).into(),
            bytes: 1,
        };
        let packages = rows.iter().map(row).collect();
        Lock { format: Lock::FORMAT, suite: "trixie".into(), architecture: "amd64".into(), packages }
    }

    #[test]
    fn what_is_not_as_locked_is_named_with_both_versions() {
        let locked =
            lock(&[("bash", "5.2-1", "a"), ("dash", "1", "b"), ("gone", "3", "c"), ("same", "4", "d")]);
        let taken =
            lock(&[("bash", "5.2-2", "e"), ("dash", "1", "x"), ("new", "7", "f"), ("same", "4", "d")]);
        let said: Vec<_> = locked.differences(&taken).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "bash: 5.2-1 is locked, 5.2-2 is taken",
                "dash: 1 is locked with other contents",
                "gone: 3 is locked, none is taken",
                "new: not locked, 7 is taken",
            ]
        );
        assert!(locked.differences(&locked).is_empty());
    }

    #[test]
    fn a_file_is_named_as_apt_names_it() {
        assert_eq!(lock(&[("login", "1:4.16.0-2", "a")]).packages[0].file(), "login_1%3a4.16.0-2_amd64.deb");
    }
}
