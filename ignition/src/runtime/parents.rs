//! Where the directories above entries lead to, remembered as long as nothing but new files is made: a configuration
//! puts many files into few directories.

use std::collections::HashMap;
use std::path::PathBuf;

use super::root::{Root, RootError};

#[derive(Default)]
pub(super) struct Parents(HashMap<String, PathBuf>);

impl Parents {
    /// As `Root::place`.
    pub fn place(&mut self, path: &str, root: &Root) -> Result<PathBuf, RootError> {
        self.found(path, || root.place(path))
    }

    /// As `Root::look`; nothing may be created meanwhile.
    pub fn look(&mut self, path: &str, root: &Root) -> Result<PathBuf, RootError> {
        self.found(path, || root.look(path))
    }

    /// A directory or a link may be another one now.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    fn found(
        &mut self,
        path: &str,
        find: impl FnOnce() -> Result<PathBuf, RootError>,
    ) -> Result<PathBuf, RootError> {
        let Some((parent, name)) = path.rsplit_once('/') else { return find() };
        if matches!(name, "" | "." | "..") {
            return find();
        }
        if let Some(folder) = self.0.get(parent) {
            return Ok(folder.join(name));
        }
        let place = find()?;
        if let Some(folder) = place.parent().filter(|folder| folder.is_dir()) {
            self.0.insert(parent.to_owned(), folder.to_owned());
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_remembered_directory_is_where_its_links_lead_and_is_forgotten_when_told() {
        let base = tempfile::tempdir().expect("a directory");
        for name in ["one", "two"] {
            std::fs::create_dir(base.path().join(name)).expect("a directory");
        }
        symlink("/one", base.path().join("link")).expect("a link");
        let (root, mut parents) = (Root::new(base.path()), Parents::default());
        assert_eq!(parents.place("/link/a", &root).expect("found"), base.path().join("one/a"));
        assert_eq!(parents.look("/link/b", &root).expect("remembered"), base.path().join("one/b"));
        assert!(parents.place("/link/..", &root).is_err());
        std::fs::remove_file(base.path().join("link")).expect("removed");
        symlink("/two", base.path().join("link")).expect("a link");
        parents.forget();
        assert_eq!(parents.place("/link/a", &root).expect("found"), base.path().join("two/a"));
    }
}
