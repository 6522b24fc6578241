//! Text of any supported spec version to a 3.5 configuration.
//!
//! A configuration is read by the rules of its own version, so that a key which that version does not know has no
//! effect; what remains is a subset of the latest version. Butane's `contents.inline` is accepted wherever a
//! resource stands and becomes a data URL; `contents.local` does when the caller can read files.

use std::path::{Component, Path};

use ashlar_model::config::Problem;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Config;
use crate::data_url::data_url;
use crate::merge::to_value;
use crate::validate::{Report, report};
use crate::version::Version;

#[derive(Debug)]
pub struct Parsed {
    /// In the form of the latest version.
    pub config: Config,
    /// The version that it was written in.
    pub version: Version,
    /// Keys that the spec does not know; they have no effect.
    pub warnings: Vec<String>,
}

#[derive(Debug, Error)]
pub enum ParseError {
    #[error("the configuration is empty")]
    Empty,
    #[error("the configuration is not JSON: {0}")]
    Json(String),
    #[error("the configuration is not JSON but {0}")]
    OtherFormat(&'static str),
    #[error("the configuration has no ignition.version")]
    NoVersion,
    #[error("the configuration has spec version {0}; 3.0.0 to 3.5.0 are supported")]
    Version(String),
    #[error("the configuration does not fit spec {version}: {reason}")]
    Form { version: String, reason: String },
    #[error("{path}: {file} cannot be read: {reason}")]
    Local { path: String, file: String, reason: String },
}

impl ParseError {
    pub fn remedy(&self) -> &'static str {
        match self {
            ParseError::Empty | ParseError::OtherFormat(_) | ParseError::Json(_) => {
                "give an Ignition configuration: JSON that begins with {\"ignition\": {\"version\": \"3.5.0\"}}"
            }
            ParseError::NoVersion => "add \"ignition\": {\"version\": \"3.5.0\"}",
            ParseError::Version(_) => "write it for spec 3.5.0 or an earlier 3.x",
            ParseError::Form { .. } => "correct the value, or remove it",
            ParseError::Local { .. } => "place the file beside the configuration, with a relative path",
        }
    }
}

impl Parsed {
    /// Every problem by the rules of the version that it was written in.
    pub fn report(&self) -> Report {
        let mut report = report(&self.config, self.version);
        let unused = |warning: &String| match warning.strip_prefix("unused key: ") {
            Some(path) => Problem::new(
                path,
                "an unknown key",
                format!("spec {} does not know it; it has no effect", self.version),
            ),
            None => Problem::new("$", warning, "has no effect"),
        };
        report.warnings.splice(0..0, self.warnings.iter().map(unused));
        report
    }
}

/// # Errors
/// `ParseError` says what is no configuration of a supported version.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::Empty);
    }
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    if has(b"\"inline\"") {
        return parse_value(read_json(bytes)?);
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(no_object(bytes));
    }
    match serde_json::from_slice(bytes) {
        Ok(head) => parse_text(bytes, version_of(&head)?),
        // The whole text says better what is wrong than its head.
        Err(_) => parse_value(read_json(bytes)?),
    }
}

/// As `parse`, for JSON that was read already (a machine config's `spec.config`).
///
/// # Errors
/// `ParseError` says what is no configuration of a supported version.
pub fn parse_value(mut value: Value) -> Result<Parsed, ParseError> {
    let version = value["ignition"]["version"].as_str().ok_or(ParseError::NoVersion)?;
    let version = version
        .parse::<Version>()
        .ok()
        .filter(|parsed| parsed.text() == version)
        .ok_or_else(|| ParseError::Version(version.to_owned()))?;
    each_resource(&mut value, &mut |_, resource| {
        inline_resource(resource);
        Ok(())
    })?;
    parse_text(value.to_string().as_bytes(), version)
}

/// As `parse`; `contents.local` is read from below `folder` as in Butane.
///
/// # Errors
/// As `parse`, or a file that cannot be read.
pub fn parse_with_files(bytes: &[u8], folder: &Path) -> Result<Parsed, ParseError> {
    let mut value = read_json(bytes)?;
    each_resource(&mut value, &mut |path, resource| local_resource(path, resource, folder))?;
    parse_value(value)
}

#[derive(serde::Deserialize)]
struct Head {
    ignition: Option<HeadIgnition>,
}

#[derive(serde::Deserialize)]
struct HeadIgnition {
    version: Option<String>,
}

fn version_of(head: &Head) -> Result<Version, ParseError> {
    let text =
        head.ignition.as_ref().and_then(|head| head.version.as_deref()).ok_or(ParseError::NoVersion)?;
    let known = Version::ALL.iter().find(|version| version.text() == text);
    known.copied().ok_or_else(|| ParseError::Version(text.to_owned()))
}

fn read_json(bytes: &[u8]) -> Result<Value, ParseError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::Empty);
    }
    serde_json::from_slice(bytes).map_err(|error| match no_object(bytes) {
        ParseError::Json(_) => ParseError::Json(error.to_string()),
        other => other,
    })
}

