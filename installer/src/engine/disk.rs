//! Which disk a host is installed to, and whether it may be overwritten. Pure.

use std::collections::BTreeSet;

use ashlar_model::config::{Host, choose};
use ashlar_model::inventory::{Disk, Inventory};
use serde::{Deserialize, Serialize};

/// What `--wipe` said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Consent {
    #[default]
    Nobody,
    All,
    Hosts(BTreeSet<String>),
}

/// A disk as it was when it was chosen; another one in its place is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenDisk {
    pub name: String,
    pub serial: Option<String>,
    /// Tells the namespaces of one NVMe drive apart, which share its serial number.
    #[serde(default)]
    pub wwn: Option<String>,
    pub size_bytes: u64,
    /// Other disks of the host that hold an Ashlar system, which is erased: firmware, boot loader and kernel find
    /// theirs by labels and could take it for the new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_systems: Vec<ChosenDisk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub cause: String,
    pub hint: String,
}

impl Consent {
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::All => true,
            Self::Hosts(names) => names.contains(host),
        }
    }
}

impl std::str::FromStr for Consent {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: BTreeSet<String> =
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(match names.contains("all") {
            true => Self::All,
            false if names.is_empty() => Self::Nobody,
            false => Self::Hosts(names),
        })
    }
}

/// The disk to install to. `ours`: this install has written to it before, so what is on it is no surprise.
///
/// # Errors
/// No or several disks match, or the one holds data, or another one an Ashlar system, and nobody consented.
pub fn decide(
    host: &Host,
    inventory: &Inventory,
    consent: &Consent,
    ours: bool,
) -> Result<ChosenDisk, Refusal> {
    let disk = choose(&host.root_device_hints, &inventory.disks).map_err(|none| Refusal {
        cause: none.to_string(),
        hint: format!(
            "set rootDeviceHints of {} so that exactly one disk matches (`ashlar explain \
             platform.baremetal.hosts.rootDeviceHints`), then run the same command again",
            host.name
        ),
    })?;
    if !disk.contents.is_empty() && !ours && !consent.covers(&host.name) {
        return Err(Refusal {
            cause: format!("{} holds data and was not touched: {}", disk.name, disk.contents.join(", ")),
            hint: format!("if it may be overwritten, run the same command with --wipe {}", host.name),
        });
    }
    let others = inventory.disks.iter().filter(|other| other.has_system && other.name != disk.name);
    let old_systems: Vec<ChosenDisk> = others.map(chosen).collect();
    if let Some(other) = old_systems.first()
        && !consent.covers(&host.name)
    {
        return Err(Refusal {
            cause: format!(
                "{} (serial {}) holds an Ashlar system, which this machine could boot instead of the one on {}",
                other.name,
                other.serial.as_deref().unwrap_or("unknown"),
                disk.name
            ),
            hint: format!(
                "name it in rootDeviceHints to install there, or erase it with --wipe {}, or take it out",
                host.name
            ),
        });
    }
    Ok(ChosenDisk { old_systems, ..chosen(disk) })
}

/// The disk that was chosen before, whatever it is called now.
///
/// # Errors
/// It is not there.
pub fn find(wanted: &ChosenDisk, inventory: &Inventory) -> Result<ChosenDisk, Refusal> {
    let same = |disk: &&Disk| match &wanted.serial {
        Some(serial) => {
            let known = wanted.wwn.is_none() || disk.wwn == wanted.wwn;
            known && disk.serial.as_ref() == Some(serial) && disk.size_bytes == wanted.size_bytes
        }
        None => disk.name == wanted.name && disk.size_bytes == wanted.size_bytes,
    };
    inventory
        .disks
        .iter()
        .find(same)
        .map(chosen)
        .map(|found| ChosenDisk { old_systems: wanted.old_systems.clone(), ..found })
        .ok_or_else(|| Refusal {
            cause: format!(
                "the disk that was installed ({}, serial {}) is not in the machine any more",
                wanted.name,
                wanted.serial.as_deref().unwrap_or("unknown")
            ),
            hint: "put the disk back, or wipe it elsewhere".into(),
        })
}

fn chosen(disk: &Disk) -> ChosenDisk {
    ChosenDisk {
        name: disk.name.clone(),
        serial: disk.serial.clone(),
        wwn: disk.wwn.clone(),
        size_bytes: disk.size_bytes,
        old_systems: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::configuration;

    fn inventory(disks: &[(&str, &str, &[&str])]) -> Inventory {
        let disk = |(name, serial, contents): &(&str, &str, &[&str])| Disk {
            name: (*name).into(),
            serial: Some((*serial).into()),
            size_bytes: 100 << 30,
            contents: contents.iter().map(ToString::to_string).collect(),
            ..Disk::default()
        };
        Inventory { disks: disks.iter().map(disk).collect(), ..Inventory::default() }
    }

    fn host() -> Host {
        configuration().install.hosts[0].clone()
    }

    #[test]
    fn a_disk_with_data_needs_consent_and_names_what_is_on_it() {
        let inventory = inventory(&[("/dev/vda", "s1", &["ext4 `data`"])]);
        let refusal = decide(&host(), &inventory, &Consent::Nobody, false).expect_err("data");
        assert!(
            refusal.cause.contains("ext4 `data`") && refusal.hint.contains("--wipe master-1"),
            "{refusal:?}"
        );
        for (consent, ours) in [("all", false), ("x,master-1", false), ("x", true)] {
            let consent = consent.parse().expect("infallible");
            assert!(decide(&host(), &inventory, &consent, ours).is_ok());
        }
    }

    #[test]
    fn an_old_system_on_another_disk_is_erased_with_consent_only() {
        let mut inventory = inventory(&[("/dev/vda", "s1", &[]), ("/dev/vdb", "s2", &["GPT"])]);
        inventory.disks[1].has_system = true;
        let mut host = host();
        host.root_device_hints.device_name = Some("/dev/vda".into());
        let refusal = decide(&host, &inventory, &Consent::Nobody, false).expect_err("an old system");
        assert!(
            refusal.cause.contains("/dev/vdb (serial s2)") && refusal.hint.contains("--wipe master-1"),
            "{refusal:?}"
        );
        let chosen = decide(&host, &inventory, &Consent::All, false).expect("consent");
        let erased: Vec<&str> = chosen.old_systems.iter().map(|disk| disk.name.as_str()).collect();
        assert_eq!(erased, ["/dev/vdb"]);
        inventory.disks[1].has_system = false;
        assert!(
            decide(&host, &inventory, &Consent::Nobody, false).is_ok(),
            "other data is none of our business"
        );
    }

    #[test]
    fn two_disks_without_hints_stop_the_install() {
        let inventory = inventory(&[("/dev/vda", "s1", &[]), ("/dev/vdb", "s2", &[])]);
        let refusal = decide(&host(), &inventory, &Consent::All, false).expect_err("two");
        assert!(
            refusal.cause.contains("/dev/vda") && refusal.cause.contains("/dev/vdb"),
            "{}",
            refusal.cause
        );
    }

    #[test]
    fn a_disk_is_found_again_by_its_serial_number() {
        let wanted = ChosenDisk {
            name: "/dev/vda".into(),
            serial: Some("s1".into()),
            wwn: None,
            size_bytes: 100 << 30,
            old_systems: Vec::new(),
        };
        let moved = inventory(&[("/dev/vda", "s2", &[]), ("/dev/vdb", "s1", &[])]);
        assert_eq!(find(&wanted, &moved).expect("found").name, "/dev/vdb");
        assert!(find(&wanted, &inventory(&[("/dev/vda", "s2", &[])])).is_err());
    }
}
