//! Deployments of the operating system (libostree): what is there, another one staged for the next boot, the one
//! before taken again.

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

use ashlar_model::commit_signature;
use ostree::glib::{self, VariantDict};
use ostree::prelude::*;
use ostree::{AsyncProgress, RepoCheckoutAtOptions, SysrootDeployTreeOpts, gio};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Name of the system's state below `/ostree/deploy`, and of the branch that its commits are on.
pub const STATEROOT: &str = "ashlar";
pub const BRANCH: &str = "ashlar/x86_64/stable";
/// Name of the remote that updates come from; its URL is another one each time.
const REMOTE: &str = "release";
/// The same for what masters of the own cluster give; what it proves itself with is part of the remote.
const CLUSTER_REMOTE: &str = "cluster";
/// Keeps a commit that was fetched and is not staged yet.
const FETCHED: &str = "ashlar/x86_64/fetched";
/// What the boot file system keeps free besides a new kernel and initramfs.
const BOOT_MARGIN: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}: {source}")]
    Ostree { doing: &'static str, source: glib::Error },
    #[error("getting a mount namespace (only root can)")]
    Namespace { source: rustix::io::Errno },
    #[error("this system was not booted from an OSTree deployment")]
    NotBooted,
    #[error(
        "/boot has {free} MiB free, and the new kernel and initramfs need {needed} MiB\nhint: `ashlar node os status` shows what keeps kernels there; unpin what is not needed"
    )]
    BootIsFull { free: u64, needed: u64 },
    #[error("reading {path}")]
    Read { path: String, source: std::io::Error },
    #[error("removing {path}")]
    Remove { path: String, source: std::io::Error },
    #[error("there is no other deployment to go back to")]
    NothingBefore,
    #[error("there is no deployment {index}\nhint: `ashlar node os status` numbers them")]
    NoSuch { index: usize },
    #[error("the commit {0} has no kernel")]
    NoKernel(String),
}

/// One deployment, as the boot loader orders them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deployment {
    pub version: String,
    /// SHA-256 of the commit.
    pub commit: String,
    /// Tells the deployments of one commit apart: 0, 1, …
    pub serial: i32,
    pub booted: bool,
    /// Becomes the first at the next shutdown.
    pub staged: bool,
    pub pinned: bool,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulled {
    pub objects: u32,
    pub of: u32,
    /// Of a delta; 0 when objects are fetched one by one.
    pub delta_parts: u32,
    /// What came over the wire.
    pub bytes: u64,
}

/// Files with what a machine and a server prove themselves with, PEM.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    pub authority: &'a str,
    pub certificate: &'a str,
    pub key: &'a str,
}

/// A commit's own bytes, and what its detached metadata has of Ed25519 signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub commit: Vec<u8>,
    pub signatures: Vec<Vec<u8>>,
}

/// The running system's deployments.
pub struct System {
    sysroot: ostree::Sysroot,
}

impl System {
    /// To be called before the process has threads: it gets a mount namespace of its own, in which what is read-only
    /// for all others can be changed.
    ///
    /// # Errors
    /// The system was not booted by OSTree, or the process is not root's.
    pub fn open() -> Result<Self, Error> {
        // Before the root is opened: what was opened in another namespace is on another mount, and a file cannot be
        // linked from one mount to another. OSTree would copy every file then.
        // SAFETY: the process has one thread, and only mounts are unshared, no file descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|source| Error::Namespace { source })?;
        let sysroot = ostree::Sysroot::new_default();
        sysroot.set_mount_namespace_in_use();
        sysroot.load(gio::Cancellable::NONE).map_err(doing("reading the deployments"))?;
        if sysroot.booted_deployment().is_none() {
            return Err(Error::NotBooted);
        }
        Ok(Self { sysroot })
    }

    /// All deployments; the first is booted next.
    #[must_use]
    pub fn deployments(&self) -> Vec<Deployment> {
        let booted = self.sysroot.booted_deployment();
        let described = |one: &ostree::Deployment| Deployment {
            version: self.version(&one.csum()),
            commit: one.csum().to_string(),
            serial: one.deployserial(),
            booted: booted.as_ref().is_some_and(|booted| booted.equal(one)),
            staged: one.is_staged(),
            pinned: one.is_pinned(),
        };
        self.sysroot.deployments().iter().map(described).collect()
    }

