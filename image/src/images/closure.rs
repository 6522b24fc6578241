//! The shared libraries that programs need, found in an unpacked Debian root by reading their ELF headers.
//!
//! Every path stays what it was in the tree, symbolic links included, because the dynamic loader finds its
//! libraries by path. Nothing is run, and nothing outside the tree is read but the program itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;

use crate::oci::Entry;

/// Where glibc's loader looks without a cache file (Debian, amd64).
const LIBRARY_DIRS: &[&str] = &["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib"];
/// As the kernel's own limit.
const MAX_LINKS: usize = 40;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("reading {} as a program", path.display())]
    Elf { path: PathBuf, source: goblin::error::Error },
    #[error("{} is not in the Debian tree {} (is its package in the image's list?)", path, tree.display())]
    Missing { path: String, tree: PathBuf },
    #[error("the library {library} that {} needs is not in the Debian tree", user.display())]
    NoLibrary { library: String, user: PathBuf },
    #[error("too many symbolic links at /{path} in the Debian tree")]
    Loop { path: String },
}

/// Collects files of one tree, each once, in the order of their paths.
pub(super) struct Closure<'a> {
    tree: &'a Path,
    entries: BTreeMap<String, Entry>,
    seen: BTreeSet<PathBuf>,
}

impl<'a> Closure<'a> {
    pub(super) fn of(tree: &'a Path) -> Self {
        Self { tree, entries: BTreeMap::new(), seen: BTreeSet::new() }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_values().collect()
    }

    /// A program or library of the tree, and all it needs.
    ///
    /// # Errors
    /// It or a library is not in the tree, or is not an ELF file.
    pub(super) fn add_from_tree(&mut self, path: &str) -> Result<(), Error> {
        let missing = || Error::Missing { path: path.to_owned(), tree: self.tree.to_owned() };
        let real = self.add_links(path)?.ok_or_else(missing)?;
        let file = self.tree.join(&real);
        self.entries.entry(real.clone()).or_insert_with(|| Entry::program(&real, &file));
        self.add_needed_by(&file)
    }

    /// The libraries (not the file itself) of a program that may lie outside the tree. A static program
    /// needs none.
    ///
    /// # Errors
    /// It cannot be read, is not an ELF file, or a library is not in the tree.
    pub(super) fn add_needed_by(&mut self, program: &Path) -> Result<(), Error> {
        if !self.seen.insert(program.to_owned()) {
            return Ok(());
        }
        let needs = needs(program)?;
        if let Some(loader) = needs.interpreter {
            self.add_from_tree(&loader)?;
        }
        for library in needs.libraries {
            let path = self
                .find_library(&library)
                .ok_or_else(|| Error::NoLibrary { library: library.clone(), user: program.to_owned() })?;
            self.add_from_tree(&path)?;
        }
        Ok(())
    }

    fn find_library(&self, name: &str) -> Option<String> {
        let paths = LIBRARY_DIRS.iter().map(|dir| format!("{dir}/{name}"));
        paths.into_iter().find(|path| matches!(resolve(self.tree, path), Ok((Some(_), _))))
    }

    /// Adds the symbolic links on the way to `path`; returns where the file itself is, if it exists.
    fn add_links(&mut self, path: &str) -> Result<Option<String>, Error> {
        let (real, links) = resolve(self.tree, path)?;
        if real.is_some() {
            for (link, target) in links {
                self.entries.entry(link.clone()).or_insert_with(|| Entry::symlink(&link, &target));
            }
        }
        Ok(real)
    }
}

type Links = Vec<(String, String)>;

