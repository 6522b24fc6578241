//! What machine configs would do to a cluster, before they are applied: rendered, compared and ordered by the functions
//! that the controller and the node's daemon use. Pure but for `view`, which asks the API.

mod of_pool;
mod order;
mod pods;
mod text;
mod view;

use std::collections::BTreeMap;

use ashlar_ignition::Config;
use ashlar_model::bootstrap_api::{Cluster, Role};
use ashlar_model::config::Problem;
use ashlar_model::machine_config::{API_VERSION, MachineConfig, from_object, name_of};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use super::objects::MachineConfigPool;
use super::{Invalid, Pool, PoolNode, Rendered, pool_of, render};

pub use of_pool::{Action, Facts, Leaving, NodePlan, PoolPlan, difference, of_pool};
pub use text::lines;

/// A cluster as its API shows it.
pub struct View {
    pub cluster: Cluster,
    /// Of the hosts that this installation knows.
    pub roles: BTreeMap<String, Role>,
    pub nodes: Vec<Node>,
    pub pools: Vec<MachineConfigPool>,
    /// Machine configs and what becomes one, by what they are called.
    pub configs: BTreeMap<String, Value>,
    pub pods: Vec<Pod>,
    pub budgets: Vec<PodDisruptionBudget>,
}

/// What somebody thinks of doing.
#[derive(Default)]
pub struct Wanted {
    /// Machine configs and pools.
    pub apply: Vec<Value>,
    /// Names of machine configs; `KIND/NAME` of what becomes one.
    pub delete: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Pools with nodes that do not have what they would have, or with another config.
    pub pools: Vec<PoolPlan>,
    /// What has no effect, and what stands apart from the change.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Nothing differs, and no node is behind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// A node that runs cannot have it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let refused = |node: &NodePlan| matches!(node.action, Action::Refused { .. });
        self.pools.iter().flat_map(|pool| &pool.nodes).any(refused)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    #[error("{} problems:{}", .0.len(), .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Invalid(Vec<Invalid>),
    #[error("there is no machine config {0}")]
    NotThere(String),
    #[error("pool {pool} has {theirs}, and this program makes {ours} of the same machine configs")]
    OtherRelease { pool: String, ours: String, theirs: String },
}

