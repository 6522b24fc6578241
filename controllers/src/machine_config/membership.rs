//! Which pool a node is of, and which machine configs are a pool's. Pure.

use std::collections::BTreeMap;

use ashlar_model::bootstrap_api::Role;
use ashlar_model::machine_config::{MachineConfig, POOLS, ROLE_LABEL};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use serde_json::Value;

use super::objects::{self, MachineConfigPool};
use super::rollout::Pace;

type Labels = BTreeMap<String, String>;

/// A pool as rendering and rollout need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    pub name: String,
    /// The role of its hosts: whose base config it has.
    pub role: Role,
    /// Its own: what KubeletConfigs and ContainerRuntimeConfigs select it by.
    labels: Labels,
    paused: bool,
    max_unavailable: Option<Value>,
    /// Of a pool of the user's: which nodes it takes, and which configs it has besides the workers'.
    custom: Option<(Selector, Selector)>,
}

impl Pool {
    /// `master` or `worker`, as they are made.
    #[must_use]
    pub fn of_role(role: Role) -> Self {
        let labels = objects::pool_labels(role.as_str());
        Self { name: role.as_str().into(), role, labels, paused: false, max_unavailable: None, custom: None }
    }

    /// The selectors of `master` and `worker` are what they were made with: the role decides.
    ///
    /// # Errors
    /// A selector that cannot be understood, by its field.
    pub fn of(object: &MachineConfigPool) -> Result<Self, String> {
        let name = object.name_any();
        let own = POOLS.iter().copied().find(|role| role.as_str() == name);
        let custom = match own {
            Some(_) => None,
            None => Some((
                selector(&object.spec.node_selector).map_err(|why| format!("spec.nodeSelector: {why}"))?,
                selector(&object.spec.machine_config_selector)
                    .map_err(|why| format!("spec.machineConfigSelector: {why}"))?,
            )),
        };
        Ok(Self {
            name,
            role: own.unwrap_or(Role::Worker),
            labels: object.labels().clone(),
            paused: object.spec.paused == Some(true),
            max_unavailable: object.spec.max_unavailable.clone(),
            custom,
        })
    }

    /// Those of the objects that can be understood, and `master` and `worker` in any case.
    #[must_use]
    pub fn all(objects: &[MachineConfigPool]) -> Vec<Self> {
        let mut pools: Vec<Self> = objects.iter().filter_map(|object| Self::of(object).ok()).collect();
        for role in POOLS {
            if !pools.iter().any(|pool| pool.name == role.as_str()) {
                pools.push(Self::of_role(*role));
            }
        }
        pools.sort_by(|left, right| left.name.cmp(&right.name));
        pools
    }

    #[must_use]
    pub fn has(&self, config: &MachineConfig) -> bool {
        match &config.settings {
            Some(settings) => self.is_selected(&settings.pools),
            None => self.selects(&config.all_labels()),
        }
    }

    /// Whether a selector of pools (of a KubeletConfig or ContainerRuntimeConfig) takes this one; one that cannot be
    /// understood takes none.
    #[must_use]
    pub fn is_selected(&self, pools: &Value) -> bool {
        selector_of_pools(pools).is_ok_and(|selector| matches(&selector, &self.labels))
    }

    /// Whether a machine config with these labels is the pool's.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        let of_role = labels.get(ROLE_LABEL).is_some_and(|role| role == self.role.as_str());
        of_role || self.custom.as_ref().is_some_and(|(_, configs)| matches(configs, labels))
    }

    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    #[must_use]
    pub fn pace(&self, nodes: usize) -> Pace {
        let master = self.role == Role::Master;
        Pace {
            paused: self.paused,
            max_unavailable: if master { 1 } else { at_once(self.max_unavailable.as_ref(), nodes) },
            all_others_well: master,
        }
    }
}

/// The pools that take a node: exactly one, or the node stays as it is.
///
/// # Errors
/// The names of the pools that take it at the same time.
pub fn pool_of<'a>(role: Role, labels: &Labels, pools: &'a [Pool]) -> Result<&'a str, Vec<String>> {
    let takes = |pool: &&Pool| pool.custom.as_ref().is_some_and(|(nodes, _)| matches(nodes, labels));
    let custom: Vec<&Pool> = match role {
        // Masters are always masters: they go one at a time, with the control plane's health.
        Role::Worker => pools.iter().filter(takes).collect(),
        Role::Master | Role::Bootstrap => Vec::new(),
    };
    match custom.as_slice() {
        [] => Ok(role.as_str()),
        [one] => Ok(&one.name),
        several => Err(several.iter().map(|pool| pool.name.clone()).collect()),
    }
}

