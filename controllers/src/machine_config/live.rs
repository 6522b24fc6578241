//! The rendered configs of all pools as they are now, for who serves them: from the bundle on the bootstrap, from the
//! cluster's objects on the masters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ashlar_model::bootstrap_api::{Cluster, HostRecord};
use ashlar_model::machine_config::{self, MachineConfig};
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::api::Api;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::objects;
use super::{Invalid, Pool, Rendered, render};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRendered {
    /// A host that got a config now would miss the user's part of it.
    #[error("the machine configs are not read from the API yet")]
    NotRead,
    #[error("there is no pool {0}")]
    NoPool(String),
    #[error("the machine configs of the pool do not make a config: {}", list(.0))]
    Invalid(Vec<Invalid>),
}

/// Rendered configs that are remembered after there are newer ones: what nodes had that are behind.
const REMEMBERED: usize = 32;

/// Shared by the server, which asks, and who follows the objects, who replaces.
#[derive(Clone, Default)]
pub struct Pools(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    read: Option<Read>,
    /// None: `master` and `worker`.
    pools: Option<Vec<Pool>>,
    results: BTreeMap<String, Result<Arc<Rendered>, NotRendered>>,
    /// The pools of hosts whose nodes are there.
    members: BTreeMap<String, String>,
    earlier: Vec<Arc<Rendered>>,
}

/// The machine configs of the cluster.
#[derive(Clone)]
pub struct Read {
    pub cluster: Arc<Cluster>,
    pub configs: Vec<MachineConfig>,
    unreadable: Vec<Unreadable>,
}

/// An object that is no machine config, and one thing that is wrong with it.
#[derive(Clone)]
struct Unreadable {
    labels: BTreeMap<String, String>,
    /// Of a KubeletConfig or ContainerRuntimeConfig: which pools.
    pools: Option<Value>,
    invalid: Invalid,
}

impl Unreadable {
    fn is_of(&self, pool: &Pool) -> bool {
        match &self.pools {
            Some(pools) => pool.is_selected(pools),
            None => pool.selects(&self.labels),
        }
    }
}

impl Pools {
    /// Of machine configs that do not change.
    pub fn of(cluster: &Cluster, configs: &[MachineConfig]) -> Self {
        let pools = Self::default();
        pools.write().take(Read {
            cluster: Arc::new(cluster.clone()),
            configs: configs.to_vec(),
            unreadable: Vec::new(),
        });
        pools
    }

    /// # Errors
    /// Nothing is known yet, or a machine config of the pool is invalid.
    pub fn rendered(&self, pool: &str) -> Result<Arc<Rendered>, NotRendered> {
        let inner = self.inner();
        if inner.read.is_none() {
            return Err(NotRendered::NotRead);
        }
        let no_pool = || Err(NotRendered::NoPool(pool.to_owned()));
        inner.results.get(pool).cloned().unwrap_or_else(no_pool)
    }

    /// What a host shall have: its pool's, its role's as long as it has no node.
    ///
    /// # Errors
    /// As [`Pools::rendered`].
    pub fn of_host(&self, host: &HostRecord) -> Result<Arc<Rendered>, NotRendered> {
        let pool = self.inner().members.get(&host.name).cloned();
        self.rendered(pool.as_deref().unwrap_or(host.role.as_str()))
    }

