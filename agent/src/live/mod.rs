//! The live system: say who we are, ask the engine what to do, do it, report. The engine may stop and come back at
//! any time; a task goes on meanwhile, and a finished one is reported again and not repeated.

mod alone;
mod bootstrap;
mod done;
mod engine;
mod engine_clock;
mod identity;
mod network;
mod trust;
mod work;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use ashlar_host::{clock, inventory};
use ashlar_model::agent_api::{Enroll, HostView, Task};
use ashlar_model::release::Release;

use crate::console::Console;

const HOST_VIEW: &str = "/run/ashlar/host.json";
const MEDIUM: &str = "/run/ashlar/medium";

pub async fn run() -> anyhow::Result<()> {
    let view = read_view(Path::new(HOST_VIEW))?;
    set_clock(view.issued_at);
    let console = Arc::new(Console::new(&view.host, &view.cluster, "live system"));
    console.release(release_version(Path::new(MEDIUM)));
    let identity = identity::load_or_make(&view.host)?;
    network::write_keyfiles(&view.network_keyfiles).await?;
    trust::add(&view.ca_bundle_pem)?;
    if view.engine_urls.is_empty() {
        return alone::run(&view, &identity, &console).await;
    }
    let addresses = network::wait_for_address(&console).await;
    console.addresses(addresses);
    console.doing("reading what this machine is made of");
    let enroll = Enroll {
        host: view.host.clone(),
        inventory: inventory::read().await,
        boot_id: boot_id(),
        release: release_version(Path::new(MEDIUM)),
    };
    let mut engine = engine::Engine::new(&view, &identity, enroll, &console)?;
    let worker = work::Worker::new(&view, &identity, &console);
    let mut task = engine.enroll().await;
    loop {
        task = match task {
            Task::Wait => engine.next_task().await,
            task => {
                let result = worker.perform(&task, &mut engine).await;
                engine.post_result(&result).await
            }
        };
    }
}

/// A medium that nobody wrote to has none.
fn read_view(path: &Path) -> anyhow::Result<HostView> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HostView::default()),
        read => read.with_context(|| format!("reading {}", path.display()))?,
    };
    let view: HostView =
        serde_json::from_slice(&text).with_context(|| format!("reading the JSON of {}", path.display()))?;
    anyhow::ensure!(
        view.version == 1,
        "{} has version {}; this agent reads version 1",
        path.display(),
        view.version
    );
    Ok(view)
}

/// Before anything is made or checked that is valid for a time only.
fn set_clock(not_before: u64) {
    match clock::not_before(not_before) {
        Ok(true) => tracing::warn!("this machine's clock was behind: it is set to when the medium was made"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "this machine's clock is behind and cannot be set"),
    }
}

/// Containers share the kernel's boot id: one of our own per live system is unambiguous.
fn boot_id() -> String {
    let path = Path::new(identity::DIRECTORY).join("boot-id");
    if let Ok(id) = std::fs::read_to_string(&path) {
        return id;
    }
    let id = uuid::Uuid::new_v4().to_string();
    if let Err(error) = crate::durable::write(&path, id.as_bytes(), 0o600) {
        tracing::warn!(%error, "the boot id is not kept");
    }
    id
}

fn release_version(medium: &Path) -> String {
    let read = std::fs::read(medium.join("release.json")).ok();
    let release = read.and_then(|text| serde_json::from_slice::<Release>(&text).ok());
    release.map(|release| release.version).unwrap_or_default()
}
