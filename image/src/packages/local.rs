//! An archive on this disk with the packages of one build. It is not signed: each package was checked when it was
//! fetched, by Debian's signature or by the lock.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::lock::Locked;
use super::{Error, FILES, keep};

/// Writes the lists of an archive over the packages below `dir`.
pub fn write(
    dir: &Path,
    suite: &str,
    architecture: &str,
    controls: &[(Locked, String)],
) -> Result<(), Error> {
    let folder = format!("main/binary-{architecture}/Packages");
    let packages: String = controls.iter().map(|(one, control)| stanza(one, control)).collect();
    let sha256 = hex::encode(Sha256::digest(&packages));
    let release = format!(
        "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: {suite}\nArchitectures: {architecture}\n\
         Components: main\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {sha256} {} {folder}\n",
        packages.len()
    );
    let lists = dir.join("dists").join(suite);
    for (path, text) in [(lists.join(folder), packages), (lists.join("Release"), release)] {
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(keep(&path))?;
        fs::write(&path, text).map_err(keep(&path))?;
    }
    Ok(())
}

/// The line of apt's sources for it.
pub fn source(dir: &Path, suite: &str) -> String {
    format!("deb [trusted=yes] copy://{} {suite} main\n", dir.display())
}

fn stanza(one: &Locked, control: &str) -> String {
    let Locked { sha256, bytes, .. } = one;
    format!("{}\nFilename: {FILES}/{}\nSize: {bytes}\nSHA256: {sha256}\n\n", control.trim_end(), one.file())
}
