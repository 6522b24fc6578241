//! Authorities that the medium brings for the live system, besides Debian's.

use std::path::Path;

use anyhow::Context;

use crate::durable;

const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub fn add(certificates: &str) -> anyhow::Result<()> {
    add_to(Path::new(BUNDLE), certificates)
}

/// Once, however often the agent starts.
fn add_to(bundle: &Path, certificates: &str) -> anyhow::Result<()> {
    if certificates.is_empty() {
        return Ok(());
    }
    let mut text =
        std::fs::read_to_string(bundle).with_context(|| format!("reading {}", bundle.display()))?;
    if text.contains(certificates.trim()) {
        return Ok(());
    }
    text.push_str(certificates.trim());
    text.push('\n');
    Ok(durable::write(bundle, text.as_bytes(), 0o644)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_added_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let bundle = dir.path().join("bundle");
        std::fs::write(&bundle, "debian\n").expect("written");
        for certificates in ["", "own\n", "own\n"] {
            add_to(&bundle, certificates).expect("added");
        }
        assert_eq!(std::fs::read_to_string(&bundle).expect("read"), "debian\nown\n");
    }
}
