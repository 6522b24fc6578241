//! Rules of files, directories, links and disks.

use ashlar_model::config::Problem;

use super::{path, quoted, unique};
use crate::spec::{File, NodeGroup, NodeUser, Storage};

pub(super) fn check(storage: &Storage, problems: &mut Vec<Problem>) {
    for (index, file) in storage.files.iter().flatten().enumerate() {
        let place = format!("$.storage.files.{index}");
        path(&file.path, format!("{place}.path"), problems);
        mode(file.mode, &place, problems);
        owner(file.user.as_ref(), file.group.as_ref(), &place, problems);
        overwrite(file, &place, problems);
    }
    for (index, directory) in storage.directories.iter().flatten().enumerate() {
        let place = format!("$.storage.directories.{index}");
        path(&directory.path, format!("{place}.path"), problems);
        mode(directory.mode, &place, problems);
        owner(directory.user.as_ref(), directory.group.as_ref(), &place, problems);
    }
    links(storage, problems);
    let nodes = nodes(storage);
    unique(nodes.iter().map(|(key, place, _)| (*key, place.clone())), problems);
    below_files_and_links(&nodes, problems);
    devices(storage, problems);
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

fn below_files_and_links(nodes: &[(&str, String, bool)], problems: &mut Vec<Problem>) {
    for (inner, place, _) in nodes {
        let above = nodes.iter().find(|(outer, _, holds)| {
            !holds && inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        });
        if let Some((outer, other, _)) = above {
            let rule = format!("must not lie below {outer}, which {other} makes a file or a link");
            problems.push(Problem::new(place, quoted(inner), rule));
        }
    }
}

fn links(storage: &Storage, problems: &mut Vec<Problem>) {
    for (index, link) in storage.links.iter().flatten().enumerate() {
        let place = format!("$.storage.links.{index}");
        path(&link.path, format!("{place}.path"), problems);
        owner(link.user.as_ref(), link.group.as_ref(), &place, problems);
        match link.target.as_deref() {
            None | Some("") => {
                problems.push(Problem::new(format!("{place}.target"), "nothing", "is required"));
            }
            Some(target) if link.hard == Some(true) => path(target, format!("{place}.target"), problems),
            Some(_) => {}
        }
    }
}

fn mode(mode: Option<i64>, place: &str, problems: &mut Vec<Problem>) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o7777).contains(mode)) {
        problems.push(
            Problem::new(format!("{place}.mode"), mode, "must be from 0 to 4095 (octal 7777)")
                .hint("JSON has decimal numbers: 420 is 0644"),
        );
    }
}

fn owner(user: Option<&NodeUser>, group: Option<&NodeGroup>, place: &str, problems: &mut Vec<Problem>) {
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    let rule = "must have an id or a name, not both";
    if user.is_some_and(|user| user.id.is_some() && named(&user.name)) {
        problems.push(Problem::new(format!("{place}.user"), "both", rule));
    }
    if group.is_some_and(|group| group.id.is_some() && named(&group.name)) {
        problems.push(Problem::new(format!("{place}.group"), "both", rule));
    }
}

fn overwrite(file: &File, place: &str, problems: &mut Vec<Problem>) {
    let has_source = file.contents.as_ref().is_some_and(|contents| contents.source.is_some());
    if file.overwrite == Some(true) && !has_source {
        problems.push(
            Problem::new(format!("{place}.overwrite"), "`true`", "must be false when contents has no source")
                .hint("an empty file is `source: \"data:,\"`"),
        );
    }
}

fn devices(storage: &Storage, problems: &mut Vec<Problem>) {
    for (index, disk) in storage.disks.iter().flatten().enumerate() {
        path(&disk.device, format!("$.storage.disks.{index}.device"), problems);
    }
    for (index, filesystem) in storage.filesystems.iter().flatten().enumerate() {
        path(&filesystem.device, format!("$.storage.filesystems.{index}.device"), problems);
    }
    let places =
        |list: &'static str, name: &'static str| move |i: usize| format!("$.storage.{list}.{i}.{name}");
    let disks = storage.disks.iter().flatten().map(|disk| disk.device.as_str()).enumerate();
    unique(disks.map(|(i, key)| (key, places("disks", "device")(i))), problems);
    let filesystems = storage.filesystems.iter().flatten().map(|f| f.device.as_str()).enumerate();
    unique(filesystems.map(|(i, key)| (key, places("filesystems", "device")(i))), problems);
    let raid = storage.raid.iter().flatten().map(|raid| raid.name.as_str()).enumerate();
    unique(raid.map(|(i, key)| (key, places("raid", "name")(i))), problems);
    let luks = storage.luks.iter().flatten().map(|luks| luks.name.as_str()).enumerate();
    unique(luks.map(|(i, key)| (key, places("luks", "name")(i))), problems);
}