/// # Errors
/// The machine configs are refused, or this program is of another release than the cluster.
pub fn plan(view: &View, wanted: &Wanted) -> Result<Plan, NoPlan> {
    let (old, _) = configs(&view.configs);
    let old_pools = Pool::all(&view.pools);
    let before = rendered(&view.cluster, &old_pools, &old);
    same_release(&view.pools, &before)?;
    let (objects, pools) = applied(view, wanted)?;
    let (new, invalid) = configs(&objects);
    if !invalid.is_empty() {
        return Err(NoPlan::Invalid(invalid));
    }
    let pools = Pool::all(&pools);
    let mut remarks = without_effect(&new, &pools, wanted);
    let (members, conflicts) = members(view, &pools);
    remarks.extend(conflicts);
    let known = |name: &str| -> Option<Config> {
        before.values().flatten().find(|rendered| rendered.name == name).map(|one| one.config.clone())
    };
    let pods = pods::Pods::of(&view.pods, &view.budgets);
    let (mut plans, mut invalid) = (Vec::new(), Vec::new());
    for pool in &pools {
        let to = match render(&view.cluster, pool, &new) {
            Ok(to) => to,
            Err(problems) => {
                invalid.extend(
                    problems.into_iter().filter(|problem| !invalid.contains(problem)).collect::<Vec<_>>(),
                );
                continue;
            }
        };
        let nodes = members.get(pool.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let from = before.get(&pool.name).and_then(Option::as_ref);
        let facts = Facts { pool, nodes, known: &known, leaving: &|node| pods.leaving(node) };
        let mut plan = of_pool(&facts, from, &to);
        if pool.role == Role::Master && !plan.nodes.is_empty() {
            plan.blockers.extend(pods::control_plane_is_unwell(&view.pods));
        }
        if !plan.nodes.is_empty() || from.is_none_or(|from| from.name != to.name) {
            plans.push(plan);
        }
    }
    if invalid.is_empty() { Ok(Plan { pools: plans, remarks }) } else { Err(NoPlan::Invalid(invalid)) }
}

/// Machine configs, and what is wrong with those that are none.
fn configs(objects: &BTreeMap<String, Value>) -> (Vec<MachineConfig>, Vec<Invalid>) {
    let (mut configs, mut invalid) = (Vec::new(), Vec::new());
    for (name, object) in objects {
        match from_object(object.clone()) {
            Ok(config) => configs.push(config),
            Err(problems) => {
                invalid.extend(problems.into_iter().map(|problem| Invalid { object: name.clone(), problem }))
            }
        }
    }
    (configs, invalid)
}

/// None: the machine configs of the pool are invalid.
fn rendered(
    cluster: &Cluster,
    pools: &[Pool],
    configs: &[MachineConfig],
) -> BTreeMap<String, Option<Rendered>> {
    pools.iter().map(|pool| (pool.name.clone(), render(cluster, pool, configs).ok())).collect()
}

/// What this program makes of the cluster's machine configs must be what the cluster's controllers made of them: their
/// names say it. Otherwise the preview would be of another change.
fn same_release(
    objects: &[MachineConfigPool],
    rendered: &BTreeMap<String, Option<Rendered>>,
) -> Result<(), NoPlan> {
    for object in objects {
        let status = object.status.as_ref().and_then(|status| status.configuration.as_ref());
        let ours = rendered.get(&object.name_any()).and_then(Option::as_ref);
        if let (Some(theirs), Some(ours)) = (status, ours)
            && theirs.name != ours.name
        {
            return Err(NoPlan::OtherRelease {
                pool: object.name_any(),
                ours: ours.name.clone(),
                theirs: theirs.name.clone(),
            });
        }
    }
    Ok(())
}

/// The objects as they would be.
fn applied(
    view: &View,
    wanted: &Wanted,
) -> Result<(BTreeMap<String, Value>, Vec<MachineConfigPool>), NoPlan> {
    let (mut configs, mut pools) = (view.configs.clone(), view.pools.clone());
    for name in &wanted.delete {
        configs.remove(name).ok_or_else(|| NoPlan::NotThere(name.clone()))?;
    }
    let mut invalid = Vec::new();
    for object in &wanted.apply {
        let name = name_of(object);
        if object["kind"] == "MachineConfigPool" && object["apiVersion"] == API_VERSION {
            match read_pool(object) {
                Ok(pool) => {
                    pools.retain(|old| old.name_any() != name);
                    pools.push(pool);
                }
                Err(problem) => invalid.push(Invalid { object: name, problem }),
            }
        } else {
            // What is no machine config is told as such when it is read.
            configs.insert(name, object.clone());
        }
    }
    if invalid.is_empty() { Ok((configs, pools)) } else { Err(NoPlan::Invalid(invalid)) }
}

fn read_pool(object: &Value) -> Result<MachineConfigPool, Problem> {
    let pool: MachineConfigPool = serde_path_to_error::deserialize(object).map_err(|error| {
        Problem::new(error.path().to_string(), error.inner(), "must have the form of a pool")
    })?;
    match Pool::of(&pool) {
        Ok(_) => Ok(pool),
        Err(why) => Err(Problem::new("spec", why, "must select nodes and machine configs")),
    }
}

/// Nodes by pool, and those that two pools take.
fn members(view: &View, pools: &[Pool]) -> (BTreeMap<String, Vec<PoolNode>>, Vec<String>) {
    let (mut members, mut conflicts): (BTreeMap<String, Vec<PoolNode>>, _) = (BTreeMap::new(), Vec::new());
    for node in &view.nodes {
        let name = node.name_any();
        let Some(role) = view.roles.get(&name) else { continue };
        match pool_of(*role, node.labels(), pools) {
            Ok(pool) => members.entry(pool.to_owned()).or_default().push(PoolNode::of(node)),
            Err(several) => conflicts.push(super::membership::conflict(&name, &several)),
        }
    }
    (members, conflicts)
}

fn without_effect(configs: &[MachineConfig], pools: &[Pool], wanted: &Wanted) -> Vec<String> {
    let names: Vec<String> = wanted.apply.iter().map(name_of).collect();
    let idle =
        |config: &&MachineConfig| names.contains(&config.name) && !pools.iter().any(|pool| pool.has(config));
    configs.iter().filter(idle).map(super::membership::no_pool).collect()
}

#[cfg(test)]
mod tests;
