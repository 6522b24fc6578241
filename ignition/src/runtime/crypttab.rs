//! What the installed system needs to open the LUKS volumes: `/etc/crypttab`, and their key files.

use std::fs;
use std::path::Path;

use super::disks;
use super::files::{self, Ids};
use super::report::Failure;
use super::root::Root;
use super::volumes;
use crate::disks::commands;
use crate::spec::Luks;

/// In the installed system.
const KEYS: &str = "/etc/luks";

/// # Errors
/// The volume, and why; a repeated run writes the same.
pub(super) async fn write(sysroot: &Path, volumes: &[Luks]) -> Result<(), Failure> {
    let root = Root::new(sysroot);
    for luks in volumes {
        let fail =
            |error: &dyn std::error::Error| Failure::new("files", &luks.name, error, "check the volume");
        let device = luks.device.clone().unwrap_or_default();
        let uuid = disks::run("cryptsetup", vec!["luksUUID".to_owned(), device], &luks.name).await?;
        let place = root.place("/etc/crypttab").map_err(|error| fail(&error))?;
        let old = fs::read_to_string(&place).unwrap_or_default();
        let text = with_line(&old, &luks.name, &commands::crypttab_line(luks, uuid.trim()));
        files::write(&place, text.as_bytes(), 0o600, Ids::default()).map_err(|error| fail(&error))?;
        if commands::uses_clevis(luks) {
            continue;
        }
        let folder = root.directory(KEYS).map_err(|error| fail(&error))?;
        files::set_attributes(&folder, Some(0o700), Ids::default()).map_err(|error| fail(&error))?;
        let key = fs::read(Path::new(volumes::KEYS).join(&luks.name)).map_err(|error| fail(&error))?;
        files::write(&folder.join(&luks.name), &key, 0o600, Ids::default()).map_err(|error| fail(&error))?;
    }
    Ok(())
}

/// The table with this volume's line in place of an older one.
fn with_line(table: &str, name: &str, line: &str) -> String {
    let others = table.lines().filter(|other| other.split_whitespace().next() != Some(name));
    others.map(|other| format!("{other}\n")).chain([line.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_one_line_however_often_the_stage_is_run() {
        let once = with_line("# mine\nold UUID=1 none luks\n", "data", "data UUID=2 none luks\n");
        assert_eq!(once, "# mine\nold UUID=1 none luks\ndata UUID=2 none luks\n");
        assert_eq!(with_line(&once, "data", "data UUID=2 none luks\n"), once);
    }
}
