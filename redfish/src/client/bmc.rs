//! A connected BMC: which system it is about, what it says of itself, and how the connection begins and ends.

use super::connection::{Connection, Reply};
use super::login::Credentials;
use super::{Endpoint, Error, Timeouts, Trust};
use crate::quirks::{self, Identity, Quirks};
use serde_json::Value;
use std::sync::Arc;

const ROOT: &str = "/redfish/v1/";

pub struct Bmc {
    pub(super) connection: Arc<Connection>,
    pub(super) system_path: String,
    pub(super) manager_paths: Vec<String>,
    identity: Identity,
    pub(super) quirks: Quirks,
}

impl Bmc {
    /// Checks certificate and credentials, opens a session and finds the system.
    pub async fn connect(
        endpoint: &Endpoint,
        credentials: &Credentials,
        trust: Trust,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let connection = Arc::new(Connection::new(endpoint, credentials, trust, timeouts)?);
        let root = connection.read(ROOT).await?;
        connection.log_in(&root).await?;
        match explore(&connection, endpoint, &root).await {
            Ok((system_path, manager_paths, identity)) => {
                let quirks = quirks::of(&identity);
                tracing::debug!(bmc = connection.bmc, ?identity, ?quirks, "connected");
                Ok(Self { connection, system_path, manager_paths, identity, quirks })
            }
            Err(error) => {
                if let Err(leaked) = connection.log_out().await {
                    tracing::warn!(bmc = connection.bmc, error = %leaked, "the session stays open");
                }
                Err(error)
            }
        }
    }

    /// Logs out. Sessions of a `Bmc` that is dropped instead are ended in the background.
    ///
    /// # Errors
    /// The BMC does not answer; it ends the session itself when it times out.
    pub async fn close(&self) -> Result<(), Error> {
        self.connection.log_out().await
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.connection.bmc
    }

    pub fn system_path(&self) -> &str {
        &self.system_path
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    /// Any resource as it is, for diagnosis.
    pub async fn read(&self, path: &str) -> Result<Value, Error> {
        self.connection.read(path).await
    }

    pub(super) async fn read_system(&self) -> Result<Value, Error> {
        self.connection.read(&self.system_path).await
    }

    /// POST of an action, followed to its end when the BMC makes a task of it.
    pub(super) async fn act(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        let reply = self.connection.post(path, body).await?;
        self.connection.follow(reply).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        let reply = self.connection.patch(path, body, &self.quirks).await?;
        self.connection.follow(reply).await
    }
}

impl Drop for Bmc {
    /// A cancelled install must not use up the BMC's few sessions.
    fn drop(&mut self) {
        let connection = self.connection.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = connection.log_out().await {
                    tracing::debug!(bmc = connection.bmc, %error, "the session stays until it times out");
                }
            });
        }
    }
}

/// Paths behind `{"@odata.id": …}` objects.
pub(super) fn links(list: Option<&Value>) -> Vec<String> {
    let members = list.and_then(Value::as_array).into_iter().flatten();
    members.filter_map(|member| member.get("@odata.id")?.as_str()).map(str::to_owned).collect()
}

pub(super) fn link<'a>(resource: &'a Value, name: &str) -> Option<&'a str> {
    resource.get(name)?.get("@odata.id")?.as_str()
}

pub(super) fn text(resource: &Value, name: &str) -> Option<String> {
    let text = resource.get(name)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

async fn explore(
    connection: &Connection,
    endpoint: &Endpoint,
    root: &Value,
) -> Result<(String, Vec<String>, Identity), Error> {
    let system_path = match endpoint.system() {
        Some(path) => path.to_owned(),
        None => only_system(connection, root).await?,
    };
    let system = connection.read(&system_path).await?;
    let manager_paths = managers(connection, root, &system).await?;
    let manager = match manager_paths.first() {
        Some(path) => connection.read(path).await?,
        None => Value::Null,
    };
    Ok((system_path, manager_paths, identity(root, &system, &manager)))
}

async fn only_system(connection: &Connection, root: &Value) -> Result<String, Error> {
    let collection = link(root, "Systems").unwrap_or("/redfish/v1/Systems");
    let mut systems = links(connection.read(collection).await?.get("Members"));
    match systems.len() {
        0 => Err(Error::NoSystem { bmc: connection.bmc.clone() }),
        1 => Ok(systems.remove(0)),
        _ => Err(Error::SeveralSystems { bmc: connection.bmc.clone(), systems }),
    }
}

/// `Managers` is how some BMCs spell `ManagedBy`.
async fn managers(connection: &Connection, root: &Value, system: &Value) -> Result<Vec<String>, Error> {
    for name in ["ManagedBy", "Managers"] {
        let found = links(system.get("Links").and_then(|all| all.get(name)));
        if !found.is_empty() {
            return Ok(found);
        }
    }
    match link(root, "Managers") {
        Some(collection) => Ok(links(connection.read(collection).await?.get("Members"))),
        None => Ok(vec![]),
    }
}

fn identity(root: &Value, system: &Value, manager: &Value) -> Identity {
    let oem = root.get("Oem").and_then(Value::as_object).and_then(|oem| oem.keys().next().cloned());
    let vendor = text(root, "Vendor").or(oem).or_else(|| text(system, "Manufacturer"));
    Identity {
        vendor: vendor.unwrap_or_default(),
        product: text(root, "Product").unwrap_or_default(),
        manager_model: text(manager, "Model").unwrap_or_default(),
        firmware: text(manager, "FirmwareVersion").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn is_send<T: Send>(_: &T) {}

    /// Compiles only while the engine can spawn what it awaits.
    #[expect(dead_code, reason = "only its types matter")]
    fn futures_can_be_spawned(bmc: &Bmc, endpoint: &Endpoint, credentials: &Credentials) {
        is_send(&Bmc::connect(endpoint, credentials, Trust::Insecure, Timeouts::default()));
        is_send(&bmc.insert(""));
        is_send(&bmc.set_boot_once(super::super::BootTarget::Cd));
        is_send(&bmc.power_cycle(Duration::ZERO));
    }
}
