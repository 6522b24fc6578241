//! Text of any supported spec version to a 3.5 configuration.
//!
//! Every version from 3.0 on is a subset of the next one, so translation is a change of the version number.
//! Butane's `contents.inline` is accepted wherever a resource stands and becomes a data URL.

use serde_json::Value;
use thiserror::Error;

use crate::Config;
use crate::resource::data_url;

#[derive(Debug)]
pub struct Parsed {
    pub config: Config,
    /// Keys that the spec does not know; they have no effect.
    pub warnings: Vec<String>,
}

#[derive(Debug, Error)]
pub enum ParseError {
    #[error("the configuration is empty")]
    Empty,
    #[error("the configuration is not JSON: {0}")]
    Json(String),
    #[error("the configuration has no ignition.version")]
    NoVersion,
    #[error("the configuration has spec version {0}; 3.0.0 to 3.5.0 are supported")]
    Version(String),
    #[error("the configuration does not fit spec {version}: {reason}")]
    Form { version: String, reason: String },
}

const VERSIONS: &[&str] = &["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"];
const LATEST: &str = "3.5.0";

/// # Errors
/// `ParseError` says what is no configuration of a supported version.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::Empty);
    }
    let value = serde_json::from_slice(bytes).map_err(|error| ParseError::Json(error.to_string()))?;
    parse_value(value)
}

/// As `parse`, for JSON that was read already (a machine config's `spec.config`).
///
/// # Errors
/// `ParseError` says what is no configuration of a supported version.
pub fn parse_value(mut value: Value) -> Result<Parsed, ParseError> {
    let version = value["ignition"]["version"].as_str().ok_or(ParseError::NoVersion)?.to_owned();
    if !VERSIONS.contains(&version.as_str()) {
        return Err(ParseError::Version(version));
    }
    inline_to_data(&mut value);
    let form = |reason: String| ParseError::Form { version: version.clone(), reason };
    let text = value.to_string();
    let (_, warnings) = ignition_config::Config::parse_str(&text).map_err(|error| form(error.to_string()))?;
    value["ignition"]["version"] = LATEST.into();
    let config = serde_json::from_value(value).map_err(|error| form(error.to_string()))?;
    Ok(Parsed { config, warnings: warnings.iter().map(ToString::to_string).collect() })
}

fn inline_to_data(value: &mut Value) {
    let Some(files) = value.pointer_mut("/storage/files").and_then(Value::as_array_mut) else { return };
    for file in files {
        if let Some(contents) = file.get_mut("contents") {
            inline_resource(contents);
        }
        for fragment in file.get_mut("append").and_then(Value::as_array_mut).into_iter().flatten() {
            inline_resource(fragment);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_supported_version_becomes_the_latest() {
        for version in VERSIONS {
            let parsed = parse_value(json!({"ignition": {"version": version}})).expect("supported");
            assert_eq!(parsed.config.ignition.version, LATEST);
        }
    }

    #[test]
    fn other_versions_and_other_texts_are_refused() {
        assert!(matches!(parse(b"  "), Err(ParseError::Empty)));
        assert!(matches!(parse(b"#!/bin/sh"), Err(ParseError::Json(_))));
        assert!(matches!(parse(b"{}"), Err(ParseError::NoVersion)));
        for version in ["2.3.0", "3.6.0", "3.5.0-experimental", "x"] {
            let value = json!({"ignition": {"version": version}});
            assert!(matches!(parse_value(value), Err(ParseError::Version(_))));
        }
        let wrong = json!({"ignition": {"version": "3.1.0"}, "storage": {"files": [{"path": 1}]}});
        assert!(matches!(parse_value(wrong), Err(ParseError::Form { .. })));
    }

    #[test]
    fn inline_contents_become_a_data_url_and_unknown_keys_a_warning() {
        let value = json!({"ignition": {"version": "3.2.0"}, "storage": {"files":
            [{"path": "/etc/chrony.conf", "contents": {"inline": "server a\n"}, "colour": "red"}]}});
        let parsed = parse_value(value).expect("valid");
        let file = &parsed.config.storage.expect("storage").files.expect("files")[0];
        let source = file.contents.as_ref().and_then(|contents| contents.source.as_deref());
        assert_eq!(source, Some("data:;base64,c2VydmVyIGEK"));
        assert_eq!(parsed.warnings, ["unused key: $.storage.files.0.colour"]);
    }
}
