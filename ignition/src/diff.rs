//! What differs between two configurations, entry by entry. Contents and secrets are never shown, only that they
//! differ.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::Config;
use crate::data_url::{is_data_url, read_data_url};
use crate::merge::to_value;
use crate::resource::shown;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Difference {
    Added { path: String },
    Removed { path: String },
    Changed { path: String, from: String, to: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Added { path } => write!(f, "+ {path}"),
            Difference::Removed { path } => write!(f, "- {path}"),
            Difference::Changed { path, from, to } => write!(f, "~ {path}: {from} -> {to}"),
        }
    }
}

/// Entries of lists are compared by what names them, whatever their order.
pub fn diff(old: &Config, new: &Config) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("$", Some(&to_value(old)), Some(&to_value(new)), &mut found);
    found
}

const NAMES: &[&str] = &["path", "name", "device", "url", "number", "label", "source"];

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => found.push(Difference::Added { path: path.to_owned() }),
        (Some(_), None) => found.push(Difference::Removed { path: path.to_owned() }),
        (Some(Value::Object(old)), Some(Value::Object(new))) => members(path, old, new, found),
        (Some(Value::Array(old)), Some(Value::Array(new))) => lists(path, old, new, found),
        (Some(old), Some(new)) if old != new => {
            let (from, to) = (display(path, old), display(path, new));
            found.push(Difference::Changed { path: path.to_owned(), from, to });
        }
        _ => {}
    }
}

fn members(path: &str, old: &Map<String, Value>, new: &Map<String, Value>, found: &mut Vec<Difference>) {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        compare(&format!("{path}.{key}"), old.get(key), new.get(key), found);
    }
}

fn lists(path: &str, old: &[Value], new: &[Value], found: &mut Vec<Difference>) {
    let keys = |list: &[Value]| -> Vec<String> { list.iter().map(|item| key(path, item)).collect() };
    let (old_keys, new_keys) = (keys(old), keys(new));
    for (item, key) in old.iter().zip(&old_keys) {
        let other = new_keys.iter().position(|other| other == key).map(|at| &new[at]);
        compare(&format!("{path}[{key}]"), Some(item), other, found);
    }
    for (item, key) in new.iter().zip(&new_keys).filter(|(_, key)| !old_keys.contains(key)) {
        compare(&format!("{path}[{key}]"), None, Some(item), found);
    }
}

fn key(path: &str, item: &Value) -> String {
    let name = NAMES.iter().find_map(|name| item.get(*name));
    display(&format!("{path}.source"), name.unwrap_or(item)).trim_matches('`').to_owned()
}

fn display(path: &str, value: &Value) -> String {
    let member = path.rsplit('.').next().unwrap_or(path);
    match value {
        Value::String(_) if matches!(member, "passwordHash" | "value" | "config" | "contents") => {
            "…".to_owned()
        }
        Value::String(text) if is_data_url(text) => {
            read_data_url(text).map_or_else(|_| "data:…".to_owned(), |bytes| format!("{} bytes", bytes.len()))
        }
        Value::String(text) if text.contains("://") => shown(text),
        Value::String(text) => format!("`{text}`"),
        Value::Object(_) | Value::Array(_) => "…".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_compared_by_name_and_secrets_stay_hidden() {
        let config = |value: Value| {
            let mut value = value;
            value["ignition"] = json!({"version": "3.5.0"});
            crate::parse_value(value).expect("a configuration").config
        };
        let old = config(
            json!({"storage": {"files": [{"path": "/a", "mode": 420, "contents": {"source": "data:,secret"}}, {"path": "/b"}]},
            "passwd": {"users": [{"name": "core", "passwordHash": "$y$one"}]}}),
        );
        let new = config(
            json!({"storage": {"files": [{"path": "/c"}, {"path": "/a", "mode": 384, "contents": {"source": "data:,other-secret"}}]},
            "passwd": {"users": [{"name": "core", "passwordHash": "$y$two"}]}}),
        );
        let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "~ $.passwd.users[core].passwordHash: … -> …",
                "~ $.storage.files[/a].contents.source: 6 bytes -> 12 bytes",
                "~ $.storage.files[/a].mode: 420 -> 384",
                "- $.storage.files[/b]",
                "+ $.storage.files[/c]",
            ]
        );
        assert!(diff(&old, &old).is_empty());
    }
}
