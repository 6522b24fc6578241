//! `ashlar create media`: boot media of a verified release, in a folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ashlar_image::{medium, network_boot, release as directory};
use clap::{Args, ValueEnum};

use super::media::{Changes, Written};
use super::{Output, print_json};
use crate::directory::InstallDirectory;
use crate::engine::release::locate;
use crate::engine::steps::serve::network_keyfiles;
use crate::failure::{Fails, Failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// One ISO image with everything in it.
    Full,
    /// A small ISO image, and the root file system that it fetches.
    Minimal,
    /// A folder for iPXE, PXE and UEFI HTTP boot.
    Network,
}

#[derive(Args)]
pub struct Arguments {
    /// Folder to fill.
    #[arg(long, value_name = "DIR", default_value = "media")]
    to: PathBuf,
    /// What to make; with commas for more than one.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "full")]
    kind: Vec<Kind>,
    /// Release directory; default: the newest of the cache.
    #[arg(long, value_name = "DIR")]
    release: Option<PathBuf>,
    /// Public key (minisign) that must have signed the release; default: the one beside it.
    #[arg(long, value_name = "FILE")]
    release_key: Option<PathBuf>,
    /// Write the network settings of this host of the install directory (`--dir`).
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Install directory that `--host` is looked up in.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    changes: Changes,
}

impl Arguments {
    pub fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let release = locate(self.release.as_deref())?;
        let key = self.release_key.as_ref().map(std::fs::read_to_string).transpose();
        let key = key.failing(|| "reading the release key".into())?;
        let verified = directory::verify(&release, key.as_deref());
        let verified = verified.failing(|| format!("checking the release in {}", release.display()))?;
        let keyfiles = self.host.as_deref().map(|name| keyfiles(&self.dir, name)).transpose()?;
        std::fs::create_dir_all(&self.to).failing(|| format!("making {}", self.to.display()))?;
        let mut made = Vec::new();
        for kind in &self.kind {
            let (path, beside) = make(*kind, &release, &self.to)?;
            let wanted =
                self.changes.over(&Written::read(&path)?, keyfiles.as_deref().unwrap_or_default())?;
            wanted.write(&path)?;
            made.push(path);
            made.extend(beside);
        }
        if output == Output::Json {
            print_json(&serde_json::json!({"version": verified.version, "files": made}))?;
        } else {
            made.iter().for_each(|path| println!("{}", path.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The medium, and what lies beside it to be served.
fn make(kind: Kind, release: &Path, to: &Path) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    let (full, minimal) = (release.join(directory::MEDIUM), release.join(directory::MINIMAL_MEDIUM));
    let copy = |from: &Path| -> Result<PathBuf, Failure> {
        let path = to.join(from.file_name().unwrap_or_default());
        std::fs::copy(from, &path).failing(|| format!("copying {} to {}", from.display(), path.display()))?;
        Ok(path)
    };
    match kind {
        Kind::Full => Ok((copy(&full)?, None)),
        Kind::Minimal => {
            let path = to.join(network_boot::ROOT_FILE_SYSTEM);
            let made = network_boot::extract(&full, medium::ROOT_FILE_SYSTEM, &path);
            made.failing(|| format!("making {}", path.display()))?;
            Ok((copy(&minimal)?, Some(path)))
        }
        Kind::Network => {
            let path = to.join("network");
            let made = network_boot::make(&full, &minimal, &path);
            made.failing(|| format!("making {}", path.display()))?;
            Ok((path, None))
        }
    }
}

fn keyfiles(dir: &Path, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let configuration = InstallDirectory::new(dir).configuration()?;
    let host = configuration.hosts().find(|host| host.name == name).ok_or_else(|| {
        let known: Vec<&str> = configuration.hosts().map(|host| host.name.as_str()).collect();
        let failure = Failure::user(format!("agent-config.yaml names no host {name}"));
        failure.hint(format!("it has {}", known.join(", ")))
    })?;
    network_keyfiles(host)
}
