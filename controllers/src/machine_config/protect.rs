//! What a machine config may not say: what makes a host another host or no node, and what would make the name of a
//! rendered config say less than all of it. Pure.

use ashlar_ignition::Config;
use ashlar_model::config::Problem;
use ashlar_model::node::{BASE_UNITS, HEALTH_CHECKS, IDENTITY};

/// Filesystems that the installer makes.
const OWN_FILESYSTEMS: &[&str] = &["/", "/boot", "/etc", "/sysroot", "/usr", "/var"];

/// Paths begin with `$`, as the validation's.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    references(config, &mut problems);
    paths(config, &mut problems);
    units(config, &mut problems);
    problems
}

fn references(config: &Config, problems: &mut Vec<Problem>) {
    let Some(references) = &config.ignition.config else { return };
    let mut refuse = |member: &str| {
        let rule =
            "must not stand in a machine config: what it names would not be part of the rendered config";
        let problem = Problem::new(format!("$.ignition.config.{member}"), "a config elsewhere", rule);
        problems.push(problem.hint("give its contents as a machine config of its own"));
    };
    if references.merge.as_ref().is_some_and(|list| !list.is_empty()) {
        refuse("merge");
    }
    if references.replace.as_ref().is_some_and(|resource| resource.source.is_some()) {
        refuse("replace");
    }
}

fn paths(config: &Config, problems: &mut Vec<Problem>) {
    let Some(storage) = &config.storage else { return };
    let mut check = |list: &str, index: usize, path: &str, hides: bool| {
        if path != HEALTH_CHECKS && is_below(path, HEALTH_CHECKS) {
            return;
        }
        let owner = IDENTITY.iter().find(|own| is_below(path, own) || (hides && is_below(own, path)));
        if let Some(owner) = owner {
            let rule =
                format!("must leave {owner} alone: the host's identity, keys and control plane are there");
            problems.push(Problem::new(format!("$.storage.{list}.{index}.path"), format!("`{path}`"), rule));
        }
    };
    for (index, file) in storage.files.iter().flatten().enumerate() {
        check("files", index, &file.path, true);
    }
    for (index, link) in storage.links.iter().flatten().enumerate() {
        check("links", index, &link.path, true);
    }
    for (index, directory) in storage.directories.iter().flatten().enumerate() {
        check("directories", index, &directory.path, false);
    }
    for (index, filesystem) in storage.filesystems.iter().flatten().enumerate() {
        let Some(path) = filesystem.path.as_deref() else { continue };
        if OWN_FILESYSTEMS.contains(&path) || is_below(path, "/etc") {
            let rule = "must not be one of the installed system's own filesystems";
            let place = format!("$.storage.filesystems.{index}.path");
            problems.push(Problem::new(place, format!("`{path}`"), rule).hint("for example /var/lib/data"));
        }
    }
}

/// `path` is `folder` or stands below it.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder == "/")
}

fn units(config: &Config, problems: &mut Vec<Problem>) {
    let units = config.systemd.iter().flat_map(|systemd| systemd.units.iter().flatten());
    for (index, unit) in units.enumerate() {
        let own = BASE_UNITS.contains(&unit.name.as_str());
        for (member, is_off) in [("enabled", unit.enabled == Some(false)), ("mask", unit.mask == Some(true))]
        {
            if own && is_off {
                let place = format!("$.systemd.units.{index}.{member}");
                let rule = "must leave this unit on: without it the host is no node";
                problems.push(Problem::new(place, format!("`{}`", unit.name), rule));
            }
        }
    }
}
