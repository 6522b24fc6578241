//! Is what was ordered alive? Asked on the machine itself, each second, with short limits.

use std::path::Path;
use std::time::Duration;

use ashlar_host::cmd::Cmd;
use ashlar_model::bootstrap_api::NodeOrder;
use ashlar_model::control_plane::PKI_DIRECTORY;
use ashlar_model::keys::KeyPair;

use crate::failure::chain;

const TIMEOUT: Duration = Duration::from_secs(2);
const ETCD_STATUS: &str = "https://127.0.0.1:2379/v3/maintenance/status";
const KUBELET_HEALTH: &str = "http://127.0.0.1:10248/healthz";
const API_READY: &str = "https://127.0.0.1:6443/readyz";

#[derive(Debug, Default)]
pub struct Health {
    pub etcd_started: bool,
    pub api_ready: bool,
    pub keepalived_running: bool,
}

/// What was not ordered is not asked for.
pub async fn probe(order: &NodeOrder) -> Health {
    let etcd = async { order.etcd_initial_cluster.is_some() && answers("etcd", etcd_status().await) };
    let api = async { order.control_plane && answers("api", api_ready().await) };
    let keepalived = async { !order.vrrp_peers.is_empty() && keepalived_running().await };
    let (etcd_started, api_ready, keepalived_running) = tokio::join!(etcd, api, keepalived);
    Health { etcd_started, api_ready, keepalived_running }
}

#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("reading {path}")]
    Read { path: String, source: std::io::Error },
    #[error("TLS")]
    Tls(#[from] ashlar_pki::Error),
    #[error("asking")]
    Http(#[from] reqwest::Error),
}

fn answers(what: &str, outcome: Result<(), ProbeError>) -> bool {
    if let Err(error) = &outcome {
        tracing::debug!(what, error = chain(error), "does not answer");
    }
    outcome.is_ok()
}

/// A learner answers this call as well; a member that has not joined does not listen.
async fn etcd_status() -> Result<(), ProbeError> {
    let identity = KeyPair {
        certificate_pem: read("etcd/healthcheck-client.crt")?,
        private_key_pem: read("etcd/healthcheck-client.key")?,
    };
    let client = ashlar_pki::tls::http_client(&read("etcd/ca.crt")?, Some(&identity), TIMEOUT)?;
    client.post(ETCD_STATUS).json(&serde_json::json!({})).send().await?.error_for_status()?;
    Ok(())
}

/// `/readyz` is open to everybody; the certificate proves that it is our API server.
async fn api_ready() -> Result<(), ProbeError> {
    let client = ashlar_pki::tls::http_client(&read("ca.crt")?, None, TIMEOUT)?;
    client.get(API_READY).send().await?.error_for_status()?;
    Ok(())
}

async fn keepalived_running() -> bool {
    Cmd::new("systemctl").args(["is-active", "--quiet", "keepalived.service"]).run().await.is_ok()
}

fn read(name: &str) -> Result<String, ProbeError> {
    let path = Path::new(PKI_DIRECTORY).join(name);
    std::fs::read_to_string(&path)
        .map_err(|source| ProbeError::Read { path: path.display().to_string(), source })
}

/// The kubelet's own opinion, on the port that only this machine reaches.
pub async fn kubelet_healthy() -> bool {
    let ask = async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        client.get(KUBELET_HEALTH).send().await?.error_for_status()
    };
    answers("kubelet", ask.await.map(drop).map_err(ProbeError::Http))
}
