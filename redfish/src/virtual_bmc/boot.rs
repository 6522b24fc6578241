//! What the system boots from: pure decisions on override and medium.

use super::machine::{BootSource, Medium};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BootEnabled {
    #[default]
    Disabled,
    Once,
    Continuous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BootTarget {
    #[default]
    None,
    Pxe,
    Cd,
    UsbCd,
    Hdd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BootMode {
    #[default]
    Uefi,
    #[serde(rename = "Legacy")]
    Legacy,
}

/// What happens to the machine when power comes back to the rack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PowerPolicy {
    AlwaysOn,
    AlwaysOff,
    #[default]
    LastState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootOverride {
    pub enabled: BootEnabled,
    pub target: BootTarget,
    pub mode: BootMode,
}

impl BootOverride {
    /// Where the next boot comes from, and the override that is left after it.
    pub fn next_boot(self, medium: Option<&Medium>) -> (BootSource, Self) {
        let source = match (self.enabled, self.target) {
            (BootEnabled::Disabled, _) => BootSource::Disk,
            (_, BootTarget::Cd | BootTarget::UsbCd) => {
                medium.cloned().map_or(BootSource::Disk, BootSource::Medium)
            }
            (_, BootTarget::Pxe) => BootSource::Network,
            (_, BootTarget::None | BootTarget::Hdd) => BootSource::Disk,
        };
        let left = match self.enabled {
            BootEnabled::Once => Self { enabled: BootEnabled::Disabled, target: BootTarget::None, ..self },
            _ => self,
        };
        (source, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium() -> Medium {
        Medium { url: "http://h/a.iso".into(), image_name: "a.iso".into() }
    }

    #[test]
    fn once_is_consumed_and_continuous_stays() {
        let once =
            BootOverride { enabled: BootEnabled::Once, target: BootTarget::Cd, ..BootOverride::default() };
        let (source, left) = once.next_boot(Some(&medium()));
        assert_eq!(source, BootSource::Medium(medium()));
        assert_eq!(left, BootOverride::default());
        let continuous = BootOverride { enabled: BootEnabled::Continuous, ..once };
        assert_eq!(continuous.next_boot(Some(&medium())), (BootSource::Medium(medium()), continuous));
    }

    #[test]
    fn a_medium_without_an_override_and_an_empty_cd_boot_the_disk() {
        assert_eq!(BootOverride::default().next_boot(Some(&medium())).0, BootSource::Disk);
        let once =
            BootOverride { enabled: BootEnabled::Once, target: BootTarget::Cd, ..BootOverride::default() };
        assert_eq!(once.next_boot(None).0, BootSource::Disk);
    }
}
