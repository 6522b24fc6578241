//! Rules of resources (source, compression, headers, hash) wherever they stand, of timeouts and of proxies.

use ashlar_model::config::Problem;

use super::{Report, given, quoted, urls};
use crate::Config;
use crate::data_url::is_data_url;
use crate::resource::{hash_of, parse_hash, shown};
use crate::spec::{Ignition, Resource};
use crate::version::Version;

pub(super) fn check(config: &Config, version: Version, report: &mut Report) {
    let references = config.ignition.config.iter();
    for (index, resource) in references.clone().flat_map(|config| config.merge.iter().flatten()).enumerate() {
        let place = format!("$.ignition.config.merge.{index}");
        one(resource, &place, version, report);
        if version > Version::V3_0 {
            required(resource, &place, report);
        }
    }
    for resource in references.filter_map(|config| config.replace.as_ref()) {
        one(resource, "$.ignition.config.replace", version, report);
    }
    let tls = config.ignition.security.iter().filter_map(|security| security.tls.as_ref());
    for (index, resource) in tls.flat_map(|tls| tls.certificate_authorities.iter().flatten()).enumerate() {
        let place = format!("$.ignition.security.tls.certificateAuthorities.{index}");
        one(resource, &place, version, report);
        required(resource, &place, report);
    }
    timeouts(&config.ignition, report);
    proxies(&config.ignition, report);
    let files = config.storage.iter().flat_map(|storage| storage.files.iter().flatten());
    for (index, file) in files.enumerate() {
        if let Some(resource) = &file.contents {
            one(resource, &format!("$.storage.files.{index}.contents"), version, report);
        }
        for (number, resource) in file.append.iter().flatten().enumerate() {
            one(resource, &format!("$.storage.files.{index}.append.{number}"), version, report);
        }
    }
    let luks = config.storage.iter().flat_map(|storage| storage.luks.iter().flatten());
    for (index, resource) in
        luks.enumerate().filter_map(|(index, luks)| Some((index, luks.key_file.as_ref()?)))
    {
        one(resource, &format!("$.storage.luks.{index}.keyFile"), version, report);
    }
}

fn timeouts(ignition: &Ignition, report: &mut Report) {
    let Some(timeouts) = &ignition.timeouts else { return };
    for (name, value) in
        [("httpResponseHeaders", timeouts.http_response_headers), ("httpTotal", timeouts.http_total)]
    {
        if let Some(value) = value.filter(|value| *value < 0) {
            let path = format!("$.ignition.timeouts.{name}");
            report.error(Problem::new(path, value, "must not be negative").hint("the unit is seconds"));
        }
    }
}

fn proxies(ignition: &Ignition, report: &mut Report) {
    let Some(proxy) = &ignition.proxy else { return };
    for (name, value, plain) in
        [("httpProxy", &proxy.http_proxy, true), ("httpsProxy", &proxy.https_proxy, false)]
    {
        let Some(value) = value.as_deref() else { continue };
        let place = format!("$.ignition.proxy.{name}");
        match urls::scheme(value).as_deref() {
            Some("https") => {}
            Some("http") if plain => {}
            Some("http") => {
                report.warning(Problem::new(place, shown(value), "is reached without encryption").hint(
                    "the names of the hosts that are asked for can be read on the way; use an https proxy",
                ))
            }
            Some(_) => report.error(Problem::new(place, shown(value), "must be an http or https URL")),
            None => report.error(
                Problem::new(place, "no URL", "must be an http or https URL")
                    .hint("for example http://proxy:3128"),
            ),
        }
    }
}

fn required(resource: &Resource, place: &str, report: &mut Report) {
    if given(&resource.source).is_none() {
        report.error(Problem::new(format!("{place}.source"), "nothing", "is required"));
    }
}

fn one(resource: &Resource, path: &str, version: Version, report: &mut Report) {
    if let Some(source) = given(&resource.source)
        && let Err(rule) = urls::check(source, version)
    {
        let hint = if is_data_url(source) {
            "RFC 2397: data:,text or data:;base64,bytes"
        } else {
            "put the file on a web server"
        };
        report.error(Problem::new(format!("{path}.source"), shown(source), rule).hint(hint));
    }
    if let Some(other) = given(&resource.compression).filter(|name| *name != "gzip") {
        report.error(Problem::new(format!("{path}.compression"), quoted(other), "must be gzip or nothing"));
    }
    check_hash(resource, path, version, report);
    check_headers(resource, path, report);
}

fn check_hash(resource: &Resource, path: &str, version: Version, report: &mut Report) {
    let place = || format!("{path}.verification.hash");
    let Some(hash) = hash_of(resource.verification.as_ref()) else {
        if resource.verification.as_ref().is_some_and(|verification| verification.hash.is_some()) {
            report.error(Problem::new(
                place(),
                "an empty hash",
                "must be sha256-… or sha512-…, or be left out",
            ));
        }
        return;
    };
    if resource.source.is_none() {
        report.error(Problem::new(place(), "a hash", "must stand with a source only"));
    }
    match parse_hash(hash) {
        Err(error) => report.error(
            Problem::new(place(), "a malformed hash", error.to_string()).hint("sha512sum prints the digits"),
        ),
        Ok(_) if version == Version::V3_0 && hash.starts_with("sha256") => {
            report.error(Problem::new(place(), "sha256", "is known from spec 3.1.0 on").hint("use sha512"));
        }
        Ok(_) => {}
    }
}

fn check_headers(resource: &Resource, path: &str, report: &mut Report) {
    let Some(headers) = resource.http_headers.as_ref().filter(|headers| !headers.is_empty()) else { return };
    let path = format!("{path}.httpHeaders");
    let scheme = resource.source.as_deref().and_then(urls::scheme);
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        report.error(Problem::new(&path, "headers", "must stand with an http or https source only"));
    }
    for (index, header) in headers.iter().enumerate() {
        if header.name.is_empty() || !header.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
        {
            let rule = "must be the name of a header";
            report.error(Problem::new(format!("{path}.{index}.name"), quoted(&header.name), rule));
        }
        if header.value.as_deref() == Some("") {
            let rule = "must not be empty";
            report.error(
                Problem::new(format!("{path}.{index}.value"), "nothing", rule)
                    .hint("leave the value out to remove a header that a parent configuration sets"),
            );
        }
    }
}
