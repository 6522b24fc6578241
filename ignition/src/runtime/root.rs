//! Paths inside a root file system: symbolic links are followed as if the root were `/`, so none leads out of it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Clone)]
pub struct Root(PathBuf);

#[derive(Debug, Error)]
pub enum RootError {
    #[error("{0} is not an absolute path without `..`")]
    Form(String),
    #[error("{0} leads through too many symbolic links")]
    Loop(String),
    #[error("{path} cannot be reached: {blocked} is not a directory")]
    NotADirectory { path: String, blocked: String },
    #[error("reading {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("creating the directory {path}")]
    Create { path: PathBuf, source: io::Error },
}

/// What to do with directories on the way that do not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Accept,
}

const MOST_LINKS: usize = 40;

impl Root {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The place of `path` itself: links on the way are followed, its last part is not. Missing directories on the
    /// way are created, mode 0755.
    ///
    /// # Errors
    /// When the path cannot be reached.
    pub fn place(&self, path: &str) -> Result<PathBuf, RootError> {
        self.walk(path, false, Missing::Create)
    }

    /// Where `path` leads to, all links followed; it need not exist.
    ///
    /// # Errors
    /// When the path cannot be reached.
    pub fn follow(&self, path: &str) -> Result<PathBuf, RootError> {
        self.walk(path, true, Missing::Accept)
    }

    /// As `place`, and nothing is created.
    ///
    /// # Errors
    /// When the path cannot be reached.
    pub fn look(&self, path: &str) -> Result<PathBuf, RootError> {
        self.walk(path, false, Missing::Accept)
    }

    /// The directory that `path` leads to, created with its parents if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn directory(&self, path: &str) -> Result<PathBuf, RootError> {
        let place = self.walk(path, true, Missing::Create)?;
        create(&place)?;
        Ok(place)
    }

    fn walk(&self, path: &str, follow_last: bool, missing: Missing) -> Result<PathBuf, RootError> {
        let form = || RootError::Form(path.to_owned());
        let mut queue: VecDeque<OsString> = VecDeque::new();
        let mut parts = Path::new(path).components();
        if parts.next() != Some(Component::RootDir) {
            return Err(form());
        }
        for part in parts {
            match part {
                Component::Normal(name) => queue.push_back(name.to_owned()),
                _ => return Err(form()),
            }
        }
        let mut inside = PathBuf::new();
        let mut links = 0;
        while let Some(name) = queue.pop_front() {
            if name == ".." {
                inside.pop();
                continue;
            }
            if name == "." {
                continue;
            }
            let is_last = queue.is_empty();
            let here = self.0.join(&inside).join(&name);
            match kind(&here)? {
                Kind::Link if !is_last || follow_last => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(RootError::Loop(path.to_owned()));
                    }
                    let target =
                        here.read_link().map_err(|source| RootError::Read { path: here.clone(), source })?;
                    if target.is_absolute() {
                        inside.clear();
                    }
                    prepend(&mut queue, &target);
                    continue;
                }
                Kind::Other if !is_last => {
                    let blocked = format!("/{}", inside.join(&name).display());
                    return Err(RootError::NotADirectory { path: path.to_owned(), blocked });
                }
                Kind::Missing if !is_last && missing == Missing::Create => create(&here)?,
                _ => {}
            }
            inside.push(&name);
        }
        Ok(self.0.join(inside))
    }
}

enum Kind {
    Missing,
    Link,
    Directory,
    Other,
}

fn kind(path: &Path) -> Result<Kind, RootError> {
    match path.symlink_metadata() {
        Ok(data) if data.is_symlink() => Ok(Kind::Link),
        Ok(data) if data.is_dir() => Ok(Kind::Directory),
        Ok(_) => Ok(Kind::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kind::Missing),
        Err(source) => Err(RootError::Read { path: path.to_owned(), source }),
    }
}

fn prepend(queue: &mut VecDeque<OsString>, target: &Path) {
    let parts = target.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    for part in parts.collect::<Vec<_>>().into_iter().rev() {
        queue.push_front(part);
    }
}

fn create(path: &Path) -> Result<(), RootError> {
    match std::fs::DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(source) => Err(RootError::Create { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_and_no_path_leads_out_of_the_root() {
        let outer = tempfile::tempdir().expect("a directory");
        let base = outer.path().join("root");
        fs::create_dir_all(base.join("etc")).expect("a directory");
        symlink("/", base.join("etc/up")).expect("a link");
        symlink("../../../../..", base.join("etc/far")).expect("a link");
        symlink(outer.path(), base.join("etc/out")).expect("a link");
        symlink("loop", base.join("etc/loop")).expect("a link");
        let root = Root::new(&base);
        assert_eq!(root.place("/etc/up/a").expect("inside"), base.join("a"));
        assert_eq!(root.place("/etc/far/a").expect("inside"), base.join("a"));
        assert!(root.place("/etc/out/a").expect("inside").starts_with(&base));
        assert_eq!(root.place("/etc/out").expect("the link itself"), base.join("etc/out"));
        assert!(matches!(root.place("/etc/../../a"), Err(RootError::Form(_))));
        assert!(matches!(root.place("etc"), Err(RootError::Form(_))));
        assert!(matches!(root.place("/etc/loop/a"), Err(RootError::Loop(_))));
        assert!(!outer.path().join("a").exists());
    }

    #[test]
    fn a_home_that_is_a_dangling_link_is_created_where_it_leads() {
        let base = tempfile::tempdir().expect("a directory");
        symlink("var/home", base.path().join("home")).expect("a link");
        let root = Root::new(base.path());
        assert_eq!(root.directory("/home/core").expect("created"), base.path().join("var/home/core"));
        assert!(base.path().join("var/home/core").is_dir());
    }
}
