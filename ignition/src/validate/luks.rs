//! Rules of LUKS volumes and of the pins that open them.

use ashlar_model::config::Problem;
use url::Url;

use super::{Report, given, path, quoted};
use crate::spec::{Clevis, Luks, Tang};
use crate::version::Version;

pub(super) fn check(volume: &Luks, place: &str, version: Version, report: &mut Report) {
    if volume.name.is_empty() || volume.name.contains('/') {
        report.error(Problem::new(
            format!("{place}.name"),
            quoted(&volume.name),
            "must be a name for /dev/mapper/",
        ));
    }
    let device = volume.device.as_deref().unwrap_or("");
    path(device, format!("{place}.device"), report);
    if given(&volume.label).is_some_and(|label| label.len() > 47) {
        report.error(Problem::new(
            format!("{place}.label"),
            "a longer label",
            "must have at most 47 characters",
        ));
    }
    let clevis = volume.clevis.clone().unwrap_or_default();
    check_clevis(&clevis, place, version, report);
    let uses_clevis =
        has_pins(&clevis) || clevis.custom.as_ref().is_some_and(|custom| given(&custom.pin).is_some());
    if volume.cex.as_ref().is_some_and(|cex| cex.enabled == Some(true)) {
        let key = volume.key_file.as_ref().is_some_and(|key| given(&key.source).is_some());
        for (other, present) in [("clevis", uses_clevis), ("keyFile", key)] {
            if present {
                let rule = format!("must not stand together with {other}");
                report.error(Problem::new(format!("{place}.cex"), "`enabled: true`", rule));
            }
        }
        report.warning(Problem::new(
            format!("{place}.cex"),
            "`enabled: true`",
            "needs a CEX card, which only s390x machines have",
        ));
    }
}

fn has_pins(clevis: &Clevis) -> bool {
    clevis.tang.as_ref().is_some_and(|tang| !tang.is_empty())
        || clevis.tpm2 == Some(true)
        || clevis.threshold.is_some_and(|threshold| threshold != 0)
}

fn check_clevis(clevis: &Clevis, place: &str, version: Version, report: &mut Report) {
    if let Some(custom) = &clevis.custom {
        let (pin, config) = (given(&custom.pin), given(&custom.config));
        let asks = pin.is_some()
            || config.is_some()
            || (version > Version::V3_2 && custom.needs_network == Some(true));
        if asks && !matches!(pin, Some("tpm2" | "tang" | "sss")) {
            let found = pin.map_or_else(|| "nothing".to_owned(), quoted);
            report.error(Problem::new(
                format!("{place}.clevis.custom.pin"),
                found,
                "must be tpm2, tang or sss",
            ));
        }
        if asks && config.is_none() {
            report.error(Problem::new(format!("{place}.clevis.custom.config"), "nothing", "is required"));
        }
        if has_pins(clevis) && (pin.is_some() || version == Version::V3_2) {
            let rule = "must not stand together with tpm2, tang or threshold";
            report.error(Problem::new(format!("{place}.clevis.custom"), "a custom pin", rule));
        }
    }
    for (index, tang) in clevis.tang.iter().flatten().enumerate() {
        check_tang(tang, &format!("{place}.clevis.tang.{index}"), report);
    }
    let pins = clevis.tang.as_ref().map_or(0, Vec::len) + usize::from(clevis.tpm2 == Some(true));
    if let Some(threshold) = clevis.threshold.filter(|threshold| *threshold < 0 || *threshold > pins as i64) {
        let rule = format!("asks for more pins than there are ({pins})");
        report.warning(Problem::new(format!("{place}.clevis.threshold"), threshold, rule));
    }
}

fn check_tang(tang: &Tang, place: &str, report: &mut Report) {
    if !tang
        .url
        .as_deref()
        .is_some_and(|url| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")))
    {
        report.error(Problem::new(format!("{place}.url"), "no such URL", "must be an http or https URL"));
    }
    if given(&tang.thumbprint).is_none() {
        report.error(
            Problem::new(format!("{place}.thumbprint"), "nothing", "is required")
                .hint("tang-show-keys prints it"),
        );
    }
    let advertisement = given(&tang.advertisement);
    if advertisement.is_some_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()) {
        report.error(Problem::new(format!("{place}.advertisement"), "other text", "must be JSON"));
    }
}
