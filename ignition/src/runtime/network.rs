//! The network that the first boot fetches over: NetworkManager keyfiles in the config slot's own configuration, which
//! are needed before anything can be fetched.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::first_boot::read_slot;
use super::report::Failure;

const KEYFILES: &str = "/etc/NetworkManager/system-connections/";
const INLINE: &str = "data:;base64,";
const STAGE: &str = "network";
const REMEDY: &str = "install the host again";

/// Writes the slot's keyfiles into `folder`, for NetworkManager to read. Returns how many.
///
/// # Errors
/// The slot cannot be read, a keyfile is not in it as it must be, or the folder cannot be written.
pub fn network(slot: &Path, offset: u64, folder: &Path) -> Result<usize, Failure> {
    let Some(slot) = read_slot(slot, offset)? else { return Ok(0) };
    let files = keyfiles(&slot.ignition).map_err(|path| {
        Failure::new(STAGE, path, &io::Error::other("it is not in the slot itself"), REMEDY)
    })?;
    let keep = |error| Failure::new(STAGE, folder.display(), &error, "restart the host");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(keep)?;
    for (name, contents) in &files {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(name));
        file.and_then(|mut file| file.write_all(contents)).map_err(keep)?;
    }
    Ok(files.len())
}

/// Names and contents; the path of the first that cannot be used.
fn keyfiles(config: &Value) -> Result<Vec<(&str, Vec<u8>)>, &str> {
    let files = config["storage"]["files"].as_array().into_iter().flatten();
    let files = files.filter_map(|file| Some((file["path"].as_str()?, &file["contents"]["source"])));
    let ours = files.filter_map(|(path, source)| Some((path, path.strip_prefix(KEYFILES)?, source)));
    ours.map(|(path, name, source)| {
        let encoded = source.as_str().and_then(|source| source.strip_prefix(INLINE));
        let contents = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        contents.filter(|_| !name.contains('/')).map(|contents| (name, contents)).ok_or(path)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_keyfiles_that_are_in_the_slot_itself_are_taken() {
        let file = |path: &str, source: &str| json!({"path": path, "contents": {"source": source}});
        let path = format!("{KEYFILES}eth0.nmconnection");
        let config =
            json!({"storage": {"files": [file("/etc/hosts", "data:,x"), file(&path, "data:;base64,YWJj")]}});
        assert_eq!(keyfiles(&config), Ok(vec![("eth0.nmconnection", b"abc".to_vec())]));
        let elsewhere = json!({"storage": {"files": [file(&path, "https://192.0.2.1/eth0")]}});
        assert_eq!(keyfiles(&elsewhere), Err(path.as_str()));
        let outside = json!({"storage": {"files": [file(&format!("{KEYFILES}../x"), "data:;base64,YWJj")]}});
        assert!(keyfiles(&outside).is_err());
        assert_eq!(keyfiles(&json!({"ignition": {"version": "3.5.0"}})), Ok(vec![]));
    }
}
