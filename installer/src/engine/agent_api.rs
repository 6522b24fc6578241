//! The engine's side of the agent API: enrolment, tasks, progress, results. Every call is judged by token and key.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ashlar_model::agent_api::{Enroll, ErrorAnswer, Progress, Task, TaskResult};
use ashlar_model::event::What;
use ashlar_model::inventory::Inventory;
use ashlar_pki::Peer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use super::disk::{self, Refusal};
use super::handle::Handle;
use super::host::{Input, Purpose};
use super::tokens::{Bound, Verdict, judge};
use super::{Engine, task};
use crate::failure::Failure;

const LONG_POLL: Duration = Duration::from_secs(20);

pub fn app(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/v1/agent/enroll", post(enroll))
        .route("/v1/agent/task", get(next_task))
        .route("/v1/agent/progress", post(progress))
        .route("/v1/agent/result", post(result))
        .with_state(engine)
}

/// An answer that is not a task.
struct Refused {
    status: StatusCode,
    answer: ErrorAnswer,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.answer)).into_response()
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, failure.cause(), failure.hint)
    }
}

fn refuse(status: StatusCode, error: impl Into<String>, hint: Option<String>) -> Refused {
    Refused { status, answer: ErrorAnswer { error: error.into(), hint } }
}

async fn enroll(
    State(engine): State<Arc<Engine>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Json(body): Json<Enroll>,
) -> Result<Json<Task>, Refused> {
    let handle = known(&engine, &peer, &headers)?;
    if body.host != handle.name() {
        let error = format!("the token belongs to {}, not to {}", handle.name(), body.host);
        return Err(refuse(StatusCode::CONFLICT, error, None));
    }
    let release = &engine.release()?.release.version;
    if body.release != *release {
        let error = format!("the medium is of release {}, this install is of {release}", body.release);
        engine.events.note(Some(handle.name()), format!("refused: {error}"));
        return Err(refuse(
            StatusCode::CONFLICT,
            error,
            Some("boot the medium that the engine serves".into()),
        ));
    }
    if let Some(error) = wrong_machine(&handle.config.boot_mac, &body.inventory) {
        engine.events.note(Some(handle.name()), format!("refused: {error}"));
        return Err(refuse(
            StatusCode::CONFLICT,
            error,
            Some("check bootMACAddress and the BMC's address".into()),
        ));
    }
    handle.heard();
    let address = address(&body.inventory, &engine.configuration.install.machine_network, peer.address.ip());
    if !handle.record().state.has_system() {
        handle.apply(&engine, &Input::AgentEnrolled)?;
    }
    decide_disk(&engine, &handle, &body.inventory)?;
    handle.update(&engine, |record| {
        record.address = address.or(record.address);
        record.inventory = Some(body.inventory);
    })?;
    Ok(Json(task::take(&engine, &handle)?))
}

/// Chooses the disk; a host without one fails, and with it the run.
fn decide_disk(engine: &Engine, handle: &Handle, inventory: &Inventory) -> Result<(), Failure> {
    let record = handle.record();
    let decided = match (&record.disk, handle.purpose) {
        (Some(disk), _) if record.touched || handle.purpose == Purpose::Wipe => disk::find(disk, inventory),
        (None, Purpose::Wipe) => Err(Refusal { cause: "no disk is to be wiped".into(), hint: String::new() }),
        _ => disk::decide(&handle.config, inventory, &engine.options.consent, record.touched),
    };
    match decided {
        Ok(disk) => {
            let words =
                format!("disk {} (serial {})", disk.name, disk.serial.as_deref().unwrap_or("unknown"));
            if record.disk.as_ref() != Some(&disk) {
                engine.events.note(Some(handle.name()), format!("{words} is chosen"));
            }
            handle.update(engine, |record| record.disk = Some(disk))
        }
        Err(Refusal { cause, hint }) => {
            if !record.touched && handle.purpose != Purpose::Wipe {
                handle.update(engine, |record| record.disk = None)?;
            }
            handle.apply(engine, &Input::TaskFailed { cause, hint: Some(hint) })?;
            Ok(())
        }
    }
}

