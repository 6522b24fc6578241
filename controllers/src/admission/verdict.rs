//! What is wrong with an object that somebody applies, and what he should know. Pure.

use std::collections::BTreeMap;

use ashlar_ignition::running::Kept;
use ashlar_model::config::Problem;
use ashlar_model::machine_config::{KIND, KUBELET, MachineConfig, POOLS, RUNTIME, from_object};
use serde_json::Value;

use crate::machine_config::objects::MachineConfigPool;
use crate::machine_config::plan::difference;
use crate::machine_config::{Pool, Rendered, in_object, judge, live, membership, render};

/// Kubernetes may cut longer ones.
const LONGEST_WARNING: usize = 256;
const POOL_KIND: &str = "MachineConfigPool";

pub struct Review<'a> {
    pub kind: &'a str,
    pub name: &'a str,
    /// None: it is deleted.
    pub object: Option<Value>,
    /// None: it is new.
    pub old: Option<Value>,
}

/// Allowed unless there is a problem.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// Machine configs, pools, and the pools of hosts.
type Known = (live::Read, Vec<Pool>, BTreeMap<String, String>);

/// `known`: None before the cluster's objects were read.
pub fn verdict(review: &Review<'_>, known: Option<&Known>) -> Verdict {
    let mut verdict = match (review.kind, &review.object) {
        // Who takes a finalizer away from a bad object must be able to.
        (_, Some(object)) if review.old.as_ref().is_some_and(|old| says_the_same(old, object)) => {
            Verdict::default()
        }
        (KIND | KUBELET | RUNTIME, Some(object)) => machine_config(object, known),
        (POOL_KIND, Some(object)) => pool(object, review.old.as_ref()),
        (POOL_KIND, None) => end_of_pool(review.name, known),
        _ => Verdict::default(),
    };
    for warning in &mut verdict.warnings {
        if let Some((end, _)) = warning.char_indices().nth(LONGEST_WARNING - 1) {
            warning.truncate(end);
            warning.push('…');
        }
    }
    verdict
}

fn says_the_same(old: &Value, new: &Value) -> bool {
    old["spec"] == new["spec"] && old["metadata"]["labels"] == new["metadata"]["labels"]
}

fn machine_config(object: &Value, known: Option<&Known>) -> Verdict {
    let config = match from_object(object.clone()) {
        Ok(config) => config,
        Err(problems) => return Verdict { problems, ..Verdict::default() },
    };
    let judged = match judge(&config) {
        Ok(judged) => judged,
        Err(problems) => return Verdict { problems, ..Verdict::default() },
    };
    let mut verdict = Verdict { problems: Vec::new(), warnings: judged.remarks };
    let Some((read, pools, members)) = known else { return verdict };
    let own: Vec<&Pool> = pools.iter().filter(|pool| pool.has(&config)).collect();
    if own.is_empty() {
        verdict.warnings.push(membership::no_pool(&config));
    }
    for pool in own {
        let others = read.configs.iter().filter(|other| other.name != config.name);
        let all: Vec<MachineConfig> = others.cloned().chain([config.clone()]).collect();
        let before = render(&read.cluster, pool, &read.configs);
        match (before, render(&read.cluster, pool, &all)) {
            (Ok(before), Ok(after)) => in_pool(pool, &before, &after, members, &mut verdict),
            (Ok(_), Err(invalid)) => {
                verdict.problems.extend(invalid.into_iter().map(|one| one.problem));
            }
            // Others are bad already; this one may even be what corrects them.
            (Err(_), _) => {}
        }
    }
    verdict.problems.dedup();
    verdict
}

/// What it is among the others of its pool.
fn in_pool(
    pool: &Pool,
    before: &Rendered,
    after: &Rendered,
    members: &BTreeMap<String, String>,
    verdict: &mut Verdict,
) {
    if let (Ok(_), Err(problems)) = (Kept::of(&before.config), Kept::of(&after.config)) {
        verdict.problems.extend(problems.iter().map(in_object));
        return;
    }
    let has_nodes = members.values().any(|of| *of == pool.name);
    if let Err(problems) = difference(&before.config, &after.config)
        && has_nodes
    {
        let fields: Vec<String> = problems.iter().map(|problem| in_object(problem).path).collect();
        verdict.warnings.push(format!(
            "pool {}: only an install changes {}: the pool stops at its first node; hosts that are installed later get it",
            pool.name,
            fields.join(", ")
        ));
    }
    verdict.warnings.extend(after.remarks.iter().filter(|remark| !before.remarks.contains(remark)).cloned());
}

fn pool(object: &Value, old: Option<&Value>) -> Verdict {
    let read: Result<MachineConfigPool, _> = serde_path_to_error::deserialize(object);
    let read = match read {
        Ok(read) => read,
        Err(error) => {
            let problem =
                Problem::new(error.path().to_string(), error.inner(), "must have the form of a pool");
            return Verdict { problems: vec![problem], ..Verdict::default() };
        }
    };
    let mut verdict = Verdict::default();
    if let Err(why) = Pool::of(&read) {
        verdict.problems.push(Problem::new("spec", why, "must have selectors that can be understood"));
    }
    if let Some(value) = read.spec.max_unavailable.as_ref().filter(|value| !is_number_or_share(value)) {
        let rule = "must be a number, or a share from 0% to 100%";
        verdict.problems.push(Problem::new("spec.maxUnavailable", value, rule).hint("for example 2 or 20%"));
    }
    let name = read.metadata.name.unwrap_or_default();
    if is_own(&name) {
        for selector in ["machineConfigSelector", "nodeSelector"] {
            if old.is_some_and(|old| old["spec"][selector] != object["spec"][selector]) {
                let rule =
                    format!("must stay as it was made: the role of a host decides that it is of {name}");
                let problem = Problem::new(format!("spec.{selector}"), "another selector", rule);
                verdict.problems.push(problem.hint("make a pool of your own for some of the nodes"));
            }
        }
    } else if read.spec.node_selector == Default::default() {
        verdict.warnings.push(format!("pool {name}: spec.nodeSelector says nothing, so it takes no node"));
    }
    verdict
}

fn is_own(name: &str) -> bool {
    POOLS.iter().any(|role| role.as_str() == name)
}

fn is_number_or_share(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_u64(),
        Value::String(text) => match text.strip_suffix('%') {
            Some(share) => share.parse::<u32>().is_ok_and(|share| share <= 100),
            None => text.parse::<u32>().is_ok(),
        },
        _ => false,
    }
}

fn end_of_pool(name: &str, known: Option<&Known>) -> Verdict {
    let members = known.iter().flat_map(|(_, _, members)| members);
    let nodes: Vec<&str> = members.filter(|(_, of)| *of == name).map(|(host, _)| host.as_str()).collect();
    let problem = if is_own(name) {
        Problem::new("metadata.name", name, "must stay: every host of this role is in it")
    } else if nodes.is_empty() {
        return Verdict::default();
    } else {
        Problem::new("metadata.name", name, format!("must stay while nodes are in it: {}", nodes.join(", ")))
            .hint("take the labels that the pool selects away from them first")
    };
    Verdict { problems: vec![problem], ..Verdict::default() }
}
