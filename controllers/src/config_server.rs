//! The configuration server: gives a host its own Ignition config after proof of who it is, and nobody anything
//! else.
//!
//! Proof is the enrolment token together with the key that the token was bound to when the agent first used it.

use crate::directory::Directory;
use crate::machine_config::{NotRendered, Pools, for_host};
use ashlar_model::agent_api::ErrorAnswer;
use ashlar_model::bootstrap_api::{Cluster, FirstBootFailure, HostRecord, Role};
use ashlar_model::keys::ClusterKeys;
use ashlar_model::machine_config::RENDERED_PATH;
use ashlar_model::node::{RenderError, Source, host_ignition};
use ashlar_pki::Peer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use std::sync::Arc;

pub const PORT: u16 = 22623;
const CONTENT_TYPE: &str = "application/vnd.coreos.ignition+json; version=3.5.0";

/// Told the name of each host that was given its config, and the name of the rendered config in it.
pub type Fetched = dyn Fn(&str, &str) + Send + Sync;

/// Told the name of a host whose first boot stopped, and why.
pub type Stopped = dyn Fn(&str, &FirstBootFailure) + Send + Sync;

#[derive(Clone)]
pub struct Server {
    pub directory: Directory,
    pub cluster: Arc<Cluster>,
    pub keys: Arc<ClusterKeys>,
    /// Where nodes report while the cluster is being installed.
    pub bootstrap_url: Option<String>,
    /// What the hosts of each pool have in common.
    pub pools: Pools,
    pub fetched: Arc<Fetched>,
    pub stopped: Arc<Stopped>,
}

pub fn app(server: Server) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/config/{role}", get(config))
        .route("/v1/first-boot-failure", post(first_boot_failure))
        .route(&format!("{RENDERED_PATH}/{{name}}"), get(rendered))
        .with_state(server)
}

async fn config(
    State(server): State<Server>,
    Extension(peer): Extension<Peer>,
    Path(role): Path<String>,
    headers: HeaderMap,
) -> Response {
    let host = match authenticate(&server.directory, &peer, &headers) {
        Ok(host) => host,
        Err(refusal) => return refusal.answer(&peer, &role),
    };
    if host.role.as_str() != role {
        return error(
            StatusCode::FORBIDDEN,
            format!("host {} is a {}, not a {role}", host.name, host.role.as_str()),
            None,
        );
    }
    match answer(&server, &host) {
        Ok((rendered, ignition)) => {
            tracing::info!(host = host.name, rendered, address = %peer.address, "configuration given");
            (server.fetched)(&host.name, &rendered);
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], ignition).into_response()
        }
        Err(cause) => {
            tracing::warn!(host = host.name, error = %cause, "no configuration for a host");
            error(StatusCode::SERVICE_UNAVAILABLE, cause.to_string(), Some(cause.hint().into()))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(transparent)]
    Pool(#[from] NotRendered),
    #[error(transparent)]
    Host(#[from] RenderError),
    #[error("the host's own part does not merge: {0}")]
    Merge(ashlar_model::config::Problem),
}

impl NoAnswer {
    fn hint(&self) -> &'static str {
        match self {
            Self::Pool(NotRendered::Invalid(_)) => {
                "correct or delete the machine config; the host asks again"
            }
            Self::Pool(_) | Self::Merge(_) => "ask again",
            Self::Host(_) => "the installer tells the address as soon as the host's agent reports; ask again",
        }
    }
}

/// The name of the rendered config, and the whole config of the host.
fn answer(server: &Server, host: &HostRecord) -> Result<(String, String), NoAnswer> {
    let rendered = server.pools.of_host(host)?;
    let source =
        Source { cluster: &server.cluster, keys: &server.keys, bootstrap_url: server.bootstrap_url.clone() };
    let own = host_ignition(&source, host, &rendered.applied())?;
    Ok((rendered.name.clone(), for_host(&rendered, &own).map_err(NoAnswer::Merge)?))
}

