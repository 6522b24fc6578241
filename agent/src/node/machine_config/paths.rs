//! Users and groups by name, from the files of the machine: no other service knows them.

use std::path::Path;

use anyhow::Context;
use ashlar_ignition::Principal;
use ashlar_ignition::running::Principals;

use super::below;

/// Numbers of a user and a group; root's when they are not named.
///
/// # Errors
/// A name that this machine does not know.
pub fn owner(root: &Path, owner: &Principals) -> anyhow::Result<(u32, u32)> {
    let number = |principal: &Option<Principal>, files: [&str; 2]| match principal {
        None => Ok(0),
        Some(Principal::Id(id)) => Ok(*id),
        Some(Principal::Name(name)) => {
            let found = files.iter().find_map(|file| field(&below(root, file), name, 2)?.parse().ok());
            found.with_context(|| format!("{name} is neither in {} nor in {}", files[0], files[1]))
        }
    };
    let user = number(&owner.user, ["/etc/passwd", "/usr/lib/passwd"])?;
    let group = number(&owner.group, ["/etc/group", "/usr/lib/group"])?;
    Ok((user, group))
}

/// Number, group and home directory of a user.
pub fn account(root: &Path, name: &str) -> Option<(u32, u32, String)> {
    let of =
        |at| ["/etc/passwd", "/usr/lib/passwd"].iter().find_map(|file| field(&below(root, file), name, at));
    Some((of(2)?.parse().ok()?, of(3)?.parse().ok()?, of(5)?))
}

/// passwd(5), group(5): fields between colons, the name first.
fn field(file: &Path, name: &str, at: usize) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(at).map(ToOwned::to_owned)
}
