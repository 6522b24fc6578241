//! Vendor oddities, each a named question. Code asks the question, never the vendor's name.
//!
//! To add one: a field with the symptom in its comment, the rule that sets it, a personality of the virtual
//! BMC that shows the symptom, and a test that fails without the rule. Prefer a ladder in the client that
//! reads the BMC's error and adapts; a quirk is for what no error tells.

/// What a BMC says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// ServiceRoot `Vendor`, or the key of its `Oem` object, or the system's manufacturer.
    pub vendor: String,
    pub product: String,
    pub manager_model: String,
    pub firmware: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// iDRAC10: a medium in a slot with another id is accepted but does not boot.
    pub only_slot: Option<&'static str>,
    /// Lenovo XCC: slots whose id starts so claim to be CDs but never boot.
    pub useless_slots: &'static [&'static str],
    /// HPE iLO: `If-Match: *` is answered with 412.
    pub refuses_wildcard_etag: bool,
    /// AMI MegaRAC: the ETag it served itself is answered with 412, only `*` works.
    pub accepts_only_wildcard_etag: bool,
    /// Supermicro, AMI: boot properties left out fall back to Legacy, so all three must always be sent.
    pub wants_full_boot_request: bool,
    /// Supermicro: virtual media appear as a USB CD; `Cd` boots the physical drive.
    pub media_are_usb_cd: bool,
    /// HPE iLO: an override is cleared only with a real target beside `Disabled`.
    pub clears_boot_with_real_target: bool,
    /// OpenBMC: a medium inserted without `WriteProtected` is writable.
    pub media_default_to_writable: bool,
}

type Rule = (fn(&Identity) -> bool, fn(&mut Quirks));

const RULES: &[Rule] = &[
    (is_idrac_10, |q| q.only_slot = Some("1")),
    (
        |id| vendor_is(id, &["hpe", "hewlett"]),
        |q| {
            q.refuses_wildcard_etag = true;
            q.clears_boot_with_real_target = true;
        },
    ),
    (
        |id| vendor_is(id, &["ami", "american megatrends", "asrockrack"]),
        |q| {
            q.accepts_only_wildcard_etag = true;
            q.wants_full_boot_request = true;
        },
    ),
    (|id| vendor_is(id, &["lenovo"]), |q| q.useless_slots = &["RDOC", "Remote"]),
    (
        |id| vendor_is(id, &["supermicro", "super micro"]),
        |q| {
            q.wants_full_boot_request = true;
            q.media_are_usb_cd = true;
        },
    ),
    (
        |id| vendor_is(id, &["openbmc"]) || id.product.eq_ignore_ascii_case("openbmc"),
        |q| {
            q.media_default_to_writable = true;
        },
    ),
];

pub fn of(identity: &Identity) -> Quirks {
    let mut quirks = Quirks::default();
    for (applies, set) in RULES {
        if applies(identity) {
            set(&mut quirks);
        }
    }
    quirks
}

fn vendor_is(identity: &Identity, names: &[&str]) -> bool {
    let vendor = identity.vendor.to_ascii_lowercase();
    names.iter().any(|name| vendor.starts_with(name))
}

/// Manager models say the generation: "16G Monolithic" is iDRAC9, from "17G" on it is iDRAC10.
fn is_idrac_10(identity: &Identity) -> bool {
    let generation =
        identity.manager_model.split_once('G').and_then(|(number, _)| number.parse::<u32>().ok());
    vendor_is(identity, &["dell"]) && generation.is_some_and(|generation| generation > 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(vendor: &str, manager_model: &str) -> Identity {
        Identity { vendor: vendor.into(), manager_model: manager_model.into(), ..Identity::default() }
    }

    #[test]
    fn an_unknown_vendor_gets_the_standard_behaviour() {
        assert_eq!(of(&identity("Nobody", "17G")), Quirks::default());
    }

    #[test]
    fn only_the_idrac_after_generation_16_wants_slot_1() {
        assert_eq!(of(&identity("Dell", "16G Monolithic")).only_slot, None);
        assert_eq!(of(&identity("Dell", "17G Monolithic")).only_slot, Some("1"));
    }
}
