//! Where things are.

use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Where cargo puts programs.
pub fn programs() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("debug")
}

/// The command line of the product.
pub fn ashlar() -> PathBuf {
    programs().join("ashlar")
}

/// `$ASHLAR_CACHE`, `$XDG_CACHE_HOME/ashlar` or `~/.cache/ashlar`, as the product has it.
pub fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("ASHLAR_CACHE") {
        return PathBuf::from(cache);
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from).join("ashlar")
}