/// Follows `path` inside `tree`, whose root is `/` for absolute links.
fn resolve(tree: &Path, path: &str) -> Result<(Option<String>, Links), Error> {
    let mut ahead: VecDeque<String> = parts(path).collect();
    let mut done: Vec<String> = Vec::new();
    let mut links = Vec::new();
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        let here = done.join("/");
        let Ok(found) = fs::symlink_metadata(tree.join(&here)) else { return Ok((None, links)) };
        if !found.is_symlink() {
            continue;
        }
        if links.len() == MAX_LINKS {
            return Err(Error::Loop { path: here });
        }
        let target = fs::read_link(tree.join(&here));
        let target = target.map_err(|source| Error::Read { path: tree.join(&here), source })?;
        let target = target.to_string_lossy().into_owned();
        if target.starts_with('/') {
            done.clear();
        } else {
            done.pop();
        }
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            ahead.push_front(part);
        }
        links.push((here, target));
    }
    Ok((Some(done.join("/")), links))
}

fn parts(path: &str) -> impl Iterator<Item = String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
}

fn needs(program: &Path) -> Result<Needs, Error> {
    let bytes = fs::read(program).map_err(|source| Error::Read { path: program.to_owned(), source })?;
    let elf = Elf::parse(&bytes).map_err(|source| Error::Elf { path: program.to_owned(), source })?;
    Ok(Needs {
        interpreter: elf.interpreter.map(str::to_owned),
        libraries: elf.libraries.into_iter().map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::oci::Content;

    /// A tree with merged `/usr` and this test's own libraries in it, as Debian lays them out.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("tempdir");
        let libraries = root.path().join("usr/lib/x86_64-linux-gnu");
        fs::create_dir_all(&libraries).expect("mkdir");
        fs::create_dir_all(root.path().join("usr/lib64")).expect("mkdir");
        symlink("usr/lib", root.path().join("lib")).expect("link");
        symlink("usr/lib64", root.path().join("lib64")).expect("link");
        let loader = root.path().join("usr/lib64/ld-linux-x86-64.so.2");
        symlink("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", loader).expect("link");
        for name in ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6"] {
            fs::copy(Path::new("/lib/x86_64-linux-gnu").join(name), libraries.join(name)).expect("copy");
        }
        root
    }

    #[test]
    fn a_program_brings_its_loader_and_libraries_with_the_links_to_them() {
        let root = tree();
        let mut closure = Closure::of(root.path());
        closure.add_needed_by(&std::env::current_exe().expect("own path")).expect("closure");
        let entries = closure.into_entries();
        let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
        for path in ["lib64", "usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libc.so.6"] {
            assert!(paths.contains(&path), "{path} is missing from {paths:?}");
        }
        let link = entries.iter().find(|entry| entry.path == "lib64").expect("lib64");
        assert_eq!(link.content, Content::Symlink("usr/lib64".into()));
    }

    #[test]
    fn a_missing_library_names_itself_and_its_user() {
        let root = tree();
        fs::remove_file(root.path().join("usr/lib/x86_64-linux-gnu/libc.so.6")).expect("remove");
        let program = std::env::current_exe().expect("own path");
        let error = Closure::of(root.path()).add_needed_by(&program).expect_err("no libc");
        assert!(matches!(error, Error::NoLibrary { .. }), "{error}");
    }

    #[test]
    fn absolute_links_stay_inside_the_tree() {
        let root = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(root.path().join("etc/alternatives")).expect("mkdir");
        fs::write(root.path().join("real"), "").expect("write");
        symlink("/etc/alternatives/tool", root.path().join("tool")).expect("link");
        symlink("../../real", root.path().join("etc/alternatives/tool")).expect("link");
        let (real, links) = resolve(root.path(), "/tool").expect("resolve");
        assert_eq!(real.as_deref(), Some("real"));
        assert_eq!(links.len(), 2);
    }

    #[test]
    fn a_loop_of_links_is_refused() {
        let root = tempfile::tempdir().expect("tempdir");
        symlink("b", root.path().join("a")).expect("link");
        symlink("a", root.path().join("b")).expect("link");
        assert!(matches!(resolve(root.path(), "a"), Err(Error::Loop { .. })));
    }
}
