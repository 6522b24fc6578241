//! Text or an API object to a machine config, or every problem of it with its field path.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    API_VERSION, KIND, KUBELET, MachineConfig, RESERVED, ROLE_LABEL, RUNTIME, name_of, numbers, settings,
};
use crate::config::Problem;

/// What one document of a file is.
#[derive(Debug)]
pub struct Document {
    /// What it is called among machine configs, as far as it says its name.
    pub name: Option<String>,
    pub outcome: Result<MachineConfig, Vec<Problem>>,
}

/// Members of `metadata` that the API server writes: they are in what `kubectl get -o yaml` prints, and mean nothing
/// when they are applied again.
const SERVERS: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Fields of OpenShift's that have no effect yet: their values that say nothing, and why others are refused.
const UNSUPPORTED: &[(&str, &[&str], &str)] = &[
    ("osImageURL", &["\"\""], "the operating system's image is the release's"),
    (
        "baseOSExtensionsContainerImage",
        &["\"\""],
        "extensions of the operating system cannot be installed yet",
    ),
    ("extensions", &["[]"], "extensions of the operating system cannot be installed yet"),
    ("fips", &["false"], "the operating system has no FIPS mode"),
    ("kernelType", &["\"\"", "\"default\""], "the operating system has one kernel"),
];

/// Every document of a YAML file; an empty one is left out.
pub fn read(text: &str) -> Vec<Document> {
    let document = |object: Result<Value, Problem>| match object {
        Ok(value) => {
            let name = value["metadata"]["name"].is_string().then(|| name_of(&value));
            Document { name, outcome: from_object(value) }
        }
        Err(problem) => Document { name: None, outcome: Err(vec![problem]) },
    };
    objects(text).into_iter().map(document).collect()
}

/// The same, of whatever kind they are.
pub fn objects(text: &str) -> Vec<Result<Value, Problem>> {
    let mut objects = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        match value(document) {
            Ok(Value::Null) => {}
            Ok(value) => objects.push(Ok(value)),
            Err(reason) => {
                let problem = Problem::new(".", reason, "must be YAML")
                    .hint("indent with spaces; a key may stand only once; `---` parts the documents");
                objects.push(Err(problem));
                // What follows a broken document cannot be told apart from it.
                break;
            }
        }
    }
    objects
}

fn value(document: serde_norway::Deserializer<'_>) -> Result<Value, String> {
    let mut value = serde_norway::Value::deserialize(document).map_err(|error| error.to_string())?;
    value.apply_merge().map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// # Errors
/// Every problem, each with its field path.
pub fn from_object(mut object: Value) -> Result<MachineConfig, Vec<Problem>> {
    let mut problems = Vec::new();
    if !object.is_object() {
        return Err(vec![Problem::new(".", kind_of(&object), "must be a mapping of fields to values")]);
    }
    if let Some(problem) = other_kind(&object) {
        return Err(vec![problem]);
    }
    unknown(&object, "", &["apiVersion", "kind", "metadata", "spec"], &mut problems);
    if object["kind"] != KIND {
        let name = name(&object["metadata"], &mut problems);
        let made = settings::machine_config(&object, name.as_deref(), &mut problems);
        return made.ok_or(problems);
    }
    let mut spec = object["spec"].take();
    let metadata = object["metadata"].take();
    let name = name(&metadata, &mut problems);
    let mut labels = words(&metadata, "labels", &mut problems);
    let annotations = words(&metadata, "annotations", &mut problems);
    let known: Vec<&str> = SERVERS.iter().copied().chain(["name", "labels", "annotations"]).collect();
    unknown(&metadata, "metadata", &known, &mut problems);
    let role = role(labels.remove(ROLE_LABEL), &mut problems);
    let config = config(&mut spec, &mut problems);
    let kernel_arguments = kernel_arguments(&spec, &mut problems);
    unsupported(&spec, &mut problems);
    match (name, role) {
        (Some(name), Some(role)) if problems.is_empty() => {
            Ok(MachineConfig { name, role, labels, annotations, config, kernel_arguments, settings: None })
        }
        _ => Err(problems),
    }
}

fn other_kind(object: &Value) -> Option<Problem> {
    if ![KIND, KUBELET, RUNTIME].iter().any(|kind| object["kind"] == **kind) {
        let hint = match object["kind"].as_str() {
            Some("MachineConfigPool") => {
                "the pools master and worker are made by the installer; pools of your own are applied with kubectl"
            }
            _ => "other objects are applied with kubectl when the cluster is there",
        };
        return Some(
            Problem::new("kind", shown(&object["kind"]), format!("must be {KIND}, {KUBELET} or {RUNTIME}"))
                .hint(hint),
        );
    }
    (object["apiVersion"] != API_VERSION)
        .then(|| Problem::new("apiVersion", shown(&object["apiVersion"]), format!("must be {API_VERSION}")))
}

fn name(metadata: &Value, problems: &mut Vec<Problem>) -> Option<String> {
    let Some(name) = metadata["name"].as_str() else {
        let found = shown(&metadata["name"]);
        problems.push(Problem::new("metadata.name", found, "is required").hint("for example 99-worker-motd"));
        return None;
    };
    let rule = if !is_subdomain(name) {
        "must be lower-case letters, digits, `-` and `.`, at most 253 characters".to_owned()
    } else if let Some(start) = RESERVED.iter().find(|start| name.starts_with(**start)) {
        format!("must not begin with `{start}`: such names are the release's own")
    } else {
        return Some(name.to_owned());
    };
    let hint = "configs are merged in the order of their names, after the base; take 50- to 99-";
    problems.push(Problem::new("metadata.name", format!("`{name}`"), rule).hint(hint));
    None
}

/// RFC 1123, as the API server has it.
fn is_subdomain(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let ends = part.bytes().next().is_some_and(good) && part.bytes().last().is_some_and(good);
        ends && part.bytes().all(|byte| good(byte) || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

fn words(metadata: &Value, member: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    match &metadata[member] {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) => drop(all.insert(key.clone(), text.to_owned())),
                    None => problems.push(
                        Problem::new(format!("metadata.{member}.{key}"), shown(value), "must be a string")
                            .hint("write it in quotes"),
                    ),
                }
            }
        }
        other => {
            let path = format!("metadata.{member}");
            problems.push(Problem::new(path, kind_of(other), "must be a mapping of names to strings"));
        }
    }
    all
}

