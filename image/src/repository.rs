//! The release's OSTree repository: what nodes fetch an update from. It is an `archive` one, plain files for any web
//! server; a node takes only the objects that it has not, and checks each.

use std::path::Path;

use crate::chroot::{self, Chroot};
use crate::commit::BRANCH;

/// In the release directory.
pub const DIRECTORY: &str = "ostree";
/// In the directory of the base: its objects, packed once for all releases.
pub const BASE: &str = "archive";

#[derive(Debug, thiserror::Error)]
#[error("making the release's OSTree repository")]
pub struct Error(#[source] chroot::Error);

/// Packs what `commit::commit_base` committed in `work`.
///
/// # Errors
/// ostree fails (no space).
pub async fn pack_base(packages: &Path, work: &Path) -> Result<(), Error> {
    let script = format!(
        "set -eu; cd /mnt/work
         ostree --repo={BASE} init --mode=archive
         ostree --repo={BASE} config set archive.zlib-level 2
         ostree --repo={BASE} config set core.fsync false
         ostree --repo={BASE} pull-local repo base"
    );
    let run = Chroot::new(packages).bind(work, "/mnt/work").run(&["sh", "-c", &script]).await;
    run.map(drop).map_err(Error)
}

/// Makes `target`, the base's objects and what the release has besides. All paths are below `cache`.
///
/// # Errors
/// ostree fails (no space).
pub async fn publish(
    packages: &Path,
    cache: &Path,
    base: &Path,
    sysroot: &Path,
    target: &Path,
) -> Result<(), Error> {
    let script = format!(
        "set -eu
         cp -al \"$1/{BASE}\" \"$3\"
         cp --remove-destination \"$1/{BASE}/config\" \"$3/config\"
         ostree --repo=\"$3\" pull-local \"$2/ostree/repo\" {BRANCH}
         ostree --repo=\"$3\" refs --delete base
         ostree --repo=\"$3\" prune --refs-only
         ostree --repo=\"$3\" summary --update
         ostree --repo=\"$3\" config unset core.fsync
         rm -f \"$3/.lock\""
    );
    let inside = |path: &Path| {
        let below = path.strip_prefix(cache).unwrap_or(path);
        Path::new("/mnt/cache").join(below).to_string_lossy().into_owned()
    };
    let run = Chroot::new(packages)
        .bind(cache, "/mnt/cache")
        .run(&["sh", "-c", &script, "sh", &inside(base), &inside(sysroot), &inside(target)])
        .await;
    run.map(drop).map_err(Error)
}
