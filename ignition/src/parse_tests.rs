//! Reading configurations, and their canonical form.

use serde_json::json;

use super::*;

#[test]
fn every_supported_version_becomes_the_latest() {
    for version in Version::ALL {
        let parsed = parse_value(json!({"ignition": {"version": version.text()}})).expect("supported");
        assert_eq!((parsed.config.ignition.version.as_str(), parsed.version), ("3.5.0", *version));
    }
}

#[test]
fn other_versions_and_other_texts_are_refused() {
    assert!(matches!(parse(b"  "), Err(ParseError::Empty)));
    assert!(matches!(parse(b"#!/bin/sh"), Err(ParseError::OtherFormat("a script"))));
    assert!(matches!(parse(b"<!DOCTYPE html>"), Err(ParseError::OtherFormat(_))));
    assert!(matches!(parse(b"{\"ignition\": "), Err(ParseError::Json(_))));
    assert!(matches!(parse(b"[]"), Err(ParseError::Json(_))));
    assert!(matches!(parse(b"{}"), Err(ParseError::NoVersion)));
    for version in ["2.3.0", "3.6.0", "3.5.0-experimental", "x", "3.5"] {
        let value = json!({"ignition": {"version": version}});
        assert!(matches!(parse_value(value.clone()), Err(ParseError::Version(_))), "{version}");
        assert!(matches!(parse(value.to_string().as_bytes()), Err(ParseError::Version(_))), "{version}");
    }
    let wrong = json!({"ignition": {"version": "3.1.0"}, "storage": {"files": [{"path": 1}]}});
    assert!(matches!(parse_value(wrong), Err(ParseError::Form { .. })));
}

#[test]
fn inline_contents_become_a_data_url_and_unknown_keys_a_warning() {
    let value = json!({"ignition": {"version": "3.2.0"}, "storage": {"files":
        [{"path": "/etc/chrony.conf", "contents": {"inline": "server a\n"}, "colour": "red"}]}});
    let parsed = parse_value(value).expect("valid");
    let file = &parsed.config.storage.clone().expect("storage").files.expect("files")[0];
    let source = file.contents.as_ref().and_then(|contents| contents.source.as_deref());
    assert_eq!(source, Some("data:;base64,c2VydmVyIGEK"));
    assert_eq!(parsed.warnings, ["unused key: $.storage.files.0.colour"]);
    assert_eq!(parsed.report().warnings[0].path, "$.storage.files.0.colour");
}

#[test]
fn a_key_of_a_later_version_has_no_effect_in_an_earlier_one() {
    let value = json!({"ignition": {"version": "3.2.0"}, "kernelArguments": {"shouldExist": ["quiet"]}});
    let parsed = parse_value(value).expect("valid");
    assert!(parsed.config.kernel_arguments.is_none());
    assert_eq!(parsed.warnings, ["unused key: $.kernelArguments"]);
}

#[test]
fn local_files_are_read_from_beside_the_configuration_and_from_nowhere_else() {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("motd"), "hi").expect("a file");
    let with = |local: &str| {
        let value = json!({"ignition": {"version": "3.5.0"},
            "storage": {"files": [{"path": "/etc/motd", "contents": {"local": local}}]}});
        parse_with_files(value.to_string().as_bytes(), folder.path())
    };
    let parsed = with("motd").expect("valid");
    assert!(canonical(&parsed.config).contains("data:;base64,aGk="));
    for outside in ["../motd", "/etc/passwd", "missing"] {
        assert!(matches!(with(outside), Err(ParseError::Local { .. })), "{outside}");
    }
}

#[test]
fn what_means_the_same_has_the_same_digest() {
    let one = json!({"ignition": {"version": "3.1.0"}, "storage": {"files": [{"path": "/a", "mode": 420}]}});
    let two = json!({"storage": {"links": [], "files": [{"mode": 420, "path": "/a", "user": {}, "append": []}]},
        "ignition": {"version": "3.5.0", "config": {}}});
    let digest_of = |value| digest(&parse_value(value).expect("valid").config);
    assert_eq!(digest_of(one.clone()), digest_of(two));
    assert_eq!(digest_of(one).len(), 64);
}
