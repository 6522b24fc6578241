//! Runs a program inside a Debian tree that must stay as it is.
//!
//! The tree is the lower layer of an overlay in a private mount namespace: whatever the program changes, and
//! every mount, is gone when it ends, however it ends. Results come out through bound directories.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd, Output};

/// The time of everything that is built, 2025-01-01: two builds of the same are the same. Not 0, which in
/// `/etc/shadow` means that a password must be changed.
pub const SOURCE_DATE_EPOCH: &str = "1735689600";

/// Arguments: stage directory, tree, then `(bind|copy) FROM TO` triples, `--`, program, arguments.
const SCRIPT: &str = r#"
set -eu
stage=$1 tree=$2
shift 2
mount -t tmpfs tmpfs "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$stage/upper,workdir=$stage/work" overlay "$stage/root"
while [ "$1" != -- ]; do
    mkdir -p "$stage/root$3"
    case $1 in
        bind) mount --bind "$2" "$stage/root$3" ;;
        copy) cp -a --no-preserve=ownership "$2/." "$stage/root$3/" ;;
    esac
    shift 3
done
shift
mount -t proc proc "$stage/root/proc"
mount --rbind /sys "$stage/root/sys"
mount --rbind /dev "$stage/root/dev"
mount -t tmpfs tmpfs "$stage/root/tmp"
exec chroot "$stage/root" "$@"
"#;

/// A tree and what is put into it for one run.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `run`"]
pub struct Chroot<'a> {
    tree: &'a Path,
    additions: Vec<OsString>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("making a directory to mount {} on", tree.display())]
    Stage { tree: PathBuf, source: std::io::Error },
    #[error("running `{program}` inside {} (hint: this needs root)", tree.display())]
    Run { tree: PathBuf, program: String, source: cmd::Error },
}

impl<'a> Chroot<'a> {
    pub fn new(tree: &'a Path) -> Self {
        Self { tree, additions: Vec::new(), timeout: Duration::from_secs(900) }
    }

    /// Shows the host's directory `from` at `to`; what is written there stays.
    pub fn bind(self, from: &Path, to: &str) -> Self {
        self.add("bind", from, to)
    }

    /// Copies the contents of the host's directory `from` into `to`, for this run only.
    pub fn copy(self, from: &Path, to: &str) -> Self {
        self.add("copy", from, to)
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// # Errors
    /// The mounts fail (no root) or the program does.
    pub async fn run(self, program: &[&str]) -> Result<Output, Error> {
        let stage =
            tempfile::tempdir().map_err(|source| Error::Stage { tree: self.tree.to_owned(), source })?;
        Cmd::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh"])
            .args([stage.path(), self.tree])
            .args(&self.additions)
            .arg("--")
            .args(program)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
            .timeout(self.timeout)
            .run()
            .await
            .map_err(|source| Error::Run {
                tree: self.tree.to_owned(),
                program: program.first().copied().unwrap_or_default().to_owned(),
                source,
            })
    }

    fn add(mut self, kind: &str, from: &Path, to: &str) -> Self {
        self.additions.extend([kind.into(), from.into(), to.into()]);
        self
    }
}
