//! Rules of units and drop-ins.

use std::collections::HashMap;

use ashlar_model::config::Problem;

use super::{Report, given, quoted};
use crate::spec::{Systemd, Unit};
use crate::units;

pub(super) fn check(systemd: &Systemd, report: &mut Report) {
    let list = systemd.units.as_deref().unwrap_or_default();
    let by_name: HashMap<&str, &Unit> = list.iter().map(|unit| (unit.name.as_str(), unit)).collect();
    for (index, unit) in list.iter().enumerate() {
        let place = format!("$.systemd.units.{index}");
        name(&unit.name, &place, report);
        if unit.mask == Some(true) && unit.enabled == Some(true) {
            let rule = "has no effect on a unit that is masked";
            report.warning(Problem::new(format!("{place}.enabled"), "`true`", rule));
        }
        contents(unit.contents.as_deref(), &place, report);
        if unit.enabled == Some(true) {
            install_section(unit, &by_name, &place, report);
        }
        for (number, dropin) in unit.dropins.iter().flatten().enumerate() {
            let place = format!("{place}.dropins.{number}");
            if !units::is_dropin_name(&dropin.name) {
                report.error(
                    Problem::new(
                        format!("{place}.name"),
                        quoted(&dropin.name),
                        "must be a file name that ends in .conf",
                    )
                    .hint("for example 10-memory.conf"),
                );
            }
            contents(dropin.contents.as_deref(), &place, report);
        }
    }
}

fn name(name: &str, place: &str, report: &mut Report) {
    let place = format!("{place}.name");
    if !units::has_unit_type(name) || name.contains(['/', '\0']) {
        report.error(
            Problem::new(place, quoted(name), "must be a unit's name with its type")
                .hint("for example example.service"),
        );
    } else if !units::is_unit_name(name) {
        let rule = "has characters that systemd does not accept in the name of a unit";
        report
            .warning(Problem::new(place, quoted(name), rule).hint("systemd-escape makes a name of any text"));
    }
}

/// A unit that is enabled and has contents needs an `[Install]` section, its own or that of its template.
fn install_section(unit: &Unit, by_name: &HashMap<&str, &Unit>, place: &str, report: &mut Report) {
    let lacks = |text: &str| {
        units::check_syntax(text).is_ok() && !units::sections(text).iter().any(|name| name == "Install")
    };
    let place = format!("{place}.contents");
    let rule = "has no [Install] section, so enabling it has no effect";
    if given(&unit.contents).is_some_and(lacks) {
        report.warning(
            Problem::new(&place, quoted(&unit.name), rule)
                .hint("add [Install] with WantedBy=multi-user.target"),
        );
    }
    let template = units::template(&unit.name).filter(|(_, instance)| !instance.is_empty());
    let Some((template, _)) = template else { return };
    if by_name.get(template.as_str()).and_then(|unit| given(&unit.contents)).is_some_and(lacks) {
        report.warning(Problem::new(place, quoted(&template), rule).hint("add [Install] to the template"));
    }
}

fn contents(text: Option<&str>, place: &str, report: &mut Report) {
    if let Some(Err((line, rule))) = text.map(units::check_syntax) {
        let found = format!("a mistake in line {line}");
        report.error(Problem::new(format!("{place}.contents"), found, rule));
    }
}
