//! Tells the engine that installed this host why its first boot stopped: through the server that the config slot
//! names. Best effort, and short: the person in front of the machine is told in any case.

use std::time::Duration;

use ashlar_model::slot::Slot;
use url::Url;

use super::attempts::Attempt;
use super::machine::Machine;
use super::prepare::{fetcher, slot_origins};
use super::report::Failure;
use crate::resource::Request;

const PATH: &str = "/v1/first-boot-failure";
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a server took it; nothing when there is none to be told.
pub(super) async fn notify(machine: &Machine, slot: &Slot, failure: &Failure) -> Option<Result<(), String>> {
    slot.secret.as_ref()?;
    let body = serde_json::to_vec(&failure.told()).ok()?;
    let mut last = None;
    for origin in slot_origins(slot).into_iter().filter(|origin| origin.starts_with("https://")) {
        let request = Request {
            url: format!("{origin}{PATH}"),
            headers: Vec::new(),
            authorities: Vec::new(),
            timeouts: Default::default(),
            proxies: Default::default(),
            is_config: false,
        };
        let Ok(url) = Url::parse(&request.url) else { continue };
        let fetcher = fetcher(Some(slot), machine);
        let sent = tokio::time::timeout(PATIENCE, fetcher.post(&request, &url, body.clone())).await;
        match sent {
            Ok(Ok(())) => return Some(Ok(())),
            Ok(Err(Attempt::Again(cause) | Attempt::Final { cause, .. })) => last = Some(Err(cause)),
            Err(_) => last = Some(Err(format!("{origin} did not answer in {} s", PATIENCE.as_secs()))),
        }
    }
    last
}
