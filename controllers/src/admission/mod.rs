//! Refuses machine configs and pools that cannot work, while somebody applies them. Each master's API server asks the
//! controllers of its own machine, over the loopback interface; when these are away the object is taken, and its pool
//! says what is wrong with it. Nothing but our own kinds is ever asked about.

mod verdict;

use std::net::Ipv4Addr;

use anyhow::Context;
use ashlar_model::config::Problem;
use ashlar_model::keys::KeyPair;
use ashlar_model::machine_config::GROUP;
use ashlar_pki::tls::{self, Clients};
use ashlar_pki::{Leaf, issue};
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use kube::core::response::{StatusCause, StatusDetails};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::host_object::FIELD_MANAGER;
use crate::machine_config::Pools;
use verdict::{Review, Verdict, verdict};

const PORT: u16 = 22625;
const NAME: &str = "ashlar-machine-configs";
const WEBHOOK: &str = "machine-configs.ashlar.dev";
/// An object is at most 3 MiB, and an update has two.
const LONGEST: usize = 8 << 20;
/// Unprocessable entity, as the API server's own validation answers.
const INVALID: u16 = 422;

/// Answers until `stop`; certificates are made by `authority` and renewed while it runs.
///
/// # Errors
/// The port is taken, or no certificate can be made.
pub async fn serve(authority: KeyPair, pools: Pools, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .await
        .with_context(|| format!("listening on port {PORT} of the loopback interface"))?;
    serve_at(listener, authority, pools, stop).await
}

async fn serve_at(
    listener: TcpListener,
    authority: KeyPair,
    pools: Pools,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let leaf = Leaf::server("admission", vec!["localhost".into()], vec![Ipv4Addr::LOCALHOST.into()]);
    let trusted = authority.certificate_pem.clone();
    let config = tls::renewing_server(move || issue(&authority, &leaf), Clients::Nobody)
        .context("minting the certificate of the admission server")?;
    ashlar_pki::serve(listener, config, trusted, app(pools), stop).await;
    Ok(())
}

/// Makes the API servers ask; safe to repeat.
pub async fn register(client: &Client, authority_pem: &str) -> Result<(), kube::Error> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(NAME, &parameters, &Patch::Apply(&registration(authority_pem))).await.map(drop)
}

fn registration(authority_pem: &str) -> Value {
    let rule = |resource: &str, operations: &[&str]| {
        json!({
            "apiGroups": [GROUP],
            "apiVersions": ["v1"],
            "resources": [resource],
            "operations": operations,
            "scope": "Cluster",
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            // Controllers that are away must not be in the way of whoever repairs them.
            "failurePolicy": "Ignore",
            "timeoutSeconds": 5,
            "rules": [
                rule("machineconfigs", &["CREATE", "UPDATE"]),
                rule("kubeletconfigs", &["CREATE", "UPDATE"]),
                rule("containerruntimeconfigs", &["CREATE", "UPDATE"]),
                rule("machineconfigpools", &["CREATE", "UPDATE", "DELETE"]),
            ],
            "clientConfig": {
                "url": format!("https://{}:{PORT}/validate", Ipv4Addr::LOCALHOST),
                "caBundle": base64::engine::general_purpose::STANDARD.encode(authority_pem),
            },
        }],
    })
}

fn app(pools: Pools) -> Router {
    Router::new().route("/validate", post(validate)).layer(DefaultBodyLimit::max(LONGEST)).with_state(pools)
}

async fn validate(
    State(pools): State<Pools>,
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Json<AdmissionReview<DynamicObject>> {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return Json(AdmissionResponse::invalid(error).into_review()),
    };
    let value = |object: &Option<DynamicObject>| object.as_ref().map(|object| json!(object));
    let known = pools.known();
    let verdict = verdict(
        &Review {
            kind: &request.kind.kind,
            name: &request.name,
            object: value(&request.object),
            old: value(&request.old_object),
        },
        known.as_ref(),
    );
    if !verdict.problems.is_empty() {
        let (kind, name) = (&request.kind.kind, &request.name);
        tracing::info!(kind, name, problems = verdict.problems.len(), "refused");
    }
    Json(answer(&request, verdict).into_review())
}

fn answer(request: &AdmissionRequest<DynamicObject>, verdict: Verdict) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    if !verdict.warnings.is_empty() {
        response.warnings = Some(verdict.warnings);
    }
    if verdict.problems.is_empty() {
        return response;
    }
    let lines: Vec<String> = verdict.problems.iter().map(ToString::to_string).collect();
    let message = match lines.as_slice() {
        [one] => format!("{}: {one}", request.name),
        several => format!("{}: {} problems:\n  {}", request.name, several.len(), several.join("\n  ")),
    };
    let mut response = response.deny(message);
    response.result.code = INVALID;
    response.result.reason = "Invalid".into();
    response.result.details = Some(StatusDetails {
        name: request.name.clone(),
        group: request.kind.group.clone(),
        kind: request.kind.kind.clone(),
        uid: String::new(),
        causes: verdict.problems.iter().map(cause).collect(),
        retry_after_seconds: 0,
    });
    response
}

/// kubectl prints the field before the message.
fn cause(problem: &Problem) -> StatusCause {
    let text = problem.to_string();
    let message = text.strip_prefix(&format!("{}: ", problem.path)).unwrap_or(&text).to_owned();
    StatusCause { reason: "FieldValueInvalid".into(), message, field: problem.path.clone() }
}

#[cfg(test)]
mod tests;
