//! One configuration per rule, valid and invalid, and those where we differ on purpose.

use serde_json::{Value, json};

use super::resources::{ignition, references, resources, sources};
use super::storage::{disks, filesystems, luks, nodes, raid};
use super::system::{arguments, passwd, units, whole};
use super::{Case, versioned};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, make, values) in groups() {
        for version in ["3.0.0", "3.1.0", "3.2.0", "3.3.0"] {
            for (index, value) in values.iter().enumerate() {
                // Every value at the latest version; at earlier ones a third of them, another third each.
                let rotation = version.as_bytes()[2] as usize;
                if version == "3.3.0" || index % 3 == rotation % 3 {
                    let case =
                        Case::new(format!("{group}-{index}-{version}"), &versioned(version, make(value)));
                    let untargeted =
                        group == "nodes" && value["links"][0]["target"].as_str().unwrap_or("").is_empty();
                    let differs = untargeted && value["links"].is_array() && version != "3.3.0";
                    cases.push(Case { differs: differs.then_some(NO_TARGET), ..case });
                }
            }
        }
    }
    cases.extend(texts());
    cases.extend(differences());
    cases
}

const NO_TARGET: &str = "a link without a target is refused before the disk is touched, as from spec 3.3 on";

type Group = (&'static str, fn(&Value) -> Value, Vec<Value>);

fn groups() -> Vec<Group> {
    vec![
        ("file", |v| json!({"storage": {"files": [v]}}), files()),
        (
            "source",
            |v| json!({"storage": {"files": [{"path": "/etc/a", "contents": {"source": v}}]}}),
            sources(),
        ),
        ("resource", |v| json!({"storage": {"files": [{"path": "/etc/a", "contents": v}]}}), resources()),
        ("merge", |v| json!({"ignition": {"config": v}}), references()),
        ("ignition", |v| json!({"ignition": v}), ignition()),
        ("nodes", |v| json!({"storage": v}), nodes()),
        ("disk", |v| json!({"storage": {"disks": [v]}}), disks()),
        ("raid", |v| json!({"storage": {"raid": [v]}}), raid()),
        ("filesystem", |v| json!({"storage": {"filesystems": [v]}}), filesystems()),
        ("luks", |v| json!({"storage": {"luks": [v]}}), luks()),
        ("unit", |v| json!({"systemd": {"units": v}}), units()),
        ("passwd", |v| json!({"passwd": v}), passwd()),
        ("kargs", |v| json!({"kernelArguments": v}), arguments()),
        ("whole", Value::clone, whole()),
    ]
}

pub fn list(value: Value) -> Vec<Value> {
    value.as_array().expect("a list").clone()
}

fn files() -> Vec<Value> {
    list(json!([
        {"path": "/etc/a"}, {"path": "etc/a"}, {"path": ""}, {"path": "/etc/../a"}, {"path": "/etc//a"}, {"path": "/etc/a/"},
        {"path": "/etc/a", "mode": 0}, {"path": "/etc/a", "mode": 420}, {"path": "/etc/a", "mode": 4095},
        {"path": "/etc/a", "mode": 4096}, {"path": "/etc/a", "mode": -1}, {"path": "/etc/a", "mode": "0644"},
        {"path": "/etc/a", "overwrite": true}, {"path": "/etc/a", "overwrite": false},
        {"path": "/etc/motd", "overwrite": true, "contents": {"source": "data:,new"}},
        {"path": "/etc/motd", "append": [{"source": "data:,one%0A"}, {"source": "data:,two%0A"}]},
        {"path": "/etc/new", "append": [{"source": "data:,one%0A"}], "mode": 384},
        {"path": "/etc/new", "contents": {"source": "data:,zero%0A"}, "append": [{"source": "data:;base64,b25lCg=="}]},
        {"path": "/etc/motd", "mode": 384},
        {"path": "/etc/motd", "mode": 511, "user": {"id": 7}, "group": {"name": "daemon"}},
        {"path": "/etc/a", "user": {"id": 500}}, {"path": "/etc/a", "user": {"name": "daemon"}, "group": {"name": "daemon"}},
        {"path": "/etc/a", "user": {"id": 1, "name": "daemon"}}, {"path": "/etc/a", "user": {"id": 1, "name": ""}},
        {"path": "/etc/a", "group": {"id": 1, "name": "daemon"}}, {"path": "/etc/a", "contents": {"source": ""}},
        {"path": "/var/log/deep/er/file", "contents": {"source": "data:,x"}},
        {"path": "/home/x", "contents": {"source": "data:,x"}}, {"path": "/etc/link/through", "contents": {"source": "data:,x"}},
        {"path": "/etc/a b", "contents": {"source": "data:,x"}}, {"path": "/etc/ünïcode", "contents": {"source": "data:,x"}},
        {"path": "/etc/a", "contents": {"source": "data:,x"}, "append": [{}]},
        {"path": "/etc/motd", "contents": {"source": "data:,x"}},
    ]))
}

/// Texts that are no object of a known version.
fn texts() -> Vec<Case> {
    let texts = [
        "",
        " ",
        "{",
        "[]",
        "null",
        "1",
        "\"a\"",
        "{}",
        "#cloud-config",
        "#!/bin/sh",
        "<html>",
        "{\"ignition\": {}}",
        "{\"ignition\": null}",
        "{\"ignition\": {\"version\": \"\"}}",
        "{\"ignition\": {\"version\": \"2.3.0\"}}",
        "{\"ignition\": {\"version\": \"3.6.0\"}}",
        "{\"ignition\": {\"version\": \"3.3\"}}",
        "{\"ignition\": {\"version\": \"x\"}}",
        "{\"ignition\": {\"version\": 3}}",
        "{\"ignition\": {\"version\": \"3.3.0-experimental\"}}",
        "{\"ignition\": {\"version\": \"3.3.0\"}} x",
        "{\"ignition\": {\"version\": \"3.3.0\"},}",
        "{\"ignition\": {\"version\": \"1.0.0\"}}",
        "{\"ignition\": {\"version\": \"3.3.0\"}, \"storage\": {\"files\": [1]}}",
    ];
    let cases = texts.iter().enumerate();
    cases
        .map(|(index, text)| Case { name: format!("text-{index}"), text: (*text).to_owned(), differs: None })
        .collect()
}

/// Where we mean to differ, each with its reason.
fn differences() -> Vec<Case> {
    let three = |value: Value| versioned("3.3.0", value);
    let cases: Vec<(&'static str, Value)> = vec![
        ("a name is required of everything that is made by its name", json!({"passwd": {"users": [{}]}})),
        (
            "a name is required of everything that is made by its name",
            json!({"storage": {"luks": [{"device": "/dev/a"}]}}),
        ),
        (
            "the name of an account that no program accepts is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a:b"}]}}),
        ),
        (
            "the name of an account that no program accepts is refused before the disk is touched",
            json!({"passwd": {"groups": [{"name": "-a"}]}}),
        ),
        (
            "a field of passwd with a colon is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "gecos": "a:b"}]}}),
        ),
        (
            "a field of passwd with a colon is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "passwordHash": "a:b"}]}}),
        ),
        (
            "a home or shell that useradd does not accept is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "homeDir": "home"}]}}),
        ),
        (
            "a home or shell that useradd does not accept is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "shell": "sh"}]}}),
        ),
        (
            "an id that no account can have is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "uid": -1}]}}),
        ),
        (
            "an id that no account can have is refused before the disk is touched",
            json!({"storage": {"files": [{"path": "/a", "user": {"id": -1}}]}}),
        ),
        ("a negative time has no meaning", json!({"ignition": {"timeouts": {"httpTotal": -1}}})),
        ("a file cannot replace the root directory", json!({"storage": {"files": [{"path": "/"}]}})),
        ("nothing can lie below a file", json!({"storage": {"files": [{"path": "/a"}, {"path": "/a/b"}]}})),
        (
            "a unit at the path of a file would hide it (spec 3.4 and later refuse it in every version)",
            json!({"storage": {"files": [{"path": "/etc/systemd/system/a.service"}]}, "systemd": {"units": [{"name": "a.service", "contents": "[Unit]\n"}]}}),
        ),
        (
            "a hash of other characters than hex digits matches nothing",
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": "data:,a", "verification": {"hash": format!("sha512-{}", "z".repeat(128))}}}]}}),
        ),
        (
            "a header's name with a space cannot be sent",
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": "http://a/b", "httpHeaders": [{"name": "a b", "value": "c"}]}}]}}),
        ),
        (
            "a unit's name is no path",
            json!({"systemd": {"units": [{"name": "../a.service", "contents": "[Unit]\n"}]}}),
        ),
        (
            "a unit's name is no path",
            json!({"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "../a.conf"}]}]}}),
        ),
        (
            "GPT has 128 entries; a number beyond them fails in the disks stage",
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 129}]}]}}),
        ),
        (
            "a negative size fails in the disks stage",
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "sizeMiB": -1}]}]}}),
        ),
        (
            "shouldExist: false beside a partition without a number (2.15 lifted the restriction in every version)",
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "shouldExist": false}, {"label": "b"}]}]}}),
        ),
        (
            "a null where a value is required is not the empty value",
            json!({"passwd": {"users": [{"name": null}]}}),
        ),
        (
            "keys are matched as they are written, so Users is an unknown key (a warning)",
            json!({"passwd": {"Users": [{"name": 1}]}}),
        ),
        (
            "an array's name is part of a path in /dev/md",
            json!({"storage": {"raid": [{"name": "a/b", "level": "1", "devices": ["/dev/a"]}]}}),
        ),
    ];
    let named = cases.into_iter().enumerate();
    named
        .map(|(index, (reason, value))| Case {
            differs: Some(reason),
            ..Case::new(format!("differs-{index}"), &three(value))
        })
        .collect()
}
