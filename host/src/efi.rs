//! The firmware's own list of what to boot (UEFI specification, 3.1), through efibootmgr.

use std::path::Path;

use crate::cmd::{Cmd, Error};

/// Puts one entry with this label first in the boot order: `loader`, a path with backslashes, in the disk's
/// partition `partition`. Entries of the same label that an earlier install made are removed.
///
/// # Errors
/// The firmware keeps no variables, or refuses the entry.
pub async fn boot_first(disk: &Path, partition: u32, loader: &str, label: &str) -> Result<(), Error> {
    forget(label).await?;
    let create = Cmd::new("efibootmgr").args(["--quiet", "--create", "--disk"]).arg(disk);
    let create = create.args(["--part", &partition.to_string(), "--loader", loader, "--label", label]);
    create.run().await.map(drop)
}

/// Removes all entries with this label.
///
/// # Errors
/// The firmware keeps no variables, or refuses.
pub async fn forget(label: &str) -> Result<(), Error> {
    let listed = Cmd::new("efibootmgr").run().await?.stdout;
    for number in labelled(&listed, label) {
        Cmd::new("efibootmgr").args(["--quiet", "--bootnum", &number, "--delete-bootnum"]).run().await?;
    }
    Ok(())
}

/// `Boot0001* Label<TAB>device path`; a star marks an active entry.
fn labelled(listed: &str, label: &str) -> Vec<String> {
    let number = |line: &str| {
        let (number, rest) = line.strip_prefix("Boot")?.split_at_checked(4)?;
        let rest = rest.strip_prefix("* ").or_else(|| rest.strip_prefix("  "))?;
        let own = rest.split('\t').next()? == label;
        (own && number.chars().all(|digit| digit.is_ascii_hexdigit())).then(|| number.to_owned())
    };
    listed.lines().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_their_whole_label() {
        let listed = "BootCurrent: 0003\nTimeout: 3 seconds\nBootOrder: 0003,000A,0000\n\
                      Boot0000* UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)\n\
                      Boot0003* Ashlar\tHD(2,GPT,0-0,0x1000,0x84000)/\\EFI\\BOOT\\BOOTX64.EFI\n\
                      Boot000A  Ashlar\nBoot000B* Ashlar 2\tHD(2)\n";
        assert_eq!(labelled(listed, "Ashlar"), ["0003", "000A"]);
    }
}