    /// A rendered config of before, or of now, by its name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<Arc<Rendered>> {
        let inner = self.inner();
        let now = inner.results.values().filter_map(|result| result.as_ref().ok());
        now.chain(&inner.earlier).find(|rendered| rendered.name == name).cloned()
    }

    /// What was read, the pools, and which hosts are in them; `None` before anything was read.
    #[must_use]
    pub fn known(&self) -> Option<(Read, Vec<Pool>, BTreeMap<String, String>)> {
        let inner = self.inner();
        Some((inner.read.clone()?, inner.pools(), inner.members.clone()))
    }

    /// The pools as their objects say, and the hosts in them.
    pub fn replace(&self, pools: Vec<Pool>, members: BTreeMap<String, String>) {
        let mut inner = self.write();
        inner.members = members;
        if inner.pools.as_ref() != Some(&pools) {
            inner.pools = Some(pools);
            inner.render();
        }
    }

    fn take(&self, cluster: &Arc<Cluster>, objects: impl Iterator<Item = Value>) {
        let mut read = Read { cluster: cluster.clone(), configs: Vec::new(), unreadable: Vec::new() };
        for object in objects {
            match machine_config::from_object(object.clone()) {
                Ok(config) => read.configs.push(config),
                Err(problems) => read.unreadable.extend(problems.into_iter().map(|problem| Unreadable {
                    labels: serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default(),
                    pools: object["spec"].get("machineConfigPoolSelector").cloned(),
                    invalid: Invalid { object: machine_config::name_of(&object), problem },
                })),
            }
        }
        self.write().take(read);
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pools(&self) -> Vec<Pool> {
        self.pools.clone().unwrap_or_else(|| Pool::all(&[]))
    }

    fn take(&mut self, read: Read) {
        self.read = Some(read);
        self.render();
        self.say_what_has_no_effect();
    }

    fn render(&mut self) {
        let Some(read) = &self.read else { return };
        let results = self.pools().iter().map(|pool| (pool.name.clone(), read.result(pool))).collect();
        let before = std::mem::replace(&mut self.results, results);
        self.earlier.extend(before.into_values().flatten());
        let names: Vec<String> = self.earlier.iter().map(|rendered| rendered.name.clone()).collect();
        let mut index = 0;
        // Of one name the latest is enough.
        self.earlier.retain(|rendered| {
            index += 1;
            !names[index..].contains(&rendered.name)
        });
        let many = self.earlier.len().saturating_sub(REMEMBERED);
        self.earlier.drain(..many);
    }

    fn say_what_has_no_effect(&self) {
        let (Some(read), pools) = (&self.read, self.pools()) else { return };
        for config in read.configs.iter().filter(|config| !pools.iter().any(|pool| pool.has(config))) {
            tracing::warn!(
                name = config.name,
                role = config.role,
                "a machine config of no pool has no effect"
            );
        }
        for one in read.unreadable.iter().filter(|one| !pools.iter().any(|pool| one.is_of(pool))) {
            tracing::warn!(invalid = %one.invalid, "a machine config of no pool has no effect");
        }
    }
}

impl Read {
    fn result(&self, pool: &Pool) -> Result<Arc<Rendered>, NotRendered> {
        let own = self.unreadable.iter().filter(|one| one.is_of(pool));
        let mut bad: Vec<Invalid> = own.map(|one| one.invalid.clone()).collect();
        match render(&self.cluster, pool, &self.configs) {
            Ok(rendered) if bad.is_empty() => Ok(Arc::new(rendered)),
            Ok(_) => Err(NotRendered::Invalid(bad)),
            Err(invalid) => {
                bad.extend(invalid);
                Err(NotRendered::Invalid(bad))
            }
        }
    }
}

/// Follows the cluster's machine configs, and what else becomes one, for ever.
pub async fn follow(client: Client, cluster: Arc<Cluster>, pools: Pools) {
    let (configs, of_configs) = followed::<objects::MachineConfig>(&client);
    let (kubelets, of_kubelets) = followed::<objects::KubeletConfig>(&client);
    let (runtimes, of_runtimes) = followed::<objects::ContainerRuntimeConfig>(&client);
    let all = [of_configs, of_kubelets, of_runtimes];
    let kinds = all.len();
    let mut changes = futures::stream::select_all(all);
    let mut complete = BTreeSet::new();
    while let Some(kind) = changes.next().await {
        complete.insert(kind);
        // A host that got a config now would miss what is not listed yet.
        if complete.len() == kinds {
            let objects = [values(&configs), values(&kubelets), values(&runtimes)];
            pools.take(&cluster, objects.into_iter().flatten());
        }
    }
}

type Changes = BoxStream<'static, &'static str>;

/// All objects of a kind, and a stream that says the kind whenever they are complete and have changed.
fn followed<K>(client: &Client) -> (Store<K>, Changes)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let api: Api<K> = Api::all(client.clone());
    let events = reflector(writer, watcher(api, watcher::Config::default()).default_backoff());
    let kind = std::any::type_name::<K>();
    let changes = events.filter_map(move |event| {
        let complete = match event {
            // A list that is being read again is complete with `InitDone`.
            Ok(Event::Init | Event::InitApply(_)) => None,
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => Some(kind),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, kind, "watching machine configs");
                None
            }
        };
        std::future::ready(complete)
    });
    (reader, changes.boxed())
}

fn values<K>(store: &Store<K>) -> Vec<Value>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + 'static,
{
    store.state().iter().map(|object| serde_json::to_value(object.as_ref()).unwrap_or_default()).collect()
}

fn list(invalid: &[Invalid]) -> String {
    invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
