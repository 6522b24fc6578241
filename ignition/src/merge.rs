//! Merging a child configuration into its parent by the reference's rules: objects member by member, values
//! replaced by the child's, lists by key, a few lists appended.
//!
//! The rules are a table over the JSON form, so that a new list is one line here.

use serde_json::{Map, Value};

use crate::Config;

/// How the lists are merged. A list that is not here is a list of words: its own values are the keys.
enum Rule {
    /// By the value of this member.
    By(&'static str),
    /// Partitions: by number, by label when there is no number.
    ByNumberOrLabel,
    Append,
}

/// A path without indexes, and its rule.
const LISTS: &[(&str, Rule)] = &[
    ("ignition.config.merge", Rule::By("source")),
    ("ignition.security.tls.certificateAuthorities", Rule::By("source")),
    ("passwd.users", Rule::By("name")),
    ("passwd.groups", Rule::By("name")),
    ("storage.files", Rule::By("path")),
    ("storage.files.append", Rule::Append),
    ("storage.directories", Rule::By("path")),
    ("storage.links", Rule::By("path")),
    ("storage.disks", Rule::By("device")),
    ("storage.disks.partitions", Rule::ByNumberOrLabel),
    ("storage.raid", Rule::By("name")),
    ("storage.raid.options", Rule::Append),
    ("storage.luks", Rule::By("name")),
    ("storage.luks.options", Rule::Append),
    ("storage.luks.clevis.tang", Rule::By("url")),
    ("storage.filesystems", Rule::By("device")),
    ("storage.filesystems.options", Rule::Append),
    ("storage.filesystems.mountOptions", Rule::Append),
    ("systemd.units", Rule::By("name")),
    ("systemd.units.dropins", Rule::By("name")),
];

/// Lists that share their keys: an entry of the child removes the parent's entry of another kind.
const SHARED: &[&[&str]] = &[
    &["storage.files", "storage.directories", "storage.links"],
    &["kernelArguments.shouldExist", "kernelArguments.shouldNotExist"],
];

/// The child's settings win; entries that only one of them has are kept, the parent's first.
pub fn merge(parent: &Config, child: &Config) -> Config {
    let (mut parent, child) = (to_value(parent), to_value(child));
    remove_shared(&mut parent, &child);
    let merged = merge_values(parent, child, "");
    serde_json::from_value(merged).expect("two configurations of one spec merge into one of that spec")
}

pub(crate) fn to_value(config: &Config) -> Value {
    let mut value = serde_json::to_value(config).expect("a configuration has a JSON form");
    without_nulls(&mut value);
    value
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn merge_values(parent: Value, child: Value, path: &str) -> Value {
    match (parent, child) {
        (Value::Object(parent), Value::Object(child)) => Value::Object(merge_objects(parent, child, path)),
        (Value::Array(parent), Value::Array(child)) => Value::Array(merge_lists(parent, child, path)),
        (_, child) => child,
    }
}

fn merge_objects(
    mut parent: Map<String, Value>,
    child: Map<String, Value>,
    path: &str,
) -> Map<String, Value> {
    for (name, value) in child {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let merged = match parent.remove(&name) {
            Some(old) => merge_values(old, value, &here),
            None => value,
        };
        parent.insert(name, merged);
    }
    parent
}

fn merge_lists(parent: Vec<Value>, child: Vec<Value>, path: &str) -> Vec<Value> {
    let is_header = path.ends_with(".httpHeaders");
    let header = Rule::By("name");
    let rule = if is_header {
        Some(&header)
    } else {
        LISTS.iter().find(|(list, _)| *list == path).map(|(_, rule)| rule)
    };
    if matches!(rule, Some(Rule::Append)) {
        return parent.into_iter().chain(child).collect();
    }
    let parent_keys: Vec<String> = parent.iter().map(|item| key(item, rule)).collect();
    let mut merged = Vec::new();
    for (item, item_key) in parent.into_iter().zip(&parent_keys) {
        match child.iter().rev().find(|other| key(other, rule) == *item_key) {
            // A header without a value takes the parent's away.
            Some(other) if is_header && other.get("value").is_none() => {}
            Some(other) => merged.push(merge_values(item, other.clone(), path)),
            None => merged.push(item),
        }
    }
    merged.extend(child.into_iter().filter(|item| !parent_keys.contains(&key(item, rule))));
    merged
}

fn key(item: &Value, rule: Option<&Rule>) -> String {
    let member = |name: &str| item.get(name).map_or_else(String::new, ToString::to_string);
    match rule {
        Some(Rule::By(name)) => member(name),
        Some(Rule::ByNumberOrLabel) => match item.get("number").and_then(Value::as_i64) {
            Some(number) if number != 0 => format!("number {number}"),
            _ => format!("label {}", member("label")),
        },
        Some(Rule::Append) | None => item.to_string(),
    }
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(&pointer(path)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn remove_shared(parent: &mut Value, child: &Value) {
    for group in SHARED {
        let rule = LISTS.iter().find(|(list, _)| *list == group[0]).map(|(_, rule)| rule);
        for mine in *group {
            let others: Vec<String> = group
                .iter()
                .filter(|other| *other != mine)
                .flat_map(|other| list(child, other).iter().map(|item| key(item, rule)))
                .collect();
            if let Some(items) = parent.pointer_mut(&pointer(mine)).and_then(Value::as_array_mut) {
                items.retain(|item| !others.contains(&key(item, rule)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(parent: Value, child: Value, want: Value) {
        let config = |mut value: Value| {
            value["ignition"]["version"] = "3.5.0".into();
            crate::parse_value(value).expect("a configuration").config
        };
        assert_eq!(to_value(&merge(&config(parent), &config(child))), to_value(&config(want)));
    }

    #[test]
    fn entries_of_a_list_are_merged_by_key_and_others_kept_in_order() {
        check(
            json!({"storage": {"files": [{"path": "/a", "mode": 1, "contents": {"source": "data:,a"}}, {"path": "/b"}]}}),
            json!({"storage": {"files": [{"path": "/c"}, {"path": "/a", "contents": {"source": "data:,x"}}]}}),
            json!({"storage": {"files": [
                {"path": "/a", "mode": 1, "contents": {"source": "data:,x"}}, {"path": "/b"}, {"path": "/c"}]}}),
        );
    }

    #[test]
    fn a_link_of_the_child_takes_the_place_of_a_file() {
        check(
            json!({"storage": {"files": [{"path": "/a"}, {"path": "/b"}]}}),
            json!({"storage": {"links": [{"path": "/a", "target": "/b"}]}}),
            json!({"storage": {"files": [{"path": "/b"}], "links": [{"path": "/a", "target": "/b"}]}}),
        );
    }

    #[test]
    fn appended_lists_grow_and_lists_of_words_are_united() {
        check(
            json!({"storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}]}]},
                "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["one", "two"]}]}}),
            json!({"storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}]}]},
                "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["two", "three"]}]}}),
            json!({"storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}, {"source": "data:,1"}]}]},
                "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["one", "two", "three"]}]}}),
        );
    }

    #[test]
    fn a_header_without_a_value_removes_the_parents() {
        let merge_with = |headers: Value| json!({"ignition": {"config": {"merge": [{"source": "https://a/b", "httpHeaders": headers}]}}});
        check(
            merge_with(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])),
            merge_with(json!([{"name": "A"}, {"name": "B", "value": "3"}])),
            merge_with(json!([{"name": "B", "value": "3"}])),
        );
    }

    #[test]
    fn kernel_arguments_move_between_their_lists_and_dropins_are_keyed() {
        check(
            json!({"kernelArguments": {"shouldExist": ["quiet", "nosmt"]},
                "systemd": {"units": [{"name": "a.service", "dropins": [{"name": "1.conf", "contents": "[Unit]"}]}]}}),
            json!({"kernelArguments": {"shouldNotExist": ["quiet"]},
                "systemd": {"units": [{"name": "a.service", "enabled": true, "dropins": [{"name": "2.conf"}]}]}}),
            json!({"kernelArguments": {"shouldExist": ["nosmt"], "shouldNotExist": ["quiet"]},
                "systemd": {"units": [{"name": "a.service", "enabled": true,
                    "dropins": [{"name": "1.conf", "contents": "[Unit]"}, {"name": "2.conf"}]}]}}),
        );
    }
}