    fn version(&self, commit: &str) -> String {
        let read = || {
            let (commit, _) = self.sysroot.repo().load_commit(commit).ok()?;
            let metadata = VariantDict::new(Some(&commit.child_value(0)));
            metadata.lookup::<String>("version").ok().flatten()
        };
        read().unwrap_or_else(|| "?".into())
    }

    /// Fetches a commit from a repository (`http://…`, `https://…`, `file:///…`): by a delta, if there is one from a
    /// system that is here, else object by object. What is here already is not fetched; everything is checked against
    /// the commit's SHA-256.
    ///
    /// # Errors
    /// The repository cannot be reached, lacks the commit or is damaged, or there is no space.
    pub fn pull(
        &self,
        repository: &str,
        credential: Option<Credential<'_>>,
        commit: &str,
        told: impl Fn(Pulled) + 'static,
    ) -> Result<Pulled, Error> {
        self.locked(|| self.pull_into(&self.sysroot.repo(), repository, credential, commit, told))
    }

    fn pull_into(
        &self,
        repo: &ostree::Repo,
        repository: &str,
        credential: Option<Credential<'_>>,
        commit: &str,
        told: impl Fn(Pulled) + 'static,
    ) -> Result<Pulled, Error> {
        // OSTree fetches from remotes with a name only. Signatures are checked before, over the whole release.
        let settings = VariantDict::new(None);
        settings.insert("gpg-verify", false);
        if let Some(credential) = credential {
            settings.insert("tls-ca-path", credential.authority);
            settings.insert("tls-client-cert-path", credential.certificate);
            settings.insert("tls-client-key-path", credential.key);
        }
        let remote = if credential.is_some() { CLUSTER_REMOTE } else { REMOTE };
        let known = repo.remote_list().iter().any(|name| name == remote);
        if !known {
            repo.remote_add(remote, Some(repository), Some(&settings.end()), gio::Cancellable::NONE)
                .map_err(doing("naming the repository of updates"))?;
        }
        let options = VariantDict::new(None);
        options.insert("override-url", repository);
        options.insert("refs", vec![commit]);
        let progress = AsyncProgress::new();
        let last = Rc::new(Cell::new(Pulled::default()));
        let seen = Rc::clone(&last);
        progress.connect_changed(move |progress| {
            let pulled = Pulled {
                objects: progress.uint("fetched"),
                of: progress.uint("requested"),
                delta_parts: progress.uint("fetched-delta-parts"),
                bytes: progress.uint64("bytes-transferred"),
            };
            seen.set(pulled);
            told(pulled);
        });
        repo.pull_with_options(remote, &options.end(), Some(&progress), gio::Cancellable::NONE)
            .map_err(doing("fetching the new system"))?;
        // Tells the last state, if it was not told yet.
        progress.finish();
        Ok(last.get())
    }

    /// A commit that is here: what its signatures are over, and the signatures.
    ///
    /// # Errors
    /// It is not here, or damaged.
    pub fn signed(&self, commit: &str) -> Result<Signed, Error> {
        signed(&self.sysroot.repo(), commit)
    }

    /// Keeps a commit that was fetched until another one is kept, and lays a folder of it out at `place`, as links into
    /// the repository: that takes no space.
    ///
    /// # Errors
    /// The commit or the folder is not here, or `place` cannot be written.
    pub fn keep(&self, commit: &str, folder: &Path, place: &Path) -> Result<(), Error> {
        self.locked(|| {
            let repo = self.sysroot.repo();
            repo.set_ref_immediate(None, FETCHED, Some(commit), gio::Cancellable::NONE)
                .map_err(doing("keeping the new system"))?;
            remove(place)?;
            let subpath = Some(folder.to_owned());
            let options = RepoCheckoutAtOptions { subpath, ..RepoCheckoutAtOptions::default() };
            let at = rustix::fs::CWD.as_raw_fd();
            repo.checkout_at(Some(&options), at, place, commit, gio::Cancellable::NONE)
                .map_err(doing("laying out a folder of the new system"))
        })
    }

