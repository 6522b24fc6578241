//! Which disk to install to: hints of the configuration against the disks that a machine has.
//!
//! Several matches are refused like none: the installer never guesses what may be wiped.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::problem::{Problem, quoted};
use super::raw;
use crate::inventory::Disk;

const GIB: u64 = 1 << 30;
/// Without hints a disk must have at least this many GiB to be considered.
const SMALLEST_GIB: u64 = 16;

/// All hints that are given must hold. Sizes in GiB, as in OpenShift.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RootDeviceHints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// SCSI address `host:channel:target:lun`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hctl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_size_gigabytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
}

/// Why no disk was chosen, and what there is.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{reason}{}", listed(candidates))]
pub struct NoDisk {
    pub reason: String,
    /// One line per disk: name, size, model, serial number, contents.
    pub candidates: Vec<String>,
}

/// The one disk that the hints name; without hints, the only disk of at least 16 GiB.
///
/// # Errors
/// `NoDisk` when no disk or more than one disk matches.
pub fn choose<'a>(hints: &RootDeviceHints, disks: &'a [Disk]) -> Result<&'a Disk, NoDisk> {
    let no_hints = *hints == RootDeviceHints::default();
    let matches: Vec<&Disk> = if no_hints {
        disks
            .iter()
            .filter(|disk| disk.size_bytes >= SMALLEST_GIB * GIB && !disk.removable && !disk.read_only)
            .collect()
    } else {
        disks.iter().filter(|disk| hints.mismatch(disk).is_none()).collect()
    };
    match matches.as_slice() {
        [disk] => Ok(disk),
        [] if no_hints => Err(NoDisk::new(
            format!("no fixed, writable disk has at least {SMALLEST_GIB} GiB"),
            disks,
            |_| None,
        )),
        [] => {
            Err(NoDisk::new(format!("no disk matches the hints {hints}"), disks, |disk| hints.mismatch(disk)))
        }
        _ => {
            let which = if no_hints {
                "and there are no rootDeviceHints".into()
            } else {
                format!("the hints {hints}")
            };
            let verb = if no_hints { "could be installed to," } else { "match" };
            let reason = format!("{} disks {verb} {which}", matches.len());
            Err(NoDisk::new(reason, matches.iter().copied(), |_| None))
        }
    }
}

impl NoDisk {
    fn new<'a>(
        reason: String,
        disks: impl IntoIterator<Item = &'a Disk>,
        why_not: impl Fn(&Disk) -> Option<String>,
    ) -> Self {
        let line = |disk: &Disk| match why_not(disk) {
            Some(why) => format!("{}: {why}", describe(disk)),
            None => describe(disk),
        };
        Self { reason, candidates: disks.into_iter().map(line).collect() }
    }
}

fn listed(candidates: &[String]) -> String {
    if candidates.is_empty() {
        return "; the machine has no disk".to_owned();
    }
    candidates.iter().map(|line| format!("\n  {line}")).collect()
}

fn describe(disk: &Disk) -> String {
    let name = [&disk.vendor, &disk.model]
        .into_iter()
        .flatten()
        .map(|part| part.trim())
        .collect::<Vec<_>>()
        .join(" ");
    let name = if name.is_empty() { "unknown model" } else { &name };
    let serial = disk.serial.as_deref().unwrap_or("unknown");
    let contents = if disk.contents.is_empty() { "empty".to_owned() } else { disk.contents.join(", ") };
    format!("{} ({:.1} GiB, {name}, serial {serial}): {contents}", disk.name, gib(disk.size_bytes))
}

#[allow(clippy::cast_precision_loss, reason = "for display")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

impl RootDeviceHints {
    /// The first hint that does not hold, in words.
    fn mismatch(&self, disk: &Disk) -> Option<String> {
        if disk.read_only {
            return Some("it is read-only".to_owned());
        }
        let contains = |whole: &str, part: &str| whole.to_lowercase().contains(&part.to_lowercase());
        let equal = |left: &str, right: &str| left.trim().eq_ignore_ascii_case(right.trim());
        differs("model", &self.model, &disk.model, contains)
            .or_else(|| differs("vendor", &self.vendor, &disk.vendor, contains))
            .or_else(|| differs("serialNumber", &self.serial_number, &disk.serial, equal))
            .or_else(|| differs("wwn", &self.wwn, &disk.wwn, equal))
            .or_else(|| differs("hctl", &self.hctl, &disk.hctl, equal))
            .or_else(|| {
                let wanted = self.device_name.as_ref().filter(|wanted| !has_name(disk, wanted))?;
                Some(format!("it is not {wanted}"))
            })
            .or_else(|| {
                let wanted = self.min_size_gigabytes.filter(|wanted| disk.size_bytes < wanted * GIB)?;
                Some(format!("size is {:.1} GiB, less than {wanted}", gib(disk.size_bytes)))
            })
            .or_else(|| {
                let wanted = self.rotational.filter(|wanted| disk.rotational != *wanted)?;
                Some(format!("rotational is {}, not {wanted}", disk.rotational))
            })
    }
}