/// What a node that runs has in common with its pool, by name. It proves itself by the key that it enrolled with.
async fn rendered(
    State(server): State<Server>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Response {
    let Some(host) = peer.key_sha256.as_deref().and_then(|key| server.directory.by_key(key)) else {
        tracing::warn!(target: "audit", address = %peer.address, name, "a rendered config is refused");
        return error(StatusCode::UNAUTHORIZED, "this node has not proven who it is".into(), None);
    };
    match server.pools.of_host(&host) {
        Ok(rendered) if rendered.name == name => Json(rendered.applied()).into_response(),
        Ok(rendered) => error(
            StatusCode::NOT_FOUND,
            format!("the config of {} is {} now, not {name}", host.name, rendered.name),
            Some("ask for the one that the node shall have now".into()),
        ),
        Err(cause) => error(StatusCode::SERVICE_UNAVAILABLE, cause.to_string(), Some("ask again".into())),
    }
}

async fn first_boot_failure(
    State(server): State<Server>,
    Extension(peer): Extension<Peer>,
    Json(failure): Json<FirstBootFailure>,
) -> Response {
    let Some(host) = peer.key_sha256.as_deref().and_then(|key| server.directory.by_key(key)) else {
        tracing::warn!(target: "audit", address = %peer.address, "a failure of a first boot is refused");
        let cause = "a failure of a first boot is not taken from this key";
        return error(StatusCode::UNAUTHORIZED, cause.into(), None);
    };
    (server.stopped)(&host.name, &failure);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    UnknownToken,
    OtherKey(String),
    NotEnrolled(String),
}

impl Refusal {
    fn answer(&self, peer: &Peer, role: &str) -> Response {
        tracing::warn!(target: "audit", address = %peer.address, role, refusal = ?self, "configuration refused");
        error(
            StatusCode::UNAUTHORIZED,
            "this host has not proven who it is".into(),
            Some("boot it from the medium that the installer made for it".into()),
        )
    }
}

fn authenticate(directory: &Directory, peer: &Peer, headers: &HeaderMap) -> Result<HostRecord, Refusal> {
    let token = bearer(headers).ok_or(Refusal::NoToken)?;
    let host = directory.by_token(&ashlar_pki::token_sha256(token)).ok_or(Refusal::UnknownToken)?;
    match &host.key_sha256 {
        None => Err(Refusal::NotEnrolled(host.name)),
        Some(key) if Some(key) == peer.key_sha256.as_ref() && host.role != Role::Bootstrap => Ok(host),
        Some(_) => Err(Refusal::OtherKey(host.name)),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

pub fn error(status: StatusCode, error: String, hint: Option<String>) -> Response {
    (status, Json(ErrorAnswer { error, hint })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostRecord {
        HostRecord {
            name: "master-1".into(),
            role: Role::Master,
            boot_mac: "52:54:00:00:00:01".into(),
            address: None,
            token_sha256: ashlar_pki::token_sha256("secret"),
            key_sha256: Some("key".into()),
            generation: 1,
            kubelet_token: "abcdef.0123456789abcdef".into(),
        }
    }

    fn ask(token: Option<&str>, key: Option<&str>) -> Result<String, Refusal> {
        let directory = Directory::new(vec![host()]);
        let peer = Peer {
            address: ([192, 0, 2, 1], 1).into(),
            key_sha256: key.map(ToOwned::to_owned),
            install_name: None,
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"));
        }
        authenticate(&directory, &peer, &headers).map(|host| host.name)
    }

    #[test]
    fn token_and_key_together_prove_a_host() {
        assert_eq!(ask(Some("secret"), Some("key")), Ok("master-1".into()));
    }

    #[test]
    fn a_stolen_token_is_worth_nothing_without_the_key() {
        assert_eq!(ask(Some("secret"), Some("other")), Err(Refusal::OtherKey("master-1".into())));
        assert_eq!(ask(Some("secret"), None), Err(Refusal::OtherKey("master-1".into())));
    }

    #[test]
    fn a_stranger_gets_nothing() {
        assert_eq!(ask(None, Some("key")), Err(Refusal::NoToken));
        assert_eq!(ask(Some("guess"), Some("key")), Err(Refusal::UnknownToken));
    }

    fn server(pools: Pools) -> Server {
        Server {
            directory: Directory::default(),
            cluster: Arc::new(crate::machine_config::tests::cluster()),
            keys: Arc::new(ashlar_pki::cluster_keys("lab").expect("keys")),
            bootstrap_url: None,
            pools,
            fetched: Arc::new(|_, _| ()),
            stopped: Arc::new(|_, _| ()),
        }
    }

    #[tokio::test]
    async fn a_first_boot_that_stopped_is_heard_from_a_known_key_only() {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut server = server(Pools::default());
        server.directory.replace(vec![host()]);
        let told = heard.clone();
        server.stopped = Arc::new(move |host, failure: &FirstBootFailure| {
            told.lock().expect("a lock").push(format!("{host}: {}", failure.stage));
        });
        let mut answers = Vec::new();
        for key in [Some("stranger"), None, Some("key")] {
            let peer = Peer {
                address: ([192, 0, 2, 1], 1).into(),
                key_sha256: key.map(ToOwned::to_owned),
                install_name: None,
            };
            let failure = FirstBootFailure {
                stage: "disks".into(),
                entry: "/dev/vdb".into(),
                cause: "it is in use".into(),
                remedy: "name another device".into(),
                may_pass: false,
            };
            let answer = first_boot_failure(State(server.clone()), Extension(peer), Json(failure)).await;
            answers.push(answer.status());
        }
        use StatusCode as S;
        assert_eq!(answers, [S::UNAUTHORIZED, S::UNAUTHORIZED, S::NO_CONTENT]);
        assert_eq!(*heard.lock().expect("a lock"), ["master-1: disks"]);
    }

    #[test]
    fn a_host_is_given_its_pools_config_with_its_own_part_over_it_and_the_name_of_the_first() {
        let worker = HostRecord { role: Role::Worker, address: Some([192, 0, 2, 31].into()), ..host() };
        let pools =
            Pools::of(&crate::machine_config::tests::cluster(), &[crate::machine_config::tests::chrony()]);
        let pool = pools.rendered("worker").expect("valid");
        let (rendered, ignition) = answer(&server(pools), &worker).expect("given");
        assert_eq!(rendered, pool.name);
        for path in
            ["/etc/chrony.conf", "/etc/hostname", "/etc/ashlar/node.json", "/etc/ashlar/machine-config"]
        {
            assert!(ignition.contains(&format!("\"path\":\"{path}\"")), "{path}");
        }
        assert!(!ignition.contains("cluster-keys"), "a worker holds none of the cluster's keys");
    }

    #[test]
    fn nobody_is_given_a_config_before_the_machine_configs_are_known() {
        let worker = HostRecord { role: Role::Worker, address: Some([192, 0, 2, 31].into()), ..host() };
        let refusal = answer(&server(Pools::default()), &worker).expect_err("not yet");
        assert!(matches!(refusal, NoAnswer::Pool(NotRendered::NotRead)), "{refusal}");
    }
}