    /// Stages a commit that was kept, and removes what was laid out of it. Returns the
    /// deployment's serial.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn stage_kept(&self, commit: &str, place: &Path) -> Result<i32, Error> {
        let serial = self.stage(commit)?;
        remove(place)?;
        Ok(serial)
    }

    /// Removes a commit that is not to be used: what is fetched of it later is fetched anew, its signatures too.
    ///
    /// # Errors
    /// It is not here.
    pub fn forget(&self, commit: &str) -> Result<(), Error> {
        let remove =
            || self.sysroot.repo().delete_object(ostree::ObjectType::Commit, commit, gio::Cancellable::NONE);
        self.locked(|| remove().map_err(doing("removing the commit")))
    }

    /// Makes a deployment of a commit that becomes the first at the next shutdown, with today's `/etc` merged into
    /// its own and the kernel arguments of the one before. Returns its serial.
    ///
    /// # Errors
    /// The boot file system has no room for its kernel, or OSTree refuses.
    pub fn stage(&self, commit: &str) -> Result<i32, Error> {
        self.stage_with(commit, None)
    }

    /// The kernel arguments of the deployment that is booted next, as of now.
    #[must_use]
    pub fn kernel_arguments(&self) -> Vec<String> {
        let merge = self.sysroot.merge_deployment(Some(STATEROOT));
        let line = merge.and_then(|merge| merge.bootconfig()).and_then(|entry| entry.get("options"));
        line.iter().flat_map(|line| line.split_whitespace()).map(ToOwned::to_owned).collect()
    }

    /// Makes a deployment of the commit that is booted next now, with other kernel arguments; it becomes the first at
    /// the next shutdown.
    ///
    /// # Errors
    /// The boot file system has no room, or OSTree refuses.
    pub fn stage_kernel_arguments(&self, arguments: &[String]) -> Result<(), Error> {
        let merge = self.sysroot.merge_deployment(Some(STATEROOT)).ok_or(Error::NotBooted)?;
        self.stage_with(&merge.csum(), Some(arguments)).map(drop)
    }

    /// Until `act` ends nobody else changes the deployments. Besides, it is the lock with which OSTree makes the root of
    /// the deployments writable in our namespace: fetching alone would not.
    fn locked<T>(&self, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.sysroot.lock().map_err(doing("locking the deployments"))?;
        let done = act();
        self.sysroot.unlock();
        done
    }

    fn stage_with(&self, commit: &str, arguments: Option<&[String]>) -> Result<i32, Error> {
        self.locked(|| self.stage_locked(commit, arguments))
    }

    fn stage_locked(&self, commit: &str, arguments: Option<&[String]>) -> Result<i32, Error> {
        self.kernel_fits(commit)?;
        let merge = self.sysroot.merge_deployment(Some(STATEROOT));
        let origin = self.sysroot.origin_new_from_refspec(BRANCH);
        let arguments = arguments.map(|all| {
            // OSTree writes its own.
            all.iter().map(String::as_str).filter(|word| !word.starts_with("ostree=")).collect::<Vec<_>>()
        });
        let options = SysrootDeployTreeOpts {
            override_kernel_argv: arguments.as_deref(),
            ..SysrootDeployTreeOpts::default()
        };
        let staged = self.sysroot.stage_tree_with_options(
            Some(STATEROOT),
            commit,
            Some(&origin),
            merge.as_ref(),
            &options,
            gio::Cancellable::NONE,
        );
        let staged = staged.map_err(doing("staging the new system"))?;
        let repo = self.sysroot.repo();
        repo.set_ref_immediate(None, BRANCH, Some(commit), gio::Cancellable::NONE)
            .map_err(doing("naming the new system"))?;
        Ok(staged.deployserial())
    }

    /// Puts the deployment that is second in order first; needs `OSTREE_GRUB2_EXEC` in the environment.
    ///
    /// # Errors
    /// There is none, or OSTree refuses.
    pub fn roll_back(&self) -> Result<Deployment, Error> {
        self.locked(|| {
            let all = self.sysroot.deployments();
            let mut all: Vec<_> = all.into_iter().filter(|one| !one.is_staged()).collect();
            if all.len() < 2 {
                return Err(Error::NothingBefore);
            }
            all.swap(0, 1);
            let written = self.sysroot.write_deployments(&all, gio::Cancellable::NONE);
            written.map_err(doing("changing the order of the deployments"))
        })?;
        self.sysroot.load(gio::Cancellable::NONE).map_err(doing("reading the deployments"))?;
        self.deployments().into_iter().next().ok_or(Error::NothingBefore)
    }

    /// Keeps a deployment from being removed by later updates, or no longer.
    ///
    /// # Errors
    /// There is no deployment at this place of the order, or OSTree refuses.
    pub fn pin(&self, index: usize, pinned: bool) -> Result<(), Error> {
        let all = self.sysroot.deployments();
        let one = all.get(index).ok_or(Error::NoSuch { index })?;
        self.sysroot.deployment_set_pinned(one, pinned).map_err(doing("pinning a deployment"))
    }

    /// Whether the boot file system has room for the commit's kernel.
    ///
    /// # Errors
    /// It has not.
    pub fn fits(&self, commit: &str) -> Result<(), Error> {
        self.kernel_fits(commit)
    }

    /// OSTree would notice at the shutdown only.
    fn kernel_fits(&self, commit: &str) -> Result<(), Error> {
        let (root, _) = self
            .sysroot
            .repo()
            .read_commit(commit, gio::Cancellable::NONE)
            .map_err(doing("reading the new system"))?;
        let modules = root.resolve_relative_path("usr/lib/modules");
        let attributes = "standard::name,standard::size";
        let flags = gio::FileQueryInfoFlags::NOFOLLOW_SYMLINKS;
        let list = |folder: &gio::File| -> Result<Vec<gio::FileInfo>, Error> {
            let all = folder.enumerate_children(attributes, flags, gio::Cancellable::NONE);
            let all = all.map_err(doing("reading the new system"))?;
            Ok(all.into_iter().filter_map(Result::ok).collect())
        };
        let mut needed = 0;
        for kernel in list(&modules)? {
            let files = list(&modules.child(kernel.name()))?;
            let wanted = |info: &&gio::FileInfo| {
                matches!(info.name().to_string_lossy().as_ref(), "vmlinuz" | "initramfs.img")
            };
            needed +=
                files.iter().filter(wanted).map(|info| u64::try_from(info.size()).unwrap_or(0)).sum::<u64>();
        }
        if needed == 0 {
            return Err(Error::NoKernel(commit.to_owned()));
        }
        let free = free_bytes(Path::new("/boot"))?;
        if free < needed + BOOT_MARGIN {
            return Err(Error::BootIsFull { free: free >> 20, needed: (needed + BOOT_MARGIN) >> 20 });
        }
        Ok(())
    }
}

