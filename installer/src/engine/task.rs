//! What a host's live system is told to do next.

use ashlar_model::agent_api::{BootstrapTask, InstallTask, Task, WipeTask};
use ashlar_model::bootstrap_api::Bundle;
use ashlar_model::config::Role;
use ashlar_model::event::What;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Engine;
use super::disk::ChosenDisk;
use super::handle::Handle;
use super::host::{Input, Purpose, State};
use super::steps::serve;
use crate::failure::Failure;
use crate::machine_configs;

/// Hands out the host's task if it has one now; that it was handed out is durable before this returns.
///
/// # Errors
/// The journal cannot be written, or a step that must come first did not run.
pub fn take(engine: &Engine, handle: &Handle) -> Result<Task, Failure> {
    let record = handle.record();
    if !record.state.is_live() {
        return Ok(Task::Wait);
    }
    let Some(disk) = record.disk.filter(|_| may_begin(engine, handle)) else { return Ok(Task::Wait) };
    let task = match handle.purpose {
        Purpose::Install => install(engine, handle, &disk)?,
        Purpose::Bootstrap => bootstrap(engine, handle, &disk)?,
        Purpose::Wipe => Task::Wipe(WipeTask { disks: vec![described(&disk)] }),
    };
    if matches!(record.state, State::Enrolled { .. }) {
        handle.update(engine, |record| record.touched = true)?;
        let act = match handle.purpose {
            Purpose::Wipe => "wipe",
            Purpose::Install | Purpose::Bootstrap => "overwrite",
        };
        let target = |disk: &ChosenDisk| {
            format!("{} (serial {})", disk.name, disk.serial.as_deref().unwrap_or("unknown"))
        };
        let tell = |act: &str, disk: &ChosenDisk| {
            let what = What::Destructive { act: act.into(), target: target(disk) };
            engine.events.emit(Some(handle.name()), what);
        };
        tell(act, &disk);
        disk.old_systems.iter().for_each(|old| tell("erase the Ashlar system on", old));
        handle.apply(engine, &Input::TaskTaken(handle.purpose))?;
    }
    Ok(task)
}

fn described(disk: &ChosenDisk) -> (String, Option<String>, u64) {
    (disk.name.clone(), disk.serial.clone(), disk.size_bytes)
}

/// No node's disk is touched before all masters' disks are decided: a wrong hint for the third must not cost the
/// first two theirs. Workers need the bootstrap's address.
fn may_begin(engine: &Engine, handle: &Handle) -> bool {
    if handle.purpose != Purpose::Install {
        return true;
    }
    let bootstrap = engine.bootstrap().map(|bootstrap| bootstrap.record());
    let serving = bootstrap.as_ref().is_none_or(|bootstrap| {
        matches!(bootstrap.state, State::Serving { .. } | State::Finished | State::Removed)
    });
    if engine.options.write_after_serving && !serving {
        return false;
    }
    let decided = engine.masters().all(|master| {
        let record = master.record();
        record.disk.is_some() || record.state.has_system()
    });
    let addressed = bootstrap.is_none_or(|bootstrap| bootstrap.address.is_some());
    decided && (handle.config.role != Role::Worker || addressed)
}

fn install(engine: &Engine, handle: &Handle, disk: &ChosenDisk) -> Result<Task, Failure> {
    let vip = engine.configuration.install.api_vip;
    let bootstrap = engine.bootstrap().and_then(|bootstrap| bootstrap.record().address);
    // The API address may move to a master while a worker boots; the bootstrap keeps its own until it ends.
    let server = match (handle.config.role, bootstrap) {
        (Role::Worker, Some(bootstrap)) => bootstrap,
        _ => vip,
    };
    Ok(Task::Install(InstallTask {
        disk: disk.name.clone(),
        disk_serial: disk.serial.clone(),
        disk_size_bytes: disk.size_bytes,
        wipe_consent: consent(engine, handle),
        old_systems: disk.old_systems.iter().map(described).collect(),
        ignition: first_config(
            &server.to_string(),
            handle.config.role.as_str(),
            &serve::network_keyfiles(&handle.config)?,
        ),
        server_ca_pem: engine.keys()?.install_ca.certificate_pem.clone(),
        verify: engine.options.verify_disks,
    }))
}

fn bootstrap(engine: &Engine, handle: &Handle, disk: &ChosenDisk) -> Result<Task, Failure> {
    let bundle = Bundle {
        cluster: engine.cluster()?,
        bootstrap_host: handle.name().to_owned(),
        hosts: engine.host_records(),
        keys: engine.keys()?.clone(),
        machine_configs: engine.configuration.machine_configs.clone(),
    };
    machine_configs::remember(engine)?;
    Ok(Task::Bootstrap(Box::new(BootstrapTask {
        disk: disk.name.clone(),
        disk_serial: disk.serial.clone(),
        disk_size_bytes: disk.size_bytes,
        wipe_consent: consent(engine, handle),
        bundle,
    })))
}

fn consent(engine: &Engine, handle: &Handle) -> bool {
    engine.options.consent.covers(handle.name()) || handle.record().touched
}

/// What an installed host starts from: its network, and where everything else comes from. The first boot brings up
/// what this config (not one that it merges) puts below `/etc/NetworkManager/system-connections`.
fn first_config(server: &str, role: &str, keyfiles: &[(String, String)]) -> Value {
    let files: Vec<Value> = keyfiles
        .iter()
        .map(|(name, contents)| {
            let source = format!("data:;base64,{}", STANDARD.encode(contents));
            let path = format!("/etc/NetworkManager/system-connections/{name}");
            json!({"path": path, "mode": 0o600, "overwrite": true, "contents": {"source": source}})
        })
        .collect();
    json!({
        "ignition": {
            "version": "3.5.0",
            "config": {"merge": [{"source": format!("https://{server}:22623/config/{role}")}]},
        },
        "storage": {"files": files},
    })
}
