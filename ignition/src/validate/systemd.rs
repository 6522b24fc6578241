//! Rules of units and drop-ins.

use ashlar_model::config::Problem;

use super::{quoted, unique};
use crate::spec::Systemd;
use crate::units;

pub(super) fn check(systemd: &Systemd, problems: &mut Vec<Problem>) {
    let units = systemd.units.as_deref().unwrap_or_default();
    for (index, unit) in units.iter().enumerate() {
        let place = format!("$.systemd.units.{index}");
        if !units::is_unit_name(&unit.name) {
            problems.push(
                Problem::new(
                    format!("{place}.name"),
                    quoted(&unit.name),
                    "must be a unit's name with its type",
                )
                .hint("for example example.service"),
            );
        }
        if unit.mask == Some(true) && unit.enabled == Some(true) {
            let rule = "must not be true for a masked unit";
            problems.push(Problem::new(format!("{place}.enabled"), "`true`", rule));
        }
        contents(unit.contents.as_deref(), &place, problems);
        let dropins = unit.dropins.as_deref().unwrap_or_default();
        for (number, dropin) in dropins.iter().enumerate() {
            let place = format!("{place}.dropins.{number}");
            if !units::is_dropin_name(&dropin.name) {
                problems.push(
                    Problem::new(
                        format!("{place}.name"),
                        quoted(&dropin.name),
                        "must be a file name that ends in .conf",
                    )
                    .hint("for example 10-memory.conf"),
                );
            }
            contents(dropin.contents.as_deref(), &place, problems);
        }
        let names = dropins.iter().enumerate();
        unique(
            names.map(|(i, dropin)| (dropin.name.as_str(), format!("{place}.dropins.{i}.name"))),
            problems,
        );
    }
    let names = units.iter().enumerate();
    unique(names.map(|(i, unit)| (unit.name.as_str(), format!("$.systemd.units.{i}.name"))), problems);
}

fn contents(text: Option<&str>, place: &str, problems: &mut Vec<Problem>) {
    if let Some(Err((line, rule))) = text.map(units::check_syntax) {
        let found = format!("a mistake in line {line}");
        problems.push(Problem::new(format!("{place}.contents"), found, rule));
    }
}