/// What people give instead of a configuration, by its first bytes.
fn no_object(bytes: &[u8]) -> ParseError {
    const OTHERS: &[(&[u8], &str)] = &[
        (b"#cloud-config", "cloud-init's configuration"),
        (b"#!", "a script"),
        (b"<", "HTML or XML: the server gave a page, not the configuration"),
        (b"---", "YAML; Butane translates it"),
        (b"variant:", "a Butane configuration; the program butane translates it"),
        (&[0x1f, 0x8b], "a gzip file; set `compression: gzip` where it is named"),
    ];
    let text = bytes.trim_ascii_start();
    match OTHERS.iter().find(|(start, _)| text.starts_with(start)) {
        Some((_, what)) => ParseError::OtherFormat(what),
        None => ParseError::Json("it is no object in braces".to_owned()),
    }
}

fn parse_text(bytes: &[u8], version: Version) -> Result<Parsed, ParseError> {
    use ignition_config::Config as Any;
    let form = |reason: String| ParseError::Form { version: version.to_string(), reason };
    let (any, warnings) = Any::parse_slice(bytes).map_err(|error| form(error.to_string()))?;
    let latest = |older: &dyn Fn() -> serde_json::Result<Value>| {
        let mut value = older().map_err(|error| form(error.to_string()))?;
        value["ignition"]["version"] = Version::LATEST.text().into();
        serde_json::from_value(value).map_err(|error| form(error.to_string()))
    };
    let config = match &any {
        Any::V3_5(config) => config.clone(),
        older => latest(&|| to_json(older))?,
    };
    Ok(Parsed { config, version, warnings: warnings.iter().map(ToString::to_string).collect() })
}

fn to_json(config: &impl Serialize) -> serde_json::Result<Value> {
    serde_json::to_value(config)
}

/// The canonical form: the latest version, keys in order, nothing that says nothing. Two configurations that mean
/// the same have the same.
pub fn canonical(config: &Config) -> String {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<(String, Value)> = map
                    .into_iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .filter(|(_, value)| !is_nothing(value))
                    .collect();
                entries.sort_by(|(left, _), (right, _)| left.cmp(right));
                Value::Object(entries.into_iter().collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    fn is_nothing(value: &Value) -> bool {
        match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(items) => items.is_empty(),
            other => other.is_null(),
        }
    }
    sorted(to_value(config)).to_string()
}

/// SHA-256 of the canonical form, in hex: the name of a configuration.
pub fn digest(config: &Config) -> String {
    hex::encode(Sha256::digest(canonical(config)))
}

/// Every object that is a resource, with its path.
fn each_resource(
    value: &mut Value,
    act: &mut dyn FnMut(&str, &mut Value) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    for (list, single) in [
        ("/ignition/config/merge", false),
        ("/ignition/config/replace", true),
        ("/ignition/security/tls/certificateAuthorities", false),
    ] {
        let path = format!("${}", list.replace('/', "."));
        match value.pointer_mut(list) {
            Some(resource) if single => act(&path, resource)?,
            Some(Value::Array(items)) => {
                for (index, resource) in items.iter_mut().enumerate() {
                    act(&format!("{path}.{index}"), resource)?;
                }
            }
            _ => {}
        }
    }
    for (list, members) in [("files", &["contents", "append"][..]), ("luks", &["keyFile"])] {
        let entries = value.pointer_mut(&format!("/storage/{list}")).and_then(Value::as_array_mut);
        for (index, entry) in entries.into_iter().flatten().enumerate() {
            for member in members {
                let path = format!("$.storage.{list}.{index}.{member}");
                match entry.get_mut(*member) {
                    Some(Value::Array(items)) => {
                        for (number, resource) in items.iter_mut().enumerate() {
                            act(&format!("{path}.{number}"), resource)?;
                        }
                    }
                    Some(resource) => act(&path, resource)?,
                    None => {}
                }
            }
        }
    }
    Ok(())
}

fn inline_resource(resource: &mut Value) {
    let Some(map) = resource.as_object_mut() else { return };
    if map.get("source").is_some_and(|source| !source.is_null()) {
        return;
    }
    if let Some(text) = map.get("inline").and_then(Value::as_str) {
        let source = data_url(text.as_bytes());
        map.shift_remove("inline");
        map.insert("source".to_owned(), source.into());
    }
}

fn local_resource(path: &str, resource: &mut Value, folder: &Path) -> Result<(), ParseError> {
    let Some(map) = resource.as_object_mut() else { return Ok(()) };
    let Some(file) = map.get("local").and_then(Value::as_str).map(str::to_owned) else { return Ok(()) };
    let fail = |reason: String| ParseError::Local { path: path.to_owned(), file: file.clone(), reason };
    let inside =
        Path::new(&file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(fail("it lies outside the folder of the configuration".to_owned()));
    }
    let bytes = std::fs::read(folder.join(&file)).map_err(|error| fail(error.to_string()))?;
    map.shift_remove("local");
    map.insert("source".to_owned(), data_url(&bytes).into());
    Ok(())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
