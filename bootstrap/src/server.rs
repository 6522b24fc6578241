//! What the bootstrap answers: configurations to hosts, orders to node daemons, its state to the engine.

use crate::pivot;
use crate::state::State;
use ashlar_controllers::config_server::{self, error};
use ashlar_model::bootstrap_api::{
    BootstrapStatus, FirstBootFailure, HostRecord, NodeOrder, NodeReport, Phase,
};
use ashlar_pki::Peer;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use std::sync::Arc;
use std::time::Instant;

/// The name in the engine's certificate.
const ENGINE: &str = "engine";

pub fn app(state: Arc<State>, bootstrap_url: String) -> Router {
    let fetched = {
        let state = Arc::clone(&state);
        Arc::new(move |host: &str, rendered: &str| {
            if let Err(error) = state.set_given(host, rendered) {
                tracing::error!(%error, host, "remembering which config was given");
            }
            state.milestone(format!("{host} fetched its configuration"));
        })
    };
    // Told on to the person who installs, as every milestone is.
    let stopped = {
        let state = Arc::clone(&state);
        Arc::new(move |host: &str, failure: &FirstBootFailure| {
            state.milestone(format!("{host}: the first boot stopped: {}", failure.line()));
        })
    };
    let configs = config_server::app(config_server::Server {
        directory: state.directory.clone(),
        cluster: Arc::new(state.bundle.cluster.clone()),
        keys: Arc::new(state.bundle.keys.clone()),
        bootstrap_url: Some(bootstrap_url),
        pools: state.pools.clone(),
        fetched,
        stopped,
    });
    Router::new()
        .route("/v1/node", put(node))
        .route("/v1/hosts", put(hosts))
        .route("/v1/status", get(status))
        .route("/v1/finish", post(finish))
        .with_state(state)
        .merge(configs)
}

async fn node(
    Shared(state): Shared<Arc<State>>,
    Extension(peer): Extension<Peer>,
    Json(report): Json<NodeReport>,
) -> Response {
    let known = peer.key_sha256.as_deref().and_then(|key| state.directory.by_key(key));
    let Some(host) = known.filter(|host| host.name == report.host) else {
        return refused(&peer, "a node's report");
    };
    let mut inner = state.lock();
    let order = inner.orders.get(&host.name).cloned().unwrap_or_else(|| NodeOrder {
        etcd_member_name: pivot::order(&[], &[], &host, ("", [0, 0, 0, 0].into()), false).etcd_member_name,
        ..NodeOrder::default()
    });
    if order.enrolment_over {
        inner.told.insert(host.name.clone());
    }
    inner.reports.insert(host.name, (report, Instant::now()));
    Json(order).into_response()
}

async fn hosts(
    Shared(state): Shared<Arc<State>>,
    Extension(peer): Extension<Peer>,
    Json(hosts): Json<Vec<HostRecord>>,
) -> Response {
    if peer.install_name.as_deref() != Some(ENGINE) {
        return refused(&peer, "a list of hosts");
    }
    match state.replace_hosts(hosts) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(cause) => error(StatusCode::INTERNAL_SERVER_ERROR, format!("writing the hosts: {cause}"), None),
    }
}

async fn status(Shared(state): Shared<Arc<State>>, Extension(peer): Extension<Peer>) -> Response {
    if peer.install_name.as_deref() != Some(ENGINE) {
        return refused(&peer, "the status");
    }
    let status: BootstrapStatus = state.status();
    Json(status).into_response()
}

async fn finish(Shared(state): Shared<Arc<State>>, Extension(peer): Extension<Peer>) -> Response {
    if peer.install_name.as_deref() != Some(ENGINE) {
        return refused(&peer, "finishing");
    }
    if state.lock().phase < Phase::Pivoted {
        return error(
            StatusCode::CONFLICT,
            "the masters do not serve on their own yet".into(),
            Some("ask again when the phase is `pivoted`".into()),
        );
    }
    match state.ask_to_finish() {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(cause) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, format!("recording the request: {cause}"), None)
        }
    }
}

fn refused(peer: &Peer, what: &str) -> Response {
    tracing::warn!(target: "audit", address = %peer.address, key = peer.key_sha256, what, "refused");
    error(StatusCode::UNAUTHORIZED, format!("{what} is not taken from this key"), None)
}
