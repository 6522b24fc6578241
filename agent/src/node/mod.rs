//! The node daemon: while the cluster is being installed it reports once a second and makes true what it is ordered
//! to be; afterwards it keeps certificates fresh. Works from its last order when no server answers.

mod apply;
mod boot_health;
mod checks;
mod leaves;
pub mod machine_config;
mod order;
mod probe;
mod server;
mod slot;
mod update;
mod vrrp;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use ashlar_host::inventory::Machine;
use ashlar_model::bootstrap_api::{NodeOrder, NodeReport};
use ashlar_model::control_plane::{PRIVATE, PUBLIC};
use ashlar_model::keys::{ClusterKeys, KeyPair};
use ashlar_model::node::{CLUSTER_KEYS_FILE, IDENTITY_CERTIFICATE, IDENTITY_KEY, NODE_FILE, NodeFile};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::console::Console;
use crate::durable;
use crate::failure::{Failure, chain};

const ORDER_FILE: &str = "/var/lib/ashlar/node/order.json";
/// How often what time alone changes (certificates) is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

pub async fn run() -> anyhow::Result<()> {
    let file: NodeFile = read_json(Path::new(NODE_FILE))?;
    let keys = Path::new(CLUSTER_KEYS_FILE);
    let keys: Option<ClusterKeys> = if keys.exists() { Some(read_json(keys)?) } else { None };
    let order: NodeOrder = read_json(Path::new(ORDER_FILE)).unwrap_or_default();
    let server = match (&file.bootstrap_url, identity()) {
        (None, _) => None,
        (Some(url), Ok(identity)) => Some(server::Server::new(url, &file.server_ca_pem, &identity)?),
        // An installed node does its work without it.
        (Some(_), Err(error)) if order.enrolment_over => {
            tracing::warn!(error = format!("{error:#}"), "no orders are asked for");
            None
        }
        (Some(_), Err(error)) => return Err(error),
    };
    tokio::spawn(machine_config::run(file.clone()));
    let changed = Arc::new(Notify::new());
    tokio::spawn(update::run(file.clone(), changed.clone()));
    let node = apply::Node::new(Path::new("/"), file, keys)?;
    let boot_health = boot_health::BootHealth::new(Path::new("/boot"));
    let console = screen(node.file());
    Daemon { node, server, order, applied: None, changed, slot_is_wiped: false, boot_health, console }
        .run()
        .await
}

/// What the consoles of an installed machine show.
fn screen(file: &NodeFile) -> Console {
    let role = serde_json::to_value(file.role).ok().and_then(|role| role.as_str().map(str::to_owned));
    Console::new(&file.host, &file.cluster.name, &role.unwrap_or_default())
}

fn doing(order: &NodeOrder) -> &'static str {
    match (order.enrolment_over, order.control_plane) {
        (false, _) => "joining the cluster",
        (true, true) => "serving the cluster and its control plane",
        (true, false) => "serving the cluster",
    }
}

struct Daemon {
    node: apply::Node,
    server: Option<server::Server>,
    order: NodeOrder,
    /// When `order` was last made true in full; `None` when it has to be done now.
    applied: Option<Instant>,
    /// An update changed what the static pods are to be.
    changed: Arc<Notify>,
    slot_is_wiped: bool,
    boot_health: boot_health::BootHealth,
    console: Console,
}

impl Daemon {
    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let trouble = self.make_it_so().await;
            self.console.doing(doing(&self.order));
            match &trouble {
                Some(trouble) => self.console.failed(
                    Failure::new("the order", trouble.clone())
                        .hint("tried again every second; see `journalctl -u ashlar-agent`"),
                ),
                None if self.order.enrolment_over => self.console.works_again(),
                None => {}
            }
            self.boot_health.look().await;
            let pause = self.report(trouble).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.changed.notified() => self.applied = None,
            }
        }
    }

    /// Returns what went wrong; it is tried again in the next round.
    async fn make_it_so(&mut self) -> Option<String> {
        if self.applied.is_some_and(|when| when.elapsed() < HOUSEKEEPING) {
            return None;
        }
        let outcome = self.apply().await;
        match outcome {
            Ok(()) => {
                self.applied = Some(Instant::now());
                None
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the order is not applied");
                Some(format!("{error:#}"))
            }
        }
    }

    async fn apply(&mut self) -> anyhow::Result<()> {
        self.node.apply(&self.order)?;
        vrrp::apply(self.node.file(), &self.order).await?;
        if self.order.enrolment_over && !self.slot_is_wiped {
            let wiped = tokio::task::spawn_blocking(|| slot::wipe_secret(&Machine::default()));
            wiped.await.context("wiping the config slot")??;
            self.slot_is_wiped = true;
        }
        Ok(())
    }

    /// Tells the server how we are, takes its order, and says how long to wait.
    async fn report(&mut self, trouble: Option<String>) -> Duration {
        let Some(server) = &mut self.server else { return HOUSEKEEPING };
        let health = probe::probe(&self.order).await;
        let report = NodeReport {
            host: self.node.file().host.clone(),
            address: Some(self.node.file().address),
            etcd_started: health.etcd_started,
            api_ready: health.api_ready,
            keepalived_running: health.keepalived_running,
            revision: if self.order.control_plane && self.applied.is_some() {
                self.order.revision
            } else {
                0
            },
            message: trouble.unwrap_or_default(),
        };
        match server.report(&report).await {
            Ok(new) => {
                self.take(&new);
                self.console.works_again();
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "no order");
                if !self.order.enrolment_over {
                    self.console.failed(
                        Failure::new("asking for orders", chain(&error)).hint(
                            "check that the bootstrap runs and that this network reaches it; trying on",
                        ),
                    );
                }
            }
        }
        self.server.as_ref().map_or(HOUSEKEEPING, |server| server.pause(self.order.enrolment_over))
    }

    /// Kept before it is acted upon: a reboot goes on with it.
    fn take(&mut self, new: &NodeOrder) {
        let order = order::merge(&self.order, new);
        if order == self.order {
            return;
        }
        tracing::info!(?order, "a new order");
        let text = serde_json::to_vec_pretty(&order).unwrap_or_default();
        if let Err(error) = durable::write(Path::new(ORDER_FILE), &text, 0o600) {
            tracing::error!(error = chain(&error), "the order would not survive a reboot");
        }
        self.order = order;
        self.applied = None;
    }
}

/// The key pair that our enrolment is bound to. The first start takes it over from the config slot, before the
/// slot's copy is wiped.
fn identity() -> anyhow::Result<KeyPair> {
    let (certificate, key) = (Path::new(IDENTITY_CERTIFICATE), Path::new(IDENTITY_KEY));
    if !certificate.exists() || !key.exists() {
        let secret = slot::secret(&Machine::default())?;
        let secret =
            secret.with_context(|| format!("{IDENTITY_KEY} is missing, and so is the slot's secret"))?;
        durable::write(key, secret.private_key_pem.as_bytes(), PRIVATE)?;
        durable::write(certificate, secret.certificate_pem.as_bytes(), PUBLIC)?;
    }
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    Ok(KeyPair { certificate_pem: read(certificate)?, private_key_pem: read(key)? })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading the JSON of {}", path.display()))
}
