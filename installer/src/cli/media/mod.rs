//! `ashlar media`: what is on a medium, and changing it without making it anew. A medium is an ISO image, full or
//! minimal, or a folder that servers boot from by network.

mod answers;
mod changes;
mod inspect;
mod reset;
mod serve;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ashlar_image::{customize, network_boot};
use clap::{Args, Subcommand};

use super::Output;
use crate::failure::{Fails, Failure};

pub use changes::Changes;

#[derive(Subcommand)]
pub enum Command {
    /// Say what a medium is and what was written into its reserved areas. Secrets are not shown.
    Inspect(Medium),
    /// Write network settings, kernel arguments and answers into a medium; nothing is packed anew.
    Customize(Customize),
    /// Make a medium what it was when it was built.
    Reset(Medium),
    /// Check that a medium is the one of a release, whatever is in its reserved areas.
    Verify(verify::Arguments),
    /// Serve a folder over HTTP, with ranges: what minimal media and network boots fetch.
    Serve(serve::Arguments),
}

#[derive(Args)]
pub struct Medium {
    /// ISO image, or folder for network boot.
    #[arg(value_name = "ISO|DIR")]
    path: PathBuf,
}

#[derive(Args)]
pub struct Customize {
    #[command(flatten)]
    medium: Medium,
    /// Leave the medium as it is and change a copy.
    #[arg(long, value_name = "FILE|DIR")]
    to: Option<PathBuf>,
    #[command(flatten)]
    changes: Changes,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Inspect(medium) => inspect::run(&medium.path, output)?,
            Self::Customize(arguments) => arguments.run()?,
            Self::Reset(medium) => reset::run(&medium.path)?,
            Self::Verify(verify) => verify.run()?,
            Self::Serve(serve) => serve.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Customize {
    fn run(self) -> Result<(), Failure> {
        let source = &self.medium.path;
        let target = self.to.as_ref().unwrap_or(source);
        // Refused before anything is copied.
        let written = Written::read(source)?;
        let wanted = self.changes.over(&written, &[])?;
        if target != source {
            if source.is_dir() {
                network_boot::copy(source, target)
                    .failing(|| format!("copying {} to {}", source.display(), target.display()))?;
            } else {
                std::fs::copy(source, target).failing(|| format!("copying to {}", target.display()))?;
            }
        }
        wanted.write(target)
    }
}

/// What is written on a medium for its hosts.
pub struct Written {
    pub version: String,
    /// Compact JSON of the host's view; none when nobody wrote one.
    pub host_view: Option<String>,
    pub kernel_arguments: Vec<String>,
    /// Of a folder: where its root file system is fetched from.
    pub source: Option<String>,
}

impl Written {
    /// # Errors
    /// It is no medium of ours.
    pub fn read(medium: &Path) -> Result<Self, Failure> {
        let doing = || format!("reading {}", medium.display());
        if medium.is_dir() {
            let found = network_boot::inspect(medium).failing(doing)?;
            return Ok(Self {
                version: found.about.version,
                host_view: found.host_view,
                kernel_arguments: found.about.kernel_arguments,
                source: found.about.source,
            });
        }
        let found = customize::inspect(medium).failing(doing)?;
        Ok(Self {
            version: found.media.version,
            host_view: found.host_view,
            kernel_arguments: found.kernel_arguments,
            source: None,
        })
    }

    /// # Errors
    /// Something does not fit, and then nothing was changed; or the medium cannot be written.
    pub fn write(&self, medium: &Path) -> Result<(), Failure> {
        let view = self.host_view.as_deref().unwrap_or("{}").as_bytes();
        let doing = || format!("changing {}", medium.display());
        if medium.is_dir() {
            let source = self.source.clone();
            return network_boot::customize(medium, view, &self.kernel_arguments, source).failing(doing);
        }
        customize::customize(medium, view, &self.kernel_arguments).failing(doing)
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).failing(|| format!("reading {}", path.display()))
}
