//! Each rule with a configuration that breaks it.

use super::*;
use serde_json::{Value, json};

#[track_caller]
fn check(mut value: Value, want: &[&str]) {
    value["ignition"]["version"] = "3.5.0".into();
    let config = crate::parse_value(value.clone()).expect("a configuration").config;
    let got: Vec<String> = validate(&config).into_iter().map(|problem| problem.path).collect();
    assert_eq!(got, want, "{value}");
}

#[test]
fn each_rule_names_its_entry() {
    let file = |value: Value| json!({"storage": {"files": [value]}});
    let unit = |value: Value| json!({"systemd": {"units": [value]}});
    let user = |value: Value| json!({"passwd": {"users": [value]}});
    let cases = [
        (file(json!({"path": "etc/motd"})), "$.storage.files.0.path"),
        (file(json!({"path": "/etc/../motd"})), "$.storage.files.0.path"),
        (file(json!({"path": "/"})), "$.storage.files.0.path"),
        (file(json!({"path": "/a", "mode": 4096})), "$.storage.files.0.mode"),
        (file(json!({"path": "/a", "overwrite": true})), "$.storage.files.0.overwrite"),
        (file(json!({"path": "/a", "user": {"id": 1, "name": "a"}})), "$.storage.files.0.user"),
        (
            file(json!({"path": "/a", "contents": {"source": "ftp://a/b"}})),
            "$.storage.files.0.contents.source",
        ),
        (file(json!({"path": "/a", "contents": {"source": "/b"}})), "$.storage.files.0.contents.source"),
        (
            file(json!({"path": "/a", "contents": {"source": "data:;base64,*"}})),
            "$.storage.files.0.contents.source",
        ),
        (
            file(json!({"path": "/a", "append": [{"source": "data:,a", "compression": "xz"}]})),
            "$.storage.files.0.append.0.compression",
        ),
        (
            file(
                json!({"path": "/a", "contents": {"source": "https://a/b", "verification": {"hash": "md5-00"}}}),
            ),
            "$.storage.files.0.contents.verification.hash",
        ),
        (
            file(
                json!({"path": "/a", "contents": {"source": "data:,a", "httpHeaders": [{"name": "A", "value": "b"}]}}),
            ),
            "$.storage.files.0.contents.httpHeaders",
        ),
        (
            json!({"ignition": {"config": {"merge": [{"source": "https://a/b", "httpHeaders": [{"name": ""}]}]}}}),
            "$.ignition.config.merge.0.httpHeaders.0.name",
        ),
        (json!({"ignition": {"timeouts": {"httpTotal": -1}}}), "$.ignition.timeouts.httpTotal"),
        (
            json!({"storage": {"files": [{"path": "/a"}], "directories": [{"path": "/a"}]}}),
            "$.storage.files.0",
        ),
        (json!({"storage": {"files": [{"path": "/a"}, {"path": "/a/b"}]}}), "$.storage.files.1.path"),
        (json!({"storage": {"links": [{"path": "/a"}]}}), "$.storage.links.0.target"),
        (
            json!({"storage": {"directories": [{"path": "/b"}], "links": [{"path": "/a", "hard": true, "target": "/b"}]}}),
            "$.storage.links.0.target",
        ),
        (json!({"storage": {"disks": [{"device": "sda"}]}}), "$.storage.disks.0.device"),
        (unit(json!({"name": "a"})), "$.systemd.units.0.name"),
        (unit(json!({"name": "../a.service"})), "$.systemd.units.0.name"),
        (
            unit(json!({"name": "a.service", "contents": "[Service]\nExecStart"})),
            "$.systemd.units.0.contents",
        ),
        (unit(json!({"name": "a.service", "contents": "[Unit\nA=b"})), "$.systemd.units.0.contents"),
        (
            unit(json!({"name": "a.service", "dropins": [{"name": "a.txt"}]})),
            "$.systemd.units.0.dropins.0.name",
        ),
        (user(json!({"name": "Core:"})), "$.passwd.users.0.name"),
        (user(json!({"name": "core", "homeDir": "home"})), "$.passwd.users.0.homeDir"),
        (user(json!({"name": "core", "passwordHash": "a:b"})), "$.passwd.users.0.passwordHash"),
        (
            user(json!({"name": "core", "sshAuthorizedKeys": ["a", "a"]})),
            "$.passwd.users.0.sshAuthorizedKeys.1",
        ),
        (json!({"passwd": {"groups": [{"name": "a"}, {"name": "a"}]}}), "$.passwd.groups.1"),
        (
            json!({"kernelArguments": {"shouldExist": ["a"], "shouldNotExist": ["a"]}}),
            "$.kernelArguments.shouldNotExist.0",
        ),
    ];
    for (value, path) in cases {
        check(value, &[path]);
    }
}

#[test]
fn all_problems_come_at_once_and_a_valid_configuration_has_none() {
    check(
        json!({"storage": {"files": [{"path": "a", "mode": -1}], "directories": [{"path": "b"}]},
            "systemd": {"units": [{"name": "x"}]}}),
        &[
            "$.storage.files.0.path",
            "$.storage.files.0.mode",
            "$.storage.directories.0.path",
            "$.systemd.units.0.name",
        ],
    );
    check(
        json!({"storage": {"files": [{"path": "/etc/a", "mode": 0o644, "overwrite": true, "contents":
            {"source": "https://a/b?c", "compression": "gzip", "httpHeaders": [{"name": "A", "value": "b"}]}}],
            "directories": [{"path": "/etc/b"}], "links": [{"path": "/etc/b/c", "target": "../a"}]},
            "systemd": {"units": [{"name": "a@1.service", "enabled": true,
                "contents": "# x\n[Unit]\nDescription=a \\\n  b\n\n[Install]\nWantedBy=multi-user.target\n"}]}}),
        &[],
    );
}