fn role(label: Option<String>, problems: &mut Vec<Problem>) -> Option<String> {
    let found = label.clone().filter(|label| is_subdomain(label));
    if found.is_none() {
        let found = label.map_or_else(|| "nothing".to_owned(), |label| format!("`{label}`"));
        let rule = "must be master, worker, or the role of a pool: without one it would have no effect";
        problems.push(Problem::new(format!("metadata.labels.{ROLE_LABEL}"), found, rule));
    }
    found
}

/// What is wrong with a config whose role is none of these.
pub fn without_pool(config: &MachineConfig, roles: &[&str]) -> Option<Problem> {
    (!roles.contains(&config.role.as_str())).then(|| {
        let rule = format!("must be {}: without a pool it would have no effect", roles.join(" or "));
        Problem::new(format!("metadata.labels.{ROLE_LABEL}"), format!("`{}`", config.role), rule)
            .hint("correct the label, or apply the config when its pool is there")
    })
}

fn config(spec: &mut Value, problems: &mut Vec<Problem>) -> Option<Value> {
    match spec {
        Value::Object(map) => match map.get_mut("config").map(Value::take) {
            None | Some(Value::Null) => None,
            Some(mut config @ Value::Object(_)) => {
                numbers::octal(&mut config);
                Some(config)
            }
            Some(other) => {
                problems.push(Problem::new("spec.config", kind_of(&other), "must be an Ignition config"));
                None
            }
        },
        other => {
            problems.push(Problem::new("spec", kind_of(other), "is required").hint("give spec.config"));
            None
        }
    }
}

fn kernel_arguments(spec: &Value, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut arguments = Vec::new();
    let items = match &spec["kernelArguments"] {
        Value::Null => return arguments,
        Value::Array(items) => items,
        other => {
            let problem = Problem::new("spec.kernelArguments", kind_of(other), "must be a list of strings");
            problems.push(problem.hint("begin each entry with `- `"));
            return arguments;
        }
    };
    for (index, item) in items.iter().enumerate() {
        let path = format!("spec.kernelArguments.{index}");
        match item.as_str() {
            Some(text) if !text.is_empty() && !text.contains(char::is_whitespace) => {
                arguments.push(text.to_owned());
            }
            Some(text) => {
                let problem = Problem::new(path, format!("`{text}`"), "must be one argument without spaces");
                problems.push(problem.hint("give each argument an entry of its own"));
            }
            None => {
                problems.push(Problem::new(path, shown(item), "must be a string").hint("write it in quotes"))
            }
        }
    }
    arguments
}

fn unsupported(spec: &Value, problems: &mut Vec<Problem>) {
    let known: Vec<&str> = UNSUPPORTED.iter().map(|(name, ..)| *name).collect();
    let known = [&known[..], &["config", "kernelArguments"]].concat();
    unknown(spec, "spec", &known, problems);
    for (name, nothing, reason) in UNSUPPORTED {
        let value = &spec[*name];
        if !value.is_null() && !nothing.contains(&value.to_string().as_str()) {
            let rule = format!("is not supported: {reason}");
            problems.push(Problem::new(format!("spec.{name}"), shown(value), rule).hint("remove it"));
        }
    }
}

pub(super) fn unknown(value: &Value, path: &str, known: &[&str], problems: &mut Vec<Problem>) {
    let empty = Map::new();
    for key in value.as_object().unwrap_or(&empty).keys().filter(|key| !known.contains(&key.as_str())) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        problems.push(Problem::new(path, "an unknown field", "must be a known field"));
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
        Value::String(_) => "text",
        Value::Bool(_) | Value::Number(_) => "a number or a truth value",
    }
}

/// A short value as it stands, anything else by its kind.
pub(super) fn shown(value: &Value) -> impl fmt::Display + use<> {
    match value {
        Value::String(text) if text.len() <= 80 => format!("`{text}`"),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        other => kind_of(other).to_owned(),
    }
}