/// Why a node of two pools is not changed.
#[must_use]
pub fn conflict(node: &str, pools: &[String]) -> String {
    format!(
        "{node} is in the pools {}: it stays as it is until its labels or the nodeSelectors leave one of them",
        pools.join(" and ")
    )
}

/// Why a config does nothing.
#[must_use]
pub fn no_pool(config: &MachineConfig) -> String {
    if config.settings.is_some() {
        return format!("{}: spec.machineConfigPoolSelector selects no pool; it has no effect", config.name);
    }
    format!("{}: no pool has configs of the role {}; it has no effect", config.name, config.role)
}

/// One that says nothing would take everything: it takes nothing.
fn matches(selector: &Selector, labels: &Labels) -> bool {
    !selector.selects_all() && selector.matches(labels)
}

/// # Errors
/// It cannot be understood.
pub(super) fn selector_of_pools(pools: &Value) -> Result<Selector, String> {
    let read: objects::Selector = serde_json::from_value(pools.clone()).map_err(|error| error.to_string())?;
    selector(&read)
}

fn selector(selector: &objects::Selector) -> Result<Selector, String> {
    Selector::try_from(selector.clone().into_api()).map_err(|error| error.to_string())
}

/// `2`, `"2"` or `"20%"`.
pub fn at_once(value: Option<&Value>, nodes: usize) -> usize {
    let text = match value {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => return 1,
    };
    let number = match text.strip_suffix('%') {
        Some(share) => share.parse::<usize>().ok().map(|share| nodes * share.min(100) / 100),
        None => text.parse().ok(),
    };
    number.unwrap_or(1).max(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A pool with the selectors that OpenShift's handbook gives one.
    pub(crate) fn custom(name: &str) -> MachineConfigPool {
        serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfigPool",
            "metadata": {"name": name},
            "spec": {
                "machineConfigSelector": {"matchExpressions": [{
                    "key": ROLE_LABEL, "operator": "In", "values": ["worker", name]}]},
                "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
            },
        }))
        .expect("a pool")
    }

    fn labels(roles: &[&str]) -> Labels {
        roles.iter().map(|role| (format!("node-role.kubernetes.io/{role}"), String::new())).collect()
    }

    #[test]
    fn a_worker_with_the_label_is_of_the_custom_pool_and_of_two_it_is_of_none() {
        let pools = Pool::all(&[custom("infra"), custom("storage")]);
        assert_eq!(pool_of(Role::Worker, &labels(&["worker"]), &pools), Ok("worker"));
        assert_eq!(pool_of(Role::Worker, &labels(&["worker", "infra"]), &pools), Ok("infra"));
        let both = pool_of(Role::Worker, &labels(&["infra", "storage"]), &pools);
        assert_eq!(both, Err(vec!["infra".to_owned(), "storage".to_owned()]));
        assert_eq!(pool_of(Role::Master, &labels(&["infra"]), &pools), Ok("master"));
    }

    #[test]
    fn an_empty_selector_takes_nothing() {
        let mut empty = custom("infra");
        empty.spec.node_selector = objects::Selector::default();
        empty.spec.machine_config_selector = objects::Selector::default();
        let pools = Pool::all(&[empty]);
        assert_eq!(pool_of(Role::Worker, &labels(&["worker"]), &pools), Ok("worker"));
        let role = |role: &str| Labels::from([(ROLE_LABEL.to_owned(), role.to_owned())]);
        assert!(!pools[0].selects(&role("infra")));
        assert!(pools[0].selects(&role("worker")), "the workers' configs are a custom pool's as well");
    }

    #[test]
    fn how_many_at_once_is_a_number_or_a_share() {
        for (value, nodes, wanted) in [
            (json!(2), 9, 2),
            (json!("2"), 9, 2),
            (json!("50%"), 9, 4),
            (json!("1%"), 9, 1),
            (json!(0), 9, 1),
            (json!("nonsense"), 9, 1),
        ] {
            assert_eq!(at_once(Some(&value), nodes), wanted, "{value}");
        }
        assert_eq!(at_once(None, 9), 1);
    }
}