fn differs(
    name: &str,
    hint: &Option<String>,
    found: &Option<String>,
    holds: impl Fn(&str, &str) -> bool,
) -> Option<String> {
    let wanted = hint.as_deref()?;
    match found {
        Some(found) if holds(found, wanted) => None,
        Some(found) => Some(format!("{name} is `{found}`, not `{wanted}`")),
        None => Some(format!("{name} is unknown, not `{wanted}`")),
    }
}

fn has_name(disk: &Disk, wanted: &str) -> bool {
    disk.name == wanted || disk.links.iter().any(|link| link == wanted)
}

impl std::fmt::Display for RootDeviceHints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = serde_json::to_value(self).unwrap_or_default();
        let hints = value.as_object().into_iter().flatten().map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={value}"),
        });
        f.write_str(&hints.collect::<Vec<_>>().join(", "))
    }
}

pub(super) fn validate(
    raw: &raw::RootDeviceHints,
    path: &str,
    problems: &mut Vec<Problem>,
) -> RootDeviceHints {
    let mut refuse = |field: &str, found: &dyn std::fmt::Display, rule: &str, hint: &str| {
        problems.push(Problem::new(format!("{path}.{field}"), quoted(found), rule).hint(hint));
    };
    if let Some(name) = raw.device_name.as_ref().filter(|name| !is_device_path(name)) {
        refuse(
            "deviceName",
            name,
            "must be a path in /dev",
            "for example /dev/nvme0n1 or /dev/disk/by-path/…",
        );
    }
    if let Some(wwn) = raw.wwn.as_ref().filter(|wwn| !is_wwn(wwn)) {
        let rule = "must be 0x and hex digits, or an NVMe name that begins with eui., nvme. or uuid.";
        refuse("wwn", wwn, rule, "lsblk -o NAME,WWN prints it");
    }
    if let Some(size) = raw.min_size_gigabytes.filter(|size| !(1..=1_000_000).contains(size)) {
        refuse("minSizeGigabytes", &size, "must be between 1 and 1000000", "the unit is GiB");
    }
    if let Some(hctl) = raw.hctl.as_ref().filter(|hctl| !is_hctl(hctl)) {
        refuse("hctl", hctl, "must be four numbers with colons: host:channel:target:lun", "lsscsi prints it");
    }
    for (field, value) in
        [("model", &raw.model), ("vendor", &raw.vendor), ("serialNumber", &raw.serial_number)]
    {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            refuse(field, &"", "must not be empty", "remove the hint, or write what must match");
        }
    }
    RootDeviceHints {
        device_name: raw.device_name.clone(),
        hctl: raw.hctl.clone(),
        model: raw.model.clone(),
        vendor: raw.vendor.clone(),
        serial_number: raw.serial_number.clone(),
        min_size_gigabytes: raw.min_size_gigabytes.and_then(|size| u64::try_from(size).ok()),
        wwn: raw.wwn.clone(),
        rotational: raw.rotational,
    }
}

fn is_device_path(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("/dev/") else { return false };
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    rest.split('/').all(plain) && !rest.contains(char::is_whitespace)
}

fn is_hctl(hctl: &str) -> bool {
    let parts: Vec<&str> = hctl.split(':').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

fn is_wwn(wwn: &str) -> bool {
    let hex = |text: &str| text.len() >= 8 && text.chars().all(|c| c.is_ascii_hexdigit());
    let dashed = |text: &str| text.len() >= 8 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    match (wwn.strip_prefix("0x"), wwn.split_once('.')) {
        (Some(digits), _) => hex(digits),
        (_, Some(("eui" | "naa", rest))) => hex(rest),
        (_, Some(("nvme" | "uuid", rest))) => dashed(rest),
        _ => false,
    }
}
