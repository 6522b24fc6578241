//! The order of actions, and what is refused before any of them.

use super::*;
use serde_json::{Value, json};

fn config(mut value: Value) -> Config {
    value["ignition"]["version"] = "3.5.0".into();
    crate::parse_value(value).expect("a configuration").config
}

#[test]
fn accounts_come_first_parents_before_children_and_hard_links_last() {
    let config = config(json!({
        "passwd": {"users": [{"name": "core"}], "groups": [{"name": "ops"}]},
        "storage": {
            "links": [{"path": "/etc/a", "target": "/etc/d/f", "hard": true}, {"path": "/etc/d/l", "target": "f"}],
            "files": [{"path": "/etc/d/f", "contents": {"source": "data:,a"}, "append": [{"source": "data:,b"}]}],
            "directories": [{"path": "/etc/d"}]},
        "systemd": {"units": [
            {"name": "a.service", "enabled": true, "contents": "[Unit]", "dropins": [{"name": "1.conf", "contents": "[Unit]"}]},
            {"name": "b.service", "mask": true}, {"name": "c.service", "enabled": false}]}}));
    let lines: Vec<String> =
        plan(&config, &Settings::default()).expect("possible").iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "group ops",
            "user core",
            "directory /etc/d",
            "file /etc/d/f (2 bytes)",
            "link /etc/d/l -> f",
            "hard link /etc/a = /etc/d/f",
            "file /etc/systemd/system/a.service (6 bytes)",
            "file /etc/systemd/system/a.service.d/1.conf (6 bytes)",
            "link /etc/systemd/system/b.service -> /dev/null",
            "preset enable a.service, disable c.service",
            "enable a.service",
            "disable c.service",
        ]
    );
}

#[test]
fn contents_that_are_not_what_they_should_be_are_refused_before_anything_is_done() {
    let config = config(
        json!({"storage": {"files": [{"path": "/a", "contents": {"source": "https://a/b?secret"}},
        {"path": "/b", "append": [{"source": "data:,x", "compression": "gzip"}]},
        {"path": "/c", "contents": {"source": "data:,x", "verification": {"hash": format!("sha256-{}", "0".repeat(64))}}}]}}),
    );
    let problems = plan(&config, &Settings::default()).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["$.storage.files.1.append.0", "$.storage.files.2.contents"]);
}
