//! Rules of files, directories and links.

use std::collections::{HashMap, HashSet};

use ashlar_model::config::Problem;

use super::{Report, given, path, quoted};
use crate::spec::{File, Link, NodeGroup, NodeUser, Storage, Systemd};
use crate::units::UNIT_DIRECTORY;

pub(super) fn check(storage: &Storage, systemd: Option<&Systemd>, report: &mut Report) {
    for (index, file) in storage.files.iter().flatten().enumerate() {
        let place = format!("$.storage.files.{index}");
        node(&file.path, &place, false, report);
        mode(file.mode, &place, report);
        owner(file.user.as_ref(), file.group.as_ref(), &place, report);
        overwrite(file, &place, report);
    }
    for (index, directory) in storage.directories.iter().flatten().enumerate() {
        let place = format!("$.storage.directories.{index}");
        node(&directory.path, &place, true, report);
        mode(directory.mode, &place, report);
        owner(directory.user.as_ref(), directory.group.as_ref(), &place, report);
    }
    links(storage, report);
    let nodes = nodes(storage);
    below_files_and_links(&nodes, report);
    units(&nodes, systemd, report);
}

fn node(text: &str, place: &str, may_be_root: bool, report: &mut Report) {
    path(text, format!("{place}.path"), report);
    if text == "/" && !may_be_root {
        report.error(Problem::new(format!("{place}.path"), "`/`", "must not be the root directory"));
    }
}

/// Path, place, and whether something may lie below it.
fn nodes(storage: &Storage) -> Vec<(&str, String, bool)> {
    let files = storage.files.iter().flatten().map(|file| (file.path.as_str(), false));
    let directories = storage.directories.iter().flatten().map(|directory| (directory.path.as_str(), true));
    let links = storage.links.iter().flatten().map(|link| (link.path.as_str(), false));
    let placed = |list: &'static str| {
        move |(index, (path, holds))| (path, format!("$.storage.{list}.{index}.path"), holds)
    };
    files
        .enumerate()
        .map(placed("files"))
        .chain(directories.enumerate().map(placed("directories")))
        .chain(links.enumerate().map(placed("links")))
        .collect()
}

fn below_files_and_links(nodes: &[(&str, String, bool)], report: &mut Report) {
    let closed: HashMap<&str, &String> =
        nodes.iter().filter(|(_, _, holds)| !holds).map(|(path, place, _)| (*path, place)).collect();
    for (inner, place, _) in nodes {
        let above = inner.match_indices('/').filter(|(at, _)| *at > 0).find_map(|(at, _)| {
            let outer = &inner[..at];
            closed.get(outer).map(|other| (outer, *other))
        });
        if let Some((outer, other)) = above {
            let rule = format!("must not lie below {outer}, which {other} makes a file or a link");
            report.error(Problem::new(place, quoted(inner), rule));
        }
    }
}

/// Units are written after files: both at one path would hide one of them.
fn units(nodes: &[(&str, String, bool)], systemd: Option<&Systemd>, report: &mut Report) {
    let mut written = HashSet::new();
    for unit in systemd.iter().flat_map(|systemd| systemd.units.iter().flatten()) {
        if given(&unit.contents).is_some() {
            written.insert(format!("{UNIT_DIRECTORY}/{}", unit.name));
        }
        for dropin in unit.dropins.iter().flatten().filter(|dropin| given(&dropin.contents).is_some()) {
            written.insert(format!("{UNIT_DIRECTORY}/{}.d/{}", unit.name, dropin.name));
        }
    }
    for (path, place, _) in nodes.iter().filter(|(path, _, _)| written.contains(*path)) {
        let rule = "must not be the path of a unit or drop-in of systemd.units";
        report.error(Problem::new(place, quoted(path), rule).hint("keep one of the two"));
    }
}

fn links(storage: &Storage, report: &mut Report) {
    let directories: HashSet<&str> =
        storage.directories.iter().flatten().map(|directory| directory.path.as_str()).collect();
    for (index, link) in storage.links.iter().flatten().enumerate() {
        let place = format!("$.storage.links.{index}");
        node(&link.path, &place, false, report);
        owner(link.user.as_ref(), link.group.as_ref(), &place, report);
        let Some(target) = given(&link.target) else {
            report.error(Problem::new(format!("{place}.target"), "nothing", "is required"));
            continue;
        };
        if link.hard != Some(true) {
            continue;
        }
        if directories.contains(hard_target(link, target).as_str()) {
            let rule = "must not be a directory: a directory has one path only";
            report.error(
                Problem::new(format!("{place}.target"), quoted(target), rule).hint("leave `hard` out"),
            );
        }
        hard_link_owner(link, &place, report);
    }
}

/// The target's path, lexically.
fn hard_target(link: &Link, target: &str) -> String {
    let joined = if target.starts_with('/') { target.to_owned() } else { format!("{}/{target}", link.path) };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn hard_link_owner(link: &Link, place: &str, report: &mut Report) {
    let user = link.user.clone().unwrap_or_default();
    let group = link.group.clone().unwrap_or_default();
    for (name, set) in [
        ("user", user.id.is_some() || user.name.is_some()),
        ("group", group.id.is_some() || group.name.is_some()),
    ] {
        if set {
            let rule = "has no effect: a hard link has the owner of its target";
            report.warning(Problem::new(format!("{place}.{name}"), "an owner", rule));
        }
    }
}

fn mode(mode: Option<i64>, place: &str, report: &mut Report) {
    let Some(mode) = mode else { return };
    let place = format!("{place}.mode");
    if !(0..=0o7777).contains(&mode) {
        report.error(
            Problem::new(place, mode, "must be from 0 to 4095 (octal 7777)")
                .hint("JSON has decimal numbers: 420 is 0644"),
        );
    } else if mode & 0o7000 != 0 {
        let rule = "holds setuid, setgid or sticky bits, which are not set before spec 3.6";
        report.warning(Problem::new(place, format!("{mode} (octal {mode:o})"), rule));
    } else if matches!(mode, 644 | 755 | 600 | 700 | 640 | 400 | 440 | 750 | 744 | 777) {
        report.warning(
            Problem::new(
                place,
                format!("{mode} (octal {mode:o})"),
                "looks like an octal mode written as a decimal number",
            )
            .hint("JSON has decimal numbers: 420 is 0644, 384 is 0600, 493 is 0755"),
        );
    }
}

fn owner(user: Option<&NodeUser>, group: Option<&NodeGroup>, place: &str, report: &mut Report) {
    let rule = "must have an id or a name, not both";
    if user.is_some_and(|user| user.id.is_some() && given(&user.name).is_some()) {
        report.error(Problem::new(format!("{place}.user"), "both", rule));
    }
    if group.is_some_and(|group| group.id.is_some() && given(&group.name).is_some()) {
        report.error(Problem::new(format!("{place}.group"), "both", rule));
    }
    let ids = [("user", user.and_then(|user| user.id)), ("group", group.and_then(|group| group.id))];
    for (name, id) in ids {
        if let Some(id) = id.filter(|id| !(0..=0xffff_fffe).contains(id)) {
            report.error(Problem::new(format!("{place}.{name}.id"), id, "must be from 0 to 4294967294"));
        }
    }
}

fn overwrite(file: &File, place: &str, report: &mut Report) {
    let has_source = file.contents.as_ref().is_some_and(|contents| contents.source.is_some());
    if file.overwrite == Some(true) && !has_source {
        report.error(
            Problem::new(format!("{place}.overwrite"), "`true`", "must be false when contents has no source")
                .hint("an empty file is `source: \"data:,\"`"),
        );
    }
}
