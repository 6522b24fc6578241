//! Puts the inventory of a release together, and the documents of the system and of each image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Content, Document, Error, Inventory, SYSTEM, crates, debian, modules};
use crate::images;
use crate::packages::lock::Lock;
use crate::system::{self, Programs};

/// What a release is made of.
pub struct Sources<'a> {
    /// The repository.
    pub root: &'a Path,
    /// Debian package tree, and its lock.
    pub tree: &'a Path,
    pub lock: &'a Lock,
    pub upstream: &'a Programs,
    pub ours: &'a Programs,
    /// Name and version of the component that makes a program.
    pub components: &'a BTreeMap<String, (String, String)>,
    pub versions: &'a BTreeMap<String, String>,
    /// Of the release.
    pub version: &'a str,
    pub with_images: bool,
}

/// The inventory, and documents by file name.
///
/// # Errors
/// cargo or Go is not there, or a package database cannot be read.
pub async fn collect(sources: &Sources<'_>) -> Result<(Inventory, Vec<(String, Document)>), Error> {
    let inventory = inventory(sources).await?;
    let present =
        |name: &&'static str| sources.upstream.contains_key(*name) || sources.ours.contains_key(*name);
    let content = Content {
        name: "ashlar",
        version: sources.version,
        debian: inventory.debian.keys().map(String::as_str).collect(),
        programs: system::programs().filter(present).collect(),
    };
    let mut documents = vec![(SYSTEM.to_owned(), inventory.document(&content))];
    if sources.with_images {
        let owners = debian::owners(sources.tree)?;
        for image in images::contents(sources.upstream, sources.versions, sources.tree, sources.ours)? {
            let owner = |file: &String| owners.get(file).map(String::as_str);
            let content = Content {
                name: image.name,
                version: &image.version,
                debian: image.files.iter().filter_map(owner).collect(),
                programs: image.programs.iter().copied().collect(),
            };
            documents.push((format!("{}.spdx.json", image.name), inventory.document(&content)));
        }
    }
    Ok((inventory, documents))
}

async fn inventory(sources: &Sources<'_>) -> Result<Inventory, Error> {
    let debian = debian::components(sources.tree, sources.lock)?;
    let files: BTreeMap<String, PathBuf> = sources.upstream.clone();
    let mut programs = modules::programs(&files, sources.components).await?;
    let names: BTreeSet<&str> = sources.ours.keys().map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    programs.extend(crates::programs(sources.root, &names, sources.version).await?);
    Ok(Inventory { debian, programs })
}
