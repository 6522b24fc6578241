//! Rules of resources (source, compression, headers, hash) wherever they stand, and of timeouts.

use ashlar_model::config::Problem;
use url::Url;

use super::quoted;
use crate::Config;
use crate::resource::{hash_of, is_data_url, parse_hash, read_data_url, shown};
use crate::spec::Resource;

const SCHEMES: &[&str] = &["data", "http", "https"];

pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let references = config.ignition.config.iter();
    for (index, resource) in references.clone().flat_map(|config| config.merge.iter().flatten()).enumerate() {
        one(resource, &format!("$.ignition.config.merge.{index}"), problems);
    }
    for resource in references.filter_map(|config| config.replace.as_ref()) {
        one(resource, "$.ignition.config.replace", problems);
    }
    let tls = config.ignition.security.iter().filter_map(|security| security.tls.as_ref());
    for (index, resource) in tls.flat_map(|tls| tls.certificate_authorities.iter().flatten()).enumerate() {
        one(resource, &format!("$.ignition.security.tls.certificateAuthorities.{index}"), problems);
    }
    timeouts(config, problems);
    let files = config.storage.iter().flat_map(|storage| storage.files.iter().flatten());
    for (index, file) in files.enumerate() {
        if let Some(resource) = &file.contents {
            one(resource, &format!("$.storage.files.{index}.contents"), problems);
        }
        for (number, resource) in file.append.iter().flatten().enumerate() {
            one(resource, &format!("$.storage.files.{index}.append.{number}"), problems);
        }
    }
}

fn timeouts(config: &Config, problems: &mut Vec<Problem>) {
    let Some(timeouts) = &config.ignition.timeouts else { return };
    for (name, value) in
        [("httpResponseHeaders", timeouts.http_response_headers), ("httpTotal", timeouts.http_total)]
    {
        if let Some(value) = value.filter(|value| *value < 0) {
            let path = format!("$.ignition.timeouts.{name}");
            problems.push(Problem::new(path, value, "must not be negative").hint("the unit is seconds"));
        }
    }
}

fn one(resource: &Resource, path: &str, problems: &mut Vec<Problem>) {
    if let Some(source) = resource.source.as_deref().filter(|source| !source.is_empty()) {
        check_source(source, path, problems);
    }
    if let Some(other) = resource.compression.as_deref().filter(|name| !matches!(*name, "" | "gzip")) {
        problems.push(Problem::new(format!("{path}.compression"), quoted(other), "must be gzip or nothing"));
    }
    if let Some(Err(error)) = hash_of(resource.verification.as_ref()).map(parse_hash) {
        problems.push(
            Problem::new(format!("{path}.verification.hash"), "a malformed hash", error.to_string())
                .hint("sha256sum prints the digits"),
        );
    }
    check_headers(resource, path, problems);
}

fn check_source(source: &str, path: &str, problems: &mut Vec<Problem>) {
    let path = format!("{path}.source");
    if is_data_url(source) {
        if let Err(error) = read_data_url(source) {
            problems.push(Problem::new(path, "a malformed data URL", error.to_string()));
        }
        return;
    }
    match Url::parse(source) {
        Ok(url) if SCHEMES.contains(&url.scheme()) => {}
        Ok(url) => problems.push(
            Problem::new(
                path,
                quoted(url.scheme()),
                format!("must have one of the schemes {}", SCHEMES.join(", ")),
            )
            .hint("put the file on a web server"),
        ),
        Err(error) => problems.push(Problem::new(path, shown(source), format!("must be a URL ({error})"))),
    }
}

fn check_headers(resource: &Resource, path: &str, problems: &mut Vec<Problem>) {
    let Some(headers) = resource.http_headers.as_ref().filter(|headers| !headers.is_empty()) else { return };
    let path = format!("{path}.httpHeaders");
    if resource.source.as_deref().is_some_and(is_data_url) {
        problems.push(Problem::new(&path, "headers", "must stand with an http or https source only"));
    }
    for (index, header) in headers.iter().enumerate() {
        if header.name.is_empty() || !header.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
        {
            let rule = "must be the name of a header";
            problems.push(Problem::new(format!("{path}.{index}.name"), quoted(&header.name), rule));
        }
    }
}
