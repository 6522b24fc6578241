//! Every problem of a configuration, each with its JSON path (`$.storage.files.0.path`).

mod passwd;
mod resources;
mod storage;
mod systemd;

use std::collections::BTreeMap;

use ashlar_model::config::Problem;

use crate::Config;

/// An empty answer means that the configuration is valid. What is valid but has no effect is not reported here.
pub fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    resources::check(config, &mut problems);
    if let Some(storage) = &config.storage {
        storage::check(storage, &mut problems);
    }
    if let Some(systemd) = &config.systemd {
        systemd::check(systemd, &mut problems);
    }
    if let Some(passwd) = &config.passwd {
        passwd::check(passwd, &mut problems);
    }
    kernel_arguments(config, &mut problems);
    problems
}

fn kernel_arguments(config: &Config, problems: &mut Vec<Problem>) {
    let Some(arguments) = &config.kernel_arguments else { return };
    let wanted = arguments.should_exist.as_deref().unwrap_or_default();
    for (index, argument) in arguments.should_not_exist.iter().flatten().enumerate() {
        if wanted.contains(argument) {
            let path = format!("$.kernelArguments.shouldNotExist.{index}");
            problems.push(Problem::new(path, quoted(argument), "must not stand in shouldExist as well"));
        }
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", text.chars().take(80).collect::<String>())
}

/// Reports keys that stand twice. `entries` are (key, path); shared lists are given together.
fn unique<'a>(entries: impl IntoIterator<Item = (&'a str, String)>, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for (key, path) in entries {
        match seen.get(key) {
            Some(first) => problems.push(
                Problem::new(path, quoted(key), format!("must not stand twice (first at {first})"))
                    .hint("merge the two entries into one"),
            ),
            None => {
                seen.insert(key, path);
            }
        }
    }
}

/// An absolute path without `.`, `..`, `//` and a slash at its end.
fn path(text: &str, place: String, problems: &mut Vec<Problem>) {
    let parts = || text.split('/').skip(1);
    let rule = if !text.starts_with('/') {
        "must be an absolute path"
    } else if text == "/" {
        "must not be the root directory"
    } else if text.contains('\0') {
        "must not contain a zero byte"
    } else if parts().any(|part| part.is_empty() || part == "." || part == "..") {
        "must be a path without `.`, `..`, `//` and a slash at its end"
    } else {
        return;
    };
    problems.push(Problem::new(place, quoted(text), rule).hint("for example /etc/motd"));
}

#[cfg(test)]
mod tests {
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
                "$.storage.directories.0.path",
            ),
            (json!({"storage": {"files": [{"path": "/a"}, {"path": "/a/b"}]}}), "$.storage.files.1.path"),
            (json!({"storage": {"links": [{"path": "/a"}]}}), "$.storage.links.0.target"),
            (
                json!({"storage": {"links": [{"path": "/a", "hard": true, "target": "b"}]}}),
                "$.storage.links.0.target",
            ),
            (json!({"storage": {"disks": [{"device": "sda"}]}}), "$.storage.disks.0.device"),
            (unit(json!({"name": "a"})), "$.systemd.units.0.name"),
            (unit(json!({"name": "../a.service"})), "$.systemd.units.0.name"),
            (
                unit(json!({"name": "a.service", "contents": "ExecStart=/bin/true"})),
                "$.systemd.units.0.contents",
            ),
            (unit(json!({"name": "a.service", "contents": "[Unit\nA=b"})), "$.systemd.units.0.contents"),
            (
                unit(json!({"name": "a.service", "dropins": [{"name": "a.txt"}]})),
                "$.systemd.units.0.dropins.0.name",
            ),
            (unit(json!({"name": "a.service", "mask": true, "enabled": true})), "$.systemd.units.0.enabled"),
            (user(json!({"name": "Core:"})), "$.passwd.users.0.name"),
            (user(json!({"name": "core", "homeDir": "home"})), "$.passwd.users.0.homeDir"),
            (user(json!({"name": "core", "passwordHash": "a:b"})), "$.passwd.users.0.passwordHash"),
            (
                user(json!({"name": "core", "sshAuthorizedKeys": ["a\nb"]})),
                "$.passwd.users.0.sshAuthorizedKeys.0",
            ),
            (json!({"passwd": {"groups": [{"name": "a"}, {"name": "a"}]}}), "$.passwd.groups.1.name"),
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
}
