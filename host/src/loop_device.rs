//! Loop devices: a file, or a range of it, as a block device (`losetup`).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cmd::{self, Cmd};
use crate::mount::Access;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("attaching {} to a loop device", file.display())]
    Attach { file: PathBuf, source: cmd::Error },
    #[error("detaching {}", device.display())]
    Detach { device: PathBuf, source: cmd::Error },
    #[error("listing loop devices")]
    List { source: cmd::Error },
    #[error("understanding the list of loop devices")]
    Json(#[from] serde_json::Error),
}

/// A part of a file, in bytes; `size: None` means to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    pub offset: u64,
    pub size: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoopDevice {
    pub name: PathBuf,
    #[serde(rename = "back-file")]
    pub file: Option<PathBuf>,
    pub offset: u64,
}

/// Attaches a range of `file` to a free loop device and returns the device.
///
/// # Errors
/// The file does not exist, or no device is free.
pub async fn attach(file: &Path, range: Range, access: Access) -> Result<PathBuf, Error> {
    let output = Cmd::new("losetup")
        .args(attach_args(file, range, access))
        .run()
        .await
        .map_err(|source| Error::Attach { file: file.to_owned(), source })?;
    Ok(PathBuf::from(output.stdout.trim()))
}

fn attach_args(file: &Path, range: Range, access: Access) -> Vec<String> {
    let mut args = vec!["--find".to_owned(), "--show".to_owned(), format!("--offset={}", range.offset)];
    args.extend(range.size.map(|size| format!("--sizelimit={size}")));
    if access == Access::ReadOnly {
        args.push("--read-only".into());
    }
    args.push(file.display().to_string());
    args
}

/// Detaches now, or as soon as the last mount or open file of the device is gone.
///
/// # Errors
/// The device is not attached.
pub async fn detach(device: &Path) -> Result<(), Error> {
    let run = Cmd::new("losetup").arg("--detach").arg(device).run().await;
    run.map(drop).map_err(|source| Error::Detach { device: device.to_owned(), source })
}

/// Every attached loop device of this kernel.
///
/// # Errors
/// `losetup` fails or prints something else than expected.
pub async fn list() -> Result<Vec<LoopDevice>, Error> {
    let output = Cmd::new("losetup").args(["--list", "--json"]).run().await;
    parse_list(&output.map_err(|source| Error::List { source })?.stdout)
}

fn parse_list(text: &str) -> Result<Vec<LoopDevice>, Error> {
    #[derive(Deserialize)]
    struct List {
        loopdevices: Vec<LoopDevice>,
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_str::<List>(text)?.loopdevices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_becomes_offset_and_size_limit() {
        let range = Range { offset: 512, size: Some(1024) };
        assert_eq!(
            attach_args(Path::new("/a"), range, Access::ReadOnly),
            ["--find", "--show", "--offset=512", "--sizelimit=1024", "--read-only", "/a"]
        );
    }

    #[test]
    fn no_device_is_an_empty_answer() {
        assert!(parse_list("").expect("empty").is_empty());
        let one = r#"{"loopdevices":[{"name":"/dev/loop0","sizelimit":0,"offset":7,"back-file":"/x"}]}"#;
        let expected = LoopDevice { name: "/dev/loop0".into(), file: Some("/x".into()), offset: 7 };
        assert_eq!(parse_list(one).expect("valid"), [expected]);
    }
}
