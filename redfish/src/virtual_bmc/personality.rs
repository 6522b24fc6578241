//! Vendor personalities: the deviations that the client must live with, shown over the same service.
//!
//! To add one: a variant, its `Traits`, and a client test that fails without the matching quirk or ladder.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personality {
    #[default]
    Standard,
    /// iDRAC9: `On` of a running system and an eject of an empty drive are errors.
    Dell,
    /// iDRAC10: boot override only in the settings object, medium boots only from slot 1.
    Idrac10,
    /// iLO: refuses `If-Match: *`; an override is cleared only beside a real target.
    Hpe,
    /// XCC: no insert action, PATCH instead; more slots that do not work.
    Lenovo,
    /// X11: refuses `Inserted`; boots media only as UsbCd; wants all boot properties.
    Supermicro,
    /// MegaRAC: demands If-Match, refuses its own ETags.
    Ami,
    /// Media only over HTTPS, writable unless told otherwise, TransferProtocolType demanded.
    OpenBmc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EtagRule {
    /// Checked when sent.
    Optional,
    /// 428 without one.
    Required,
    OnlyWildcard,
    NoWildcard,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    pub(super) vendor: &'static str,
    pub(super) manager_model: &'static str,
    pub(super) firmware: &'static str,
    pub(super) system_id: &'static str,
    pub(super) manager_id: &'static str,
    /// The slot that works.
    pub(super) media_id: &'static str,
    /// A CD slot that takes media and never boots them, listed before the one that works.
    pub(super) dead_media_id: Option<&'static str>,
    pub(super) etags: EtagRule,
    pub(super) media_by_patch: bool,
    pub(super) refuses_inserted: bool,
    pub(super) wants_protocol: bool,
    pub(super) only_https: bool,
    pub(super) media_default_to_writable: bool,
    pub(super) boot_in_settings: bool,
    pub(super) wants_full_boot: bool,
    pub(super) boots_usb_cd_only: bool,
    pub(super) clears_boot_with_real_target: bool,
    pub(super) strict_power: bool,
    pub(super) strict_eject: bool,
}

const STANDARD: Traits = Traits {
    vendor: "Ashlar",
    manager_model: "Virtual BMC",
    firmware: env!("CARGO_PKG_VERSION"),
    system_id: "1",
    manager_id: "1",
    media_id: "Cd",
    dead_media_id: None,
    etags: EtagRule::Optional,
    media_by_patch: false,
    refuses_inserted: false,
    wants_protocol: false,
    only_https: false,
    media_default_to_writable: false,
    boot_in_settings: false,
    wants_full_boot: false,
    boots_usb_cd_only: false,
    clears_boot_with_real_target: false,
    strict_power: false,
    strict_eject: false,
};

const DELL: Traits = Traits {
    vendor: "Dell",
    manager_model: "16G Monolithic",
    firmware: "7.10.30.00",
    system_id: "System.Embedded.1",
    manager_id: "iDRAC.Embedded.1",
    strict_power: true,
    strict_eject: true,
    ..STANDARD
};

impl Personality {
    pub(super) fn traits(self) -> Traits {
        match self {
            Self::Standard => STANDARD,
            Self::Dell => DELL,
            Self::Idrac10 => Traits {
                manager_model: "17G Monolithic",
                firmware: "1.20.50.50",
                media_id: "1",
                dead_media_id: Some("0"),
                boot_in_settings: true,
                ..DELL
            },
            Self::Hpe => Traits {
                vendor: "HPE",
                manager_model: "iLO 5",
                firmware: "iLO 5 v2.72",
                media_id: "2",
                etags: EtagRule::NoWildcard,
                clears_boot_with_real_target: true,
                ..STANDARD
            },
            Self::Lenovo => Traits {
                vendor: "Lenovo",
                manager_model: "Lenovo XClarity Controller",
                media_id: "EXT1",
                dead_media_id: Some("RDOC1"),
                etags: EtagRule::Required,
                media_by_patch: true,
                ..STANDARD
            },
            Self::Supermicro => Traits {
                vendor: "Supermicro",
                refuses_inserted: true,
                wants_full_boot: true,
                boots_usb_cd_only: true,
                ..STANDARD
            },
            Self::Ami => Traits {
                vendor: "AMI",
                manager_model: "MegaRAC",
                system_id: "Self",
                manager_id: "Self",
                media_id: "CD1",
                etags: EtagRule::OnlyWildcard,
                wants_full_boot: true,
                ..STANDARD
            },
            Self::OpenBmc => Traits {
                vendor: "OpenBMC",
                manager_model: "OpenBmc",
                system_id: "system",
                manager_id: "bmc",
                media_id: "Slot_0",
                wants_protocol: true,
                only_https: true,
                media_default_to_writable: true,
                ..STANDARD
            },
        }
    }
}