fn remove(place: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(place) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Remove { path: place.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

fn signed(repo: &ostree::Repo, commit: &str) -> Result<Signed, Error> {
    let reading = || doing("reading the commit");
    let object = repo.load_variant(ostree::ObjectType::Commit, commit).map_err(reading())?;
    let metadata = repo.read_commit_detached_metadata(commit, gio::Cancellable::NONE).map_err(reading())?;
    let signatures = metadata.and_then(|metadata| {
        VariantDict::new(Some(&metadata)).lookup::<Vec<Vec<u8>>>(commit_signature::SIGNATURES).ok().flatten()
    });
    Ok(Signed { commit: object.data().to_vec(), signatures: signatures.unwrap_or_default() })
}

fn free_bytes(path: &Path) -> Result<u64, Error> {
    let about = rustix::fs::statvfs(path);
    let about =
        about.map_err(|error| Error::Read { path: path.display().to_string(), source: error.into() })?;
    Ok(about.f_bavail * about.f_frsize)
}

fn doing(doing: &'static str) -> impl Fn(glib::Error) -> Error {
    move |source| Error::Ostree { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one commit of an empty folder.
    fn repository(dir: &Path) -> (ostree::Repo, String) {
        let repo = ostree::Repo::new(&gio::File::for_path(dir.join("repo")));
        let none = gio::Cancellable::NONE;
        repo.create(ostree::RepoMode::Archive, none).expect("a repository");
        std::fs::create_dir(dir.join("tree")).expect("a folder");
        repo.prepare_transaction(none).expect("begun");
        let tree = ostree::MutableTree::new();
        repo.write_directory_to_mtree(&gio::File::for_path(dir.join("tree")), &tree, None, none)
            .expect("written");
        let root = repo.write_mtree(&tree, none).expect("written");
        let root = root.downcast::<ostree::RepoFile>().expect("a tree");
        let commit = repo.write_commit(None, Some("a commit"), None, None, &root, none).expect("committed");
        repo.commit_transaction(none).expect("done");
        (repo, commit.to_string())
    }

    #[test]
    fn the_signature_that_a_release_writes_is_read_by_libostree() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (repo, commit) = repository(dir.path());
        assert!(signed(&repo, &commit).expect("readable").signatures.is_empty());

        let object = dir.path().join(format!("repo/objects/{}/{}.commit", &commit[..2], &commit[2..]));
        let metadata = commit_signature::detached_metadata(&[9; 64]);
        std::fs::write(object.with_extension("commitmeta"), metadata).expect("written");
        let found = signed(&repo, &commit).expect("readable");
        assert_eq!(found.signatures, [vec![9; 64]]);
        assert_eq!(found.commit, std::fs::read(object).expect("read"));
    }
}
