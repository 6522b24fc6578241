//! What is in a release: every Debian package, program, crate and Go module, with version and licence, as SPDX 2.3
//! documents (the system, each container image) and as a plain list. What nobody said is `NOASSERTION`.

mod collect;
pub mod crates;
pub mod debian;
pub mod licence;
pub mod modules;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use collect::{Sources, collect};
pub use spdx::Document;

/// In the system and in the release directory: the documents.
pub const FOLDER: &str = "sbom";
/// In that folder.
pub const SYSTEM: &str = "system.spdx.json";
pub const LICENCES: &str = "licences.txt";
/// What SPDX says for "nobody told".
pub const UNKNOWN: &str = "NOASSERTION";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listing the Debian packages")]
    Debian(#[from] debian::Error),
    #[error("listing the crates of our programs")]
    Crates(#[from] crates::Error),
    #[error("listing the Go modules of the upstream programs")]
    Modules(#[from] modules::Error),
    #[error("listing what is in the container images")]
    Images(#[from] crate::images::Error),
    #[error("describing what is in {name}")]
    Describe { name: String, source: serde_json::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Something with a version and a licence of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    pub kind: Kind,
    pub name: String,
    pub version: String,
    /// SPDX expression, or `UNKNOWN`.
    pub licence: String,
    /// What it was built from, in words.
    pub source: String,
    /// Package URL.
    pub purl: String,
    /// Of what was downloaded, if known.
    pub sha256: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Debian,
    Program,
    Crate,
    GoModule,
}

/// A program and what is linked into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub component: Component,
    pub parts: Vec<Component>,
}

/// All that a release can hold, by name.
#[derive(Debug, Default)]
pub struct Inventory {
    pub debian: BTreeMap<String, Component>,
    pub programs: BTreeMap<String, Program>,
}

/// One thing that is described: the system, or an image.
pub struct Content<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub debian: BTreeSet<&'a str>,
    pub programs: BTreeSet<&'a str>,
}

impl Inventory {
    /// The document of `content`. What of it is in no inventory is not in the document.
    #[must_use]
    pub fn document(&self, content: &Content<'_>) -> Document {
        let debian = content.debian.iter().filter_map(|name| self.debian.get(*name));
        let programs: Vec<&Program> =
            content.programs.iter().filter_map(|name| self.programs.get(*name)).collect();
        let debian: Vec<&Component> = debian.collect();
        spdx::document(content.name, content.version, &debian, &programs)
    }

    /// Every component with its licence, a line each.
    #[must_use]
    pub fn licences(&self) -> String {
        let mut all: BTreeSet<&Component> = self.debian.values().collect();
        for program in self.programs.values() {
            all.insert(&program.component);
            all.extend(&program.parts);
        }
        let mut text = String::from(
            "What this release is made of, with its licences as SPDX expressions. NOASSERTION: nobody said so in a\n\
             form that a program can read; of Debian packages the texts are in /usr/share/doc/PACKAGE/copyright.\n\
             LicenseRef-Debian-X is what Debian's copyright files call X.\n\n",
        );
        for one in all {
            let kind = one.kind.words();
            text += &format!("{kind:<9} {} {}: {}\n", one.name, one.version, one.licence);
        }
        text
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Program => "program",
            Self::Crate => "crate",
            Self::GoModule => "Go module",
        }
    }
}

/// Writes documents and licence list into `folder`. Returns their names.
///
/// # Errors
/// A file cannot be written.
pub fn write(
    folder: &Path,
    documents: &[(String, Document)],
    inventory: &Inventory,
) -> Result<Vec<String>, Error> {
    let place = |path: PathBuf, bytes: &[u8]| {
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes));
        written.map_err(|source| Error::Write { path, source })
    };
    let mut names = vec![LICENCES.to_owned()];
    place(folder.join(LICENCES), inventory.licences().as_bytes())?;
    for (name, document) in documents {
        let text =
            serde_json::to_vec(document).map_err(|source| Error::Describe { name: name.clone(), source })?;
        place(folder.join(name), &text)?;
        names.push(name.clone());
    }
    Ok(names)
}

/// A number for a document, the same for the same contents.
fn fingerprint(parts: &[&Component]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{}\n{}\n{:?}\n", part.purl, part.licence, part.sha256));
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests;
