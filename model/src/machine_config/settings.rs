//! `KubeletConfig` and `ContainerRuntimeConfig`: settings of the kubelet and of containerd for whole pools. Each becomes
//! a machine config with a drop-in of what it sets.

use serde_json::{Map, Value, json};

use super::kubelet_fields::{self, Kind};
use super::read::{kind_of, shown, unknown};
use super::{MachineConfig, Settings};
use crate::config::Problem;

pub const KUBELET: &str = "KubeletConfig";
pub const RUNTIME: &str = "ContainerRuntimeConfig";

/// In the order of their names; the kubelet lets the last one win, so what is said to the kubelet itself does.
const RUNTIME_DROP_IN: &str = "/etc/kubernetes/kubelet.d/40-runtime-";
const KUBELET_DROP_IN: &str = "/etc/kubernetes/kubelet.d/50-";
const CONTAINERD_DROP_IN: &str = "/etc/containerd/conf.d/50-";
/// Of containerd's configuration, for drop-ins too.
const CONTAINERD_VERSION: u32 = 3;
const LOG_LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "fatal", "panic"];
const MOST_VERBOSE: u64 = 10;

/// `object` has one of the two kinds, `name` is its own. `None` when there are problems.
pub(super) fn machine_config(
    object: &Value,
    name: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Option<MachineConfig> {
    let kind = if object["kind"] == KUBELET { KUBELET } else { RUNTIME };
    let spec = &object["spec"];
    let files = if kind == KUBELET { kubelet(spec, problems) } else { runtime(spec, problems) };
    let pools = selector(spec, problems);
    let name = name.filter(|_| problems.is_empty())?;
    let files: Vec<Value> = files.into_iter().map(|file| file.named(name)).collect();
    Some(MachineConfig {
        name: format!("{kind}/{name}"),
        role: String::new(),
        labels: Default::default(),
        annotations: Default::default(),
        config: Some(json!({"ignition": {"version": "3.5.0"}, "storage": {"files": files}})),
        kernel_arguments: Vec::new(),
        settings: Some(Settings { pools, object: object.clone() }),
    })
}

/// A file's path up to the object's name, the rest of it, and what is in it.
struct DropIn(&'static str, &'static str, String);

impl DropIn {
    fn kubelet(start: &'static str, mut fields: Map<String, Value>) -> Self {
        fields.insert("apiVersion".into(), "kubelet.config.k8s.io/v1beta1".into());
        fields.insert("kind".into(), "KubeletConfiguration".into());
        Self(start, ".conf", format!("{:#}\n", Value::Object(fields)))
    }

    fn named(self, name: &str) -> Value {
        let Self(start, end, text) = self;
        json!({
            "path": format!("{start}{name}{end}"),
            "mode": 0o644,
            "overwrite": true,
            "contents": {"inline": text},
        })
    }
}

/// Which pools, by their labels.
fn selector(spec: &Value, problems: &mut Vec<Problem>) -> Value {
    let selector = &spec["machineConfigPoolSelector"];
    if selector.as_object().is_none_or(Map::is_empty) {
        let rule = "must select pools by their labels: without one it would have no effect";
        let hint = "for example matchLabels: {pools.operator.machineconfiguration.openshift.io/worker: \"\"}";
        problems.push(Problem::new("spec.machineConfigPoolSelector", kind_of(selector), rule).hint(hint));
    }
    selector.clone()
}

fn kubelet(spec: &Value, problems: &mut Vec<Problem>) -> Vec<DropIn> {
    let known = [
        "machineConfigPoolSelector",
        "kubeletConfig",
        "logLevel",
        "tlsSecurityProfile",
        "autoSizingReserved",
    ];
    unknown(spec, "spec", &known, problems);
    let mut fields = mapping(spec, "kubeletConfig", problems);
    for (given, wanted) in [("apiVersion", "kubelet.config.k8s.io/v1beta1"), ("kind", "KubeletConfiguration")]
    {
        if let Some(value) = fields.remove(given).filter(|value| value != wanted) {
            let path = format!("spec.kubeletConfig.{given}");
            problems.push(Problem::new(path, shown(&value), format!("must be {wanted}")));
        }
    }
    for (name, value) in &fields {
        problems.extend(field(name, value));
    }
    if spec["autoSizingReserved"] == true {
        let rule = "is not supported: the release does not choose reserves by a machine's size";
        let problem = Problem::new("spec.autoSizingReserved", "`true`", rule);
        problems.push(problem.hint("give systemReserved and kubeReserved in spec.kubeletConfig"));
    }
    match &spec["logLevel"] {
        Value::Null => {}
        level if level.as_u64().is_some_and(|level| level <= MOST_VERBOSE) => {
            let logging = json!({"verbosity": level});
            only_once(&mut fields, "logging", logging, "spec.logLevel", problems);
        }
        other => problems.push(Problem::new("spec.logLevel", shown(other), "must be a number from 0 to 10")),
    }
    tls(&spec["tlsSecurityProfile"], &mut fields, problems);
    vec![DropIn::kubelet(KUBELET_DROP_IN, fields)]
}

/// One field of the kubelet's own configuration.
fn field(name: &str, value: &Value) -> Option<Problem> {
    let path = format!("spec.kubeletConfig.{name}");
    if kubelet_fields::OURS.contains(&name) {
        let rule = "must be left to the release: a node's identity, its health or its place in the cluster hang on it";
        return Some(Problem::new(path, shown(value), rule).hint("remove it"));
    }
    let Some(kind) = kubelet_fields::kind(name) else {
        let rule = "must be a field of the kubelet's configuration (kubelet.config.k8s.io/v1beta1)";
        return Some(
            Problem::new(path, "an unknown field", rule).hint("mind capital letters: maxPods, not maxpods"),
        );
    };
    let all = |good: fn(&Value) -> bool| value.as_object().is_some_and(|map| map.values().all(good));
    let (good, rule) = match kind {
        Kind::Truth => (value.is_boolean(), "must be true or false"),
        Kind::Integer => (value.is_i64() || value.is_u64(), "must be a whole number, without quotes"),
        Kind::Number => (value.is_number(), "must be a number, without quotes"),
        Kind::Text => (value.is_string(), "must be text"),
        Kind::Duration => {
            (value.as_str().is_some_and(is_duration), "must be a duration, for example 90s or 1h30m")
        }
        Kind::Texts => (
            value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            "must be a list of strings",
        ),
        Kind::Words => {
            (all(Value::is_string), "must be a mapping of names to strings: write the values in quotes")
        }
        Kind::Truths => (all(Value::is_boolean), "must be a mapping of names to true or false"),
        Kind::List => (value.is_array(), "must be a list"),
        Kind::Mapping => (value.is_object(), "must be a mapping"),
    };
    (!good).then(|| Problem::new(path, shown(value), rule))
}

/// Go's `time.ParseDuration`, without signs: numbers with units, without spaces.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        if number.len() == rest.len() {
            return false;
        }
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        // The longest unit that fits: `ms` before `m`.
        let Some(unit) = units.iter().filter(|unit| number.starts_with(**unit)).max_by_key(|unit| unit.len())
        else {
            return text == "0";
        };
        rest = &number[unit.len()..];
    }
    !text.is_empty()
}

