//! `ashlar media verify`.

use std::path::{Path, PathBuf};

use ashlar_image::{customize, network_boot, release as directory};
use ashlar_model::release::Release;
use clap::Args;

use super::{Medium, read};
use crate::engine::release::locate;
use crate::failure::{Fails, Failure};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    medium: Medium,
    /// Release directory; default: the newest of the cache.
    #[arg(long, value_name = "DIR")]
    release: Option<PathBuf>,
    /// Public key (minisign) that must have signed the release; default: the one beside it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self) -> Result<(), Failure> {
        let medium = &self.medium.path;
        let path = locate(self.release.as_deref())?;
        let key = self.key.as_ref().map(|path| read(path)).transpose()?;
        let release = directory::read_signed(&path, key.as_deref())
            .failing(|| format!("reading the release in {}", path.display()))?;
        if medium.is_dir() {
            folder(medium, &path, &release)?;
        } else {
            image(medium, &release)?;
        }
        println!("{} is the medium of release {}", medium.display(), release.version);
        Ok(())
    }
}

fn image(image: &Path, release: &Release) -> Result<(), Failure> {
    let doing = || format!("reading {}", image.display());
    let full = customize::inspect(image).failing(doing)?.media.root_filesystem.is_some();
    let name = if full { directory::MEDIUM } else { directory::MINIMAL_MEDIUM };
    let wanted = release.files.get(name);
    let wanted = wanted.ok_or_else(|| Failure::user(format!("release {} has no {name}", release.version)))?;
    let (found, bytes) = customize::digest_as_built(image).failing(doing)?;
    if found == wanted.sha256 {
        return Ok(());
    }
    Err(differs(image, release).because(if bytes == wanted.bytes {
        format!("its contents differ: SHA-256 {found}, should be {}", wanted.sha256)
    } else {
        format!("it has {bytes} bytes, should have {}", wanted.bytes)
    }))
}

/// Its files come from the release's minimal medium, which is checked first.
fn folder(dir: &Path, path: &Path, release: &Release) -> Result<(), Failure> {
    let minimal = path.join(directory::MINIMAL_MEDIUM);
    image(&minimal, release)?;
    let wrong = network_boot::differences(dir, &minimal).failing(|| format!("reading {}", dir.display()))?;
    if wrong.is_empty() { Ok(()) } else { Err(differs(dir, release).because(wrong.join("; "))) }
}

fn differs(medium: &Path, release: &Release) -> Failure {
    Failure::user(format!("{} is not the medium of release {}", medium.display(), release.version))
        .hint("copy or make it again, or name its own release with --release")
}
