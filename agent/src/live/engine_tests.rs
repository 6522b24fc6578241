//! The client against an engine's protocol, which goes away, comes back and forgets.

use std::sync::{Arc, Mutex};

use ashlar_model::inventory::Inventory;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;

/// What an engine knows and was asked.
#[derive(Default)]
struct Known {
    enrolled: bool,
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Known>>;

async fn answer(State(known): State<Shared>, Path(call): Path<String>, headers: HeaderMap) -> Response {
    let mut known = known.lock().expect("not poisoned");
    known.calls.push(call.clone());
    assert_eq!(headers["authorization"], "Bearer token-1");
    match (call.as_str(), known.enrolled) {
        ("enroll", _) => {
            known.enrolled = true;
            Json(Task::Wait).into_response()
        }
        (_, false) => {
            let answer = ErrorAnswer { error: "who are you?".into(), hint: None };
            (StatusCode::UNAUTHORIZED, Json(answer)).into_response()
        }
        ("progress", true) => StatusCode::NO_CONTENT.into_response(),
        (_, true) => Json(Task::Wait).into_response(),
    }
}

struct Server {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    known: Shared,
}

impl Server {
    async fn start(address: &str, authority: &KeyPair) -> (Self, String) {
        let leaf = ashlar_pki::Leaf::server("engine", vec![], vec![[127, 0, 0, 1].into()]);
        let identity = ashlar_pki::issue(authority, &leaf).expect("a certificate");
        let config = ashlar_pki::tls::server(&identity, ashlar_pki::tls::Clients::AnyKey).expect("TLS");
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let known = Shared::default();
        let router = Router::new().route("/v1/agent/{call}", any(answer)).with_state(Arc::clone(&known));
        let stop = CancellationToken::new();
        let authority = authority.certificate_pem.clone();
        let task = tokio::spawn(ashlar_pki::serve(listener, config, authority, router, stop.clone()));
        (Self { stop, task, known }, address)
    }

    async fn end(self) -> Vec<String> {
        self.stop.cancel();
        self.task.await.expect("a clean end");
        std::mem::take(&mut self.known.lock().expect("not poisoned").calls)
    }
}

fn enroll() -> Enroll {
    let inventory = Inventory::default();
    Enroll { host: "master-1".into(), inventory, boot_id: "b".into(), release: "1".into() }
}

#[tokio::test]
async fn an_engine_that_restarts_and_forgets_gets_the_result_after_a_new_enrolment() {
    let authority = ashlar_pki::authority("install CA").expect("an authority");
    let (first, address) = Server::start("127.0.0.1:0", &authority).await;
    let view = HostView {
        version: 1,
        cluster: "lab".into(),
        host: "master-1".into(),
        // Nobody listens on the first address.
        engine_urls: vec!["https://127.0.0.1:1".into(), format!("https://{address}/")],
        engine_ca_pem: authority.certificate_pem.clone(),
        token: "token-1".into(),
        ..HostView::default()
    };
    let identity = ashlar_pki::self_signed("master-1", &[], &[]).expect("an identity");
    let console = Console::default();
    let mut engine = Engine::new(&view, &identity, enroll(), &console).expect("a client");
    assert!(matches!(engine.enroll().await, Task::Wait));
    let progress = Progress { phase: "write".into(), bytes: Some((1, 2)), message: "writing".into() };
    engine.post_progress(&progress).await;
    assert_eq!(first.end().await, ["enroll", "progress"]);

    let result = TaskResult::Installed { disk: "/dev/vda".into(), bytes: 1, seconds: 1.0 };
    // The result finds nobody at first.
    let (task, (second, _)) = tokio::join!(engine.post_result(&result), Server::start(&address, &authority));
    assert!(matches!(task, Task::Wait));
    assert_eq!(second.end().await, ["result", "enroll", "result"]);
}

#[test]
fn a_typed_engine_is_asked_first_and_once() {
    let view = HostView { engine_urls: vec!["https://a:1".into()], ..HostView::default() };
    let authority = ashlar_pki::authority("install CA").expect("an authority");
    let view = HostView { engine_ca_pem: authority.certificate_pem, ..view };
    let identity = ashlar_pki::self_signed("master-1", &[], &[]).expect("an identity");
    let console = Console::default();
    let mut engine = Engine::new(&view, &identity, enroll(), &console).expect("a client");
    engine.current = 0;
    for typed in ["", "https://b:2/\n", "https://b:2", "https://a:1"] {
        engine.add(typed);
    }
    assert_eq!(engine.urls, ["https://b:2", "https://a:1"]);
}