/// OpenShift's profiles by name (Mozilla's, version 5).
fn tls(profile: &Value, fields: &mut Map<String, Value>, problems: &mut Vec<Problem>) {
    let least = match profile["type"].as_str() {
        None if profile.is_null() => return,
        Some("Intermediate") => "VersionTLS12",
        Some("Modern") => "VersionTLS13",
        _ => {
            let problem = Problem::new(
                "spec.tlsSecurityProfile.type",
                shown(&profile["type"]),
                "must be Intermediate or Modern",
            );
            problems.push(problem.hint("others: tlsMinVersion and tlsCipherSuites in spec.kubeletConfig"));
            return;
        }
    };
    only_once(fields, "tlsMinVersion", least.into(), "spec.tlsSecurityProfile", problems);
}

/// Sets a field of the kubelet's that `path` asks for, unless it is given itself.
fn only_once(
    fields: &mut Map<String, Value>,
    name: &str,
    value: Value,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    if fields.insert(name.into(), value).is_some() {
        let rule = format!("must not stand together with spec.kubeletConfig.{name}");
        problems.push(Problem::new(path, "the same setting twice", rule).hint("remove one of them"));
    }
}

fn runtime(spec: &Value, problems: &mut Vec<Problem>) -> Vec<DropIn> {
    unknown(spec, "spec", &["machineConfigPoolSelector", "containerRuntimeConfig"], problems);
    let given = mapping(spec, "containerRuntimeConfig", problems);
    let (mut kubelet, mut files) = (Map::new(), Vec::new());
    for (name, value) in &given {
        let path = format!("spec.containerRuntimeConfig.{name}");
        let wrong = |rule: &str| Problem::new(path.clone(), shown(value), rule);
        match name.as_str() {
            "pidsLimit" if value.as_i64().is_some_and(|count| count >= -1) => {
                kubelet.insert("podPidsLimit".into(), value.clone());
            }
            "pidsLimit" => problems.push(wrong("must be a whole number, -1 for no limit")),
            "logSizeMax" if value.as_str().is_some_and(is_quantity) => {
                kubelet.insert("containerLogMaxSize".into(), value.clone());
            }
            "logSizeMax" => problems.push(wrong("must be a size in quotes, for example \"50Mi\"")),
            "logLevel" => match value.as_str().filter(|level| LOG_LEVELS.contains(level)) {
                Some(level) => files.push(DropIn(
                    CONTAINERD_DROP_IN,
                    ".toml",
                    format!("version = {CONTAINERD_VERSION}\n\n[debug]\nlevel = \"{level}\"\n"),
                )),
                None => problems.push(wrong("must be trace, debug, info, warn, error, fatal or panic")),
            },
            "defaultRuntime" if ["", "runc"].contains(&value.as_str().unwrap_or("?")) => {}
            "defaultRuntime" => {
                problems.push(wrong("must be runc: the release has no other").hint("remove it"))
            }
            "overlaySize" => {
                let problem = wrong("is not supported: the file system of /var has no quotas for containers");
                problems.push(problem.hint("limit pods by their resources' ephemeral-storage"));
            }
            _ => problems.push(Problem::new(path, "an unknown field", "must be a known field")),
        }
    }
    if !kubelet.is_empty() {
        files.push(DropIn::kubelet(RUNTIME_DROP_IN, kubelet));
    }
    files
}

/// Kubernetes' quantities, as the kubelet takes them for a log's size.
fn is_quantity(text: &str) -> bool {
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    unit.len() < text.len() && ["", "k", "M", "G", "Ki", "Mi", "Gi"].contains(&unit)
}

fn mapping(spec: &Value, name: &str, problems: &mut Vec<Problem>) -> Map<String, Value> {
    match &spec[name] {
        Value::Null => Map::new(),
        Value::Object(map) => map.clone(),
        other => {
            problems.push(Problem::new(format!("spec.{name}"), kind_of(other), "must be a mapping"));
            Map::new()
        }
    }
}
