//! The base config of a pool and its machine configs, merged by Ignition's rules in the order of their names. Pure.

use std::collections::BTreeMap;
use std::fmt;

use ashlar_ignition::{Config, canonical, digest, merge, parse_value, validate};
use ashlar_model::bootstrap_api::Cluster;
use ashlar_model::config::Problem;
use ashlar_model::machine_config::{Applied, MachineConfig, base_name, rendered_name};
use ashlar_model::node::base_ignition;
use serde_json::{Value, json};

use super::{Judged, Pool, judge};

/// Files that OpenShift's nodes have elsewhere: when a machine config writes the first, the second is a link to it.
const ELSEWHERE: &[(&str, &str)] = &[("/etc/chrony.conf", "/etc/chrony/chrony.conf")];

/// What the hosts of a pool have in common.
#[derive(Clone)]
pub struct Rendered {
    /// `rendered-POOL-SHA256`.
    pub name: String,
    pub sha256: String,
    pub config: Config,
    /// Names of what was merged, in this order, the base first.
    pub parts: Vec<String>,
    /// What the operator should know, one sentence each.
    pub remarks: Vec<String>,
}

impl Rendered {
    #[must_use]
    pub fn applied(&self) -> Applied {
        let config = serde_json::from_str(&canonical(&self.config)).unwrap_or_default();
        Applied { name: self.name.clone(), config }
    }
}

/// A problem and the object that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    pub object: String,
    pub problem: Problem,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.problem)
    }
}

/// The config of a pool, from those of all pools in any order.
///
/// # Errors
/// Every problem of every machine config of the pool, or of what they are together.
pub fn render(cluster: &Cluster, pool: &Pool, all: &[MachineConfig]) -> Result<Rendered, Vec<Invalid>> {
    let mut own: Vec<&MachineConfig> = all.iter().filter(|object| pool.has(object)).collect();
    own.sort_by(|left, right| left.name.cmp(&right.name));
    let (mut judged, mut invalid) = (Vec::new(), Vec::new());
    for object in own {
        match judge(object) {
            Ok(one) => judged.push(one),
            Err(problems) => {
                invalid.extend(problems.into_iter().map(|problem| of(&object.name, problem)));
            }
        }
    }
    let base =
        own_config(&base_ignition(cluster)).map_err(|problem| vec![of(&base_name(pool.role), problem)])?;
    if invalid.is_empty() { together(pool, base, &judged) } else { Err(invalid) }
}

fn together(pool: &Pool, base: Config, judged: &[Judged]) -> Result<Rendered, Vec<Invalid>> {
    let mut owners = Owners::default();
    owners.take(&base_name(pool.role), &base);
    let mut parts = vec![base_name(pool.role)];
    let mut config = base;
    for one in judged {
        owners.take(&one.name, &one.config);
        owners.remarks.extend(one.remarks.iter().map(|remark| format!("{}: {remark}", one.name)));
        config = merge(&config, &one.config);
        parts.push(one.name.clone());
    }
    let config = link_elsewhere(config, &mut owners.remarks);
    let sha256 = digest(&config);
    let name = rendered_name(&pool.name, &sha256);
    let problems = validate(&config);
    if problems.is_empty() {
        return Ok(Rendered { name, sha256, config, parts, remarks: owners.remarks });
    }
    // Each is valid alone: the names say what does not go together.
    let object = parts.join(" + ");
    Err(problems.into_iter().map(|problem| of(&object, problem)).collect())
}

/// Which config wrote a path or a unit last: nothing is replaced without a word.
#[derive(Default)]
struct Owners {
    of: BTreeMap<String, String>,
    remarks: Vec<String>,
}

impl Owners {
    fn take(&mut self, name: &str, config: &Config) {
        for thing in things(config) {
            if let Some(before) = self.of.insert(thing.clone(), name.to_owned()) {
                self.remarks.push(format!("{name} changes {thing} of {before}"));
            }
        }
    }
}

fn things(config: &Config) -> Vec<String> {
    let storage = config.storage.clone().unwrap_or_default();
    let files = storage.files.into_iter().flatten().map(|file| file.path);
    let links = storage.links.into_iter().flatten().map(|link| link.path);
    let units = config.systemd.iter().flat_map(|systemd| systemd.units.iter().flatten());
    let units = units.filter(|unit| unit.contents.is_some() || unit.enabled.is_some() || unit.mask.is_some());
    let users = config.passwd.iter().flat_map(|passwd| passwd.users.iter().flatten());
    let named = units.map(|unit| unit.name.clone()).chain(users.map(|user| format!("user {}", user.name)));
    files.chain(links).chain(named).collect()
}

fn link_elsewhere(config: Config, remarks: &mut Vec<String>) -> Config {
    let mut config = config;
    for (written, read) in ELSEWHERE {
        let there = |path: &str| things(&config).iter().any(|thing| thing == path);
        if !there(written) || there(read) {
            continue;
        }
        let link = json!({
            "ignition": {"version": "3.5.0"},
            "storage": {"links": [{"path": read, "target": written, "overwrite": true}]},
        });
        if let Ok(link) = own_config(&link) {
            remarks.push(format!("{written} takes the place of {read}, which is a link to it"));
            config = merge(&config, &link);
        }
    }
    config
}

/// The rendered config with what one host has for itself laid over it, as the host gets it. The host's part wins; a
/// machine config cannot name what is in it.
///
/// # Errors
/// The host's part is no Ignition config.
pub fn for_host(rendered: &Rendered, host: &Value) -> Result<String, Problem> {
    Ok(canonical(&merge(&rendered.config, &own_config(host)?)))
}

fn own_config(value: &Value) -> Result<Config, Problem> {
    let parsed = parse_value(value.clone());
    parsed.map(|parsed| parsed.config).map_err(|error| Problem::new("$", error, "must be an Ignition config"))
}

fn of(object: &str, problem: Problem) -> Invalid {
    Invalid { object: object.to_owned(), problem }
}