async fn next_task(
    State(engine): State<Arc<Engine>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<Task>, Refused> {
    let handle = known(&engine, &peer, &headers)?;
    handle.heard();
    let mut changed = engine.changed.subscribe();
    let patience = tokio::time::sleep(LONG_POLL);
    tokio::pin!(patience);
    loop {
        let task = task::take(&engine, &handle)?;
        if !matches!(task, Task::Wait) {
            return Ok(Json(task));
        }
        tokio::select! {
            () = &mut patience => return Ok(Json(Task::Wait)),
            () = engine.stop.cancelled() => return Ok(Json(Task::Wait)),
            changed = changed.changed() => if changed.is_err() { return Ok(Json(Task::Wait)) },
        }
    }
}

async fn progress(
    State(engine): State<Arc<Engine>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Json(body): Json<Progress>,
) -> Result<StatusCode, Refused> {
    let handle = known(&engine, &peer, &headers)?;
    handle.heard();
    if let Some((done, total)) = body.bytes {
        engine.events.emit(Some(handle.name()), What::Progress { phase: body.phase, done, total });
    } else {
        engine.events.waiting(Some(handle.name()), &body.message, handle.since().elapsed().as_secs());
    }
    Ok(StatusCode::OK)
}

async fn result(
    State(engine): State<Arc<Engine>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Json(body): Json<TaskResult>,
) -> Result<Json<Task>, Refused> {
    let handle = known(&engine, &peer, &headers)?;
    handle.heard();
    let name = Some(handle.name());
    let input = match body {
        TaskResult::Installed { disk, bytes, seconds } => {
            let rate = bytes as f64 / seconds.max(0.001) / 1e6;
            engine.events.note(
                name,
                format!("{disk} is written: {} MB in {seconds:.1} s, {rate:.0} MB/s", bytes / 1_000_000),
            );
            Input::DiskWritten
        }
        TaskResult::BootstrapStarted => Input::BootstrapStarted,
        TaskResult::Wiped { left } => match still_there(&left) {
            None => Input::DiskWiped,
            Some(cause) => Input::TaskFailed { cause, hint: Some("run the same command again".into()) },
        },
        TaskResult::Failed { phase, cause, hint } => {
            Input::TaskFailed { cause: format!("{phase}: {cause}"), hint }
        }
    };
    handle.apply(&engine, &input)?;
    Ok(Json(task::take(&engine, &handle)?))
}

fn still_there(left: &[(String, Vec<String>)]) -> Option<String> {
    let left: Vec<String> = left
        .iter()
        .filter(|(_, signatures)| !signatures.is_empty())
        .map(|(disk, signatures)| format!("{disk} still holds {}", signatures.join(", ")))
        .collect();
    (!left.is_empty()).then(|| left.join("; "))
}

/// The host whose token this is, presented by the key that it is bound to. Binds a token's first key.
fn known(engine: &Engine, peer: &Peer, headers: &HeaderMap) -> Result<Arc<Handle>, Refused> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let presented = ashlar_pki::token_sha256(token.trim());
    for handle in engine.hosts.values() {
        let record = handle.host_record();
        let bound = Bound { token_sha256: &record.token_sha256, key_sha256: record.key_sha256.as_deref() };
        match judge(&bound, &presented, peer.key_sha256.as_deref()) {
            Verdict::WrongToken => {}
            Verdict::Known => return Ok(handle.clone()),
            Verdict::Bind => {
                handle.update(engine, |record| record.key_sha256.clone_from(&peer.key_sha256))?;
                engine.events.note(
                    Some(handle.name()),
                    format!("its token is bound to the key of {}", peer.address.ip()),
                );
                return Ok(handle.clone());
            }
            verdict @ (Verdict::OtherKey | Verdict::NoKey) => {
                let why = match verdict {
                    Verdict::NoKey => "without a client certificate",
                    _ => "with another key than the one it is bound to",
                };
                engine.events.note(
                    Some(handle.name()),
                    format!("audit: its token was presented by {} {why}; refused", peer.address.ip()),
                );
                return Err(refuse(StatusCode::UNAUTHORIZED, format!("the token was presented {why}"), None));
            }
        }
    }
    engine
        .events
        .note(None, format!("audit: an unknown token was presented by {}; refused", peer.address.ip()));
    Err(refuse(StatusCode::UNAUTHORIZED, "the token is not known", None))
}

/// Why this machine is not the one that the token was made for.
fn wrong_machine(boot_mac: &str, inventory: &Inventory) -> Option<String> {
    let macs: Vec<&str> = inventory.interfaces.iter().map(|interface| interface.mac.as_str()).collect();
    if macs.iter().any(|mac| mac.eq_ignore_ascii_case(boot_mac)) {
        return None;
    }
    Some(format!(
        "the machine has no interface with the expected MAC address {boot_mac}, but {}",
        macs.join(", ")
    ))
}

/// The host's own address in the machine network: of the interface that it boots from if it has one there, else the
/// one that it called from.
fn address(inventory: &Inventory, network: &ipnet::Ipv4Net, caller: IpAddr) -> Option<Ipv4Addr> {
    let inside = |address: &IpAddr| match address {
        IpAddr::V4(address) if network.contains(address) => Some(*address),
        _ => None,
    };
    let mut own = inventory.interfaces.iter().flat_map(|interface| &interface.addresses);
    let called = inside(&caller);
    called.or_else(|| own.find_map(inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::inventory::Interface;

    fn inventory(addresses: &[&str]) -> Inventory {
        let interface = Interface {
            mac: "52:54:00:00:00:01".into(),
            addresses: addresses.iter().map(|text| text.parse().expect("address")).collect(),
            ..Interface::default()
        };
        Inventory { interfaces: vec![interface], ..Inventory::default() }
    }

    #[test]
    fn a_machine_without_the_expected_interface_is_not_the_host() {
        assert_eq!(wrong_machine("52:54:00:00:00:01", &inventory(&[])), None);
        assert!(wrong_machine("52:54:00:00:00:02", &inventory(&[])).is_some());
    }

    #[test]
    fn the_address_is_the_one_in_the_machine_network() {
        let network = "192.0.2.0/24".parse().expect("network");
        let inventory = inventory(&["198.51.100.7", "192.0.2.7"]);
        assert_eq!(address(&inventory, &network, [198, 51, 100, 7].into()), Some([192, 0, 2, 7].into()));
        assert_eq!(address(&inventory, &network, [192, 0, 2, 8].into()), Some([192, 0, 2, 8].into()));
    }

    #[test]
    fn a_wipe_that_left_something_is_no_wipe() {
        assert_eq!(still_there(&[("/dev/vda".into(), vec![])]), None);
        let left = [("/dev/vda".into(), vec!["GPT".into()])];
        assert_eq!(still_there(&left).as_deref(), Some("/dev/vda still holds GPT"));
    }
}
