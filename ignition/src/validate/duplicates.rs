//! Entries that stand twice: in each list whose entries have a key, and across lists that share their keys.

use std::collections::HashMap;

use ashlar_model::config::Problem;

use super::{Report, quoted};
use crate::Config;
use crate::spec::{HttpHeadersItem, Partition, Resource};

pub(super) fn check(config: &Config, report: &mut Report) {
    ignition(config, report);
    let arguments = config.kernel_arguments.clone().unwrap_or_default();
    let mut keys = Keys::default();
    keys.add(
        "$.kernelArguments.shouldExist",
        arguments.should_exist.iter().flatten(),
        String::as_str,
        report,
    );
    keys.add(
        "$.kernelArguments.shouldNotExist",
        arguments.should_not_exist.iter().flatten(),
        String::as_str,
        report,
    );
    if let Some(passwd) = &config.passwd {
        unique("$.passwd.groups", passwd.groups.iter().flatten(), |group| &group.name, report);
        unique("$.passwd.users", passwd.users.iter().flatten(), |user| &user.name, report);
        for (index, user) in passwd.users.iter().flatten().enumerate() {
            let place = format!("$.passwd.users.{index}");
            unique(&format!("{place}.groups"), user.groups.iter().flatten(), |group| group, report);
            unique(
                &format!("{place}.sshAuthorizedKeys"),
                user.ssh_authorized_keys.iter().flatten(),
                |key| key,
                report,
            );
        }
    }
    storage(config, report);
    if let Some(systemd) = &config.systemd {
        unique("$.systemd.units", systemd.units.iter().flatten(), |unit| &unit.name, report);
        for (index, unit) in systemd.units.iter().flatten().enumerate() {
            let place = format!("$.systemd.units.{index}.dropins");
            unique(&place, unit.dropins.iter().flatten(), |dropin| &dropin.name, report);
        }
    }
}

fn ignition(config: &Config, report: &mut Report) {
    let ignition = &config.ignition;
    let source = |resource: &Resource| resource.source.clone().unwrap_or_default();
    let merge = ignition.config.iter().flat_map(|config| config.merge.iter().flatten());
    unique("$.ignition.config.merge", merge.clone(), source, report);
    headers_of("$.ignition.config.merge", merge, report);
    for resource in ignition.config.iter().filter_map(|config| config.replace.as_ref()) {
        headers("$.ignition.config.replace", resource, report);
    }
    let tls = ignition.security.iter().filter_map(|security| security.tls.as_ref());
    let authorities = tls.flat_map(|tls| tls.certificate_authorities.iter().flatten());
    let place = "$.ignition.security.tls.certificateAuthorities";
    unique(place, authorities.clone(), source, report);
    headers_of(place, authorities, report);
    let hosts = ignition.proxy.iter().flat_map(|proxy| proxy.no_proxy.iter().flatten());
    unique("$.ignition.proxy.noProxy", hosts, |host| host, report);
}

fn storage(config: &Config, report: &mut Report) {
    let Some(storage) = &config.storage else { return };
    let mut nodes = Keys::default();
    nodes.add("$.storage.directories", storage.directories.iter().flatten(), |node| &node.path, report);
    nodes.add("$.storage.files", storage.files.iter().flatten(), |node| &node.path, report);
    nodes.add("$.storage.links", storage.links.iter().flatten(), |node| &node.path, report);
    for (index, file) in storage.files.iter().flatten().enumerate() {
        if let Some(contents) = &file.contents {
            headers(&format!("$.storage.files.{index}.contents"), contents, report);
        }
        headers_of(&format!("$.storage.files.{index}.append"), file.append.iter().flatten(), report);
    }
    unique("$.storage.disks", storage.disks.iter().flatten(), |disk| &disk.device, report);
    for (index, disk) in storage.disks.iter().flatten().enumerate() {
        let place = format!("$.storage.disks.{index}.partitions");
        // Those that are given by their numbers have a rule of their own.
        let unnumbered = |partition: &&Partition| partition.number.unwrap_or(0) == 0;
        let labelled = disk.partitions.iter().flatten().filter(unnumbered);
        unique(&place, labelled, |partition| partition.label.clone().unwrap_or_default(), report);
    }
    unique("$.storage.filesystems", storage.filesystems.iter().flatten(), |entry| &entry.device, report);
    unique("$.storage.raid", storage.raid.iter().flatten(), |raid| &raid.name, report);
    for (index, raid) in storage.raid.iter().flatten().enumerate() {
        unique(
            &format!("$.storage.raid.{index}.devices"),
            raid.devices.iter().flatten(),
            |device| device,
            report,
        );
    }
    unique("$.storage.luks", storage.luks.iter().flatten(), |luks| &luks.name, report);
    for (index, luks) in storage.luks.iter().flatten().enumerate() {
        let place = format!("$.storage.luks.{index}");
        unique(&format!("{place}.openOptions"), luks.open_options.iter().flatten(), |option| option, report);
        let tang = luks.clevis.iter().flat_map(|clevis| clevis.tang.iter().flatten());
        unique(&format!("{place}.clevis.tang"), tang, |tang| tang.url.as_deref().unwrap_or(""), report);
        if let Some(key) = &luks.key_file {
            headers(&format!("{place}.keyFile"), key, report);
        }
    }
}

fn headers_of<'a>(place: &str, resources: impl Iterator<Item = &'a Resource>, report: &mut Report) {
    for (index, resource) in resources.enumerate() {
        headers(&format!("{place}.{index}"), resource, report);
    }
}

fn headers(place: &str, resource: &Resource, report: &mut Report) {
    let name = |header: &HttpHeadersItem| header.name.clone();
    unique(&format!("{place}.httpHeaders"), resource.http_headers.iter().flatten(), name, report);
}

fn unique<T, K: AsRef<str>>(
    place: &str,
    items: impl Iterator<Item = T>,
    key: impl Fn(T) -> K,
    report: &mut Report,
) {
    Keys::default().add(place, items, key, report);
}

/// Where each key stood first.
#[derive(Default)]
struct Keys(HashMap<String, String>);

impl Keys {
    fn add<T, K: AsRef<str>>(
        &mut self,
        place: &str,
        items: impl Iterator<Item = T>,
        key: impl Fn(T) -> K,
        report: &mut Report,
    ) {
        for (index, item) in items.enumerate() {
            let key = key(item);
            let key = key.as_ref();
            let here = format!("{place}.{index}");
            if let Some(first) = self.0.get(key) {
                let shown =
                    if key.starts_with("data:") { "the same data URL".to_owned() } else { quoted(key) };
                let rule = format!("must not stand twice (first at {first})");
                report.error(Problem::new(here, shown, rule).hint("merge the two entries into one"));
            } else {
                self.0.insert(key.to_owned(), here);
            }
        }
    }
}
