//! The rendered configs of all pools as they are now, for who serves them: from the bundle on the bootstrap, from the
//! cluster's objects on the masters.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use ashlar_model::bootstrap_api::{Cluster, Role};
use ashlar_model::machine_config::{self, MachineConfig, POOLS, ROLE_LABEL};
use futures::StreamExt;
use kube::api::Api;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, ResourceExt};

use super::objects;
use super::{Invalid, Rendered, render};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRendered {
    /// A host that got a config now would miss the user's part of it.
    #[error("the machine configs are not read from the API yet")]
    NotRead,
    #[error("{} has no pool", .0.as_str())]
    NoPool(Role),
    #[error("the machine configs of the pool do not make a config: {}", list(.0))]
    Invalid(Vec<Invalid>),
}

type Results = BTreeMap<Role, Result<Arc<Rendered>, NotRendered>>;

/// Shared by the server, which asks, and who follows the objects, who replaces.
#[derive(Clone, Default)]
pub struct Pools(Arc<RwLock<Option<Results>>>);

impl Pools {
    /// Of machine configs that do not change.
    pub fn of(cluster: &Cluster, configs: &[MachineConfig]) -> Self {
        let pools = Self::default();
        pools.replace(cluster, configs, &[]);
        pools
    }

    /// # Errors
    /// Nothing is known yet, or a machine config of the pool is invalid.
    pub fn rendered(&self, role: Role) -> Result<Arc<Rendered>, NotRendered> {
        let results = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let results = results.as_ref().ok_or(NotRendered::NotRead)?;
        results.get(&role).cloned().unwrap_or(Err(NotRendered::NoPool(role)))
    }

    /// `unreadable`: objects of a pool that are no machine configs.
    fn replace(&self, cluster: &Cluster, configs: &[MachineConfig], unreadable: &[(Role, Invalid)]) {
        let of = |role: Role| {
            let mut bad: Vec<Invalid> =
                unreadable.iter().filter(|(of, _)| *of == role).map(|(_, invalid)| invalid.clone()).collect();
            match render(cluster, role, configs) {
                Ok(rendered) if bad.is_empty() => Ok(Arc::new(rendered)),
                Ok(_) => Err(NotRendered::Invalid(bad)),
                Err(invalid) => {
                    bad.extend(invalid);
                    Err(NotRendered::Invalid(bad))
                }
            }
        };
        let results = POOLS.iter().map(|role| (*role, of(*role))).collect();
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(results);
    }

    fn take(&self, cluster: &Cluster, objects: &[Arc<objects::MachineConfig>]) {
        let (mut configs, mut unreadable) = (Vec::new(), Vec::new());
        for object in objects {
            let value = serde_json::to_value(object.as_ref()).unwrap_or_default();
            match machine_config::from_object(value) {
                Ok(config) => configs.push(config),
                Err(problems) => unreadable.extend(problems.into_iter().filter_map(|problem| {
                    let invalid = Invalid { object: object.name_any(), problem };
                    match role(object) {
                        Some(role) => Some((role, invalid)),
                        None => {
                            tracing::warn!(%invalid, "a machine config of no pool has no effect");
                            None
                        }
                    }
                })),
            }
        }
        self.replace(cluster, &configs, &unreadable);
    }
}

fn role(object: &objects::MachineConfig) -> Option<Role> {
    let label = object.labels().get(ROLE_LABEL)?;
    POOLS.iter().copied().find(|role| role.as_str() == label)
}

/// Follows the cluster's machine configs for ever.
pub async fn follow(client: Client, cluster: Arc<Cluster>, pools: Pools) {
    let (reader, writer) = reflector::store();
    let api: Api<objects::MachineConfig> = Api::all(client);
    let events = reflector(writer, watcher(api, watcher::Config::default()).default_backoff());
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            // A list that is being read again is complete with `InitDone`.
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => pools.take(&cluster, &reader.state()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "watching machine configs");
            }
        }
    }
}

fn list(invalid: &[Invalid]) -> String {
    invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
