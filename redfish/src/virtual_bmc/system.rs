//! The ComputerSystem: what it shows, its boot override, and its reset.

use super::boot::{BootEnabled, BootOverride, BootTarget, PowerPolicy};
use super::config::VirtualBmc;
use super::message::{
    Message, bad_request, internal, parameter_missing, parameter_unknown, parameter_value, property_missing,
    property_not_writable, property_unknown, property_value, refuse,
};
use super::reply::{
    READ, READ_WRITE, check_etag, collection as collection_of, insert, no_content, read_object, resource,
};
use super::resets::OFFERED;
use super::tasks::Outcome;
use crate::power::{PowerState, ResetType};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Bmc = State<Arc<VirtualBmc>>;

pub(super) async fn collection(State(bmc): Bmc, headers: HeaderMap) -> Response {
    resource(&headers, collection_of("/redfish/v1/Systems", "ComputerSystem", vec![bmc.system_path()]), READ)
}

pub(super) async fn read(State(bmc): Bmc, headers: HeaderMap) -> Response {
    resource(&headers, render(&bmc).await, READ_WRITE)
}

pub(super) async fn write(State(bmc): Bmc, headers: HeaderMap, body: Bytes) -> Response {
    let current = render(&bmc).await;
    let done = check_etag(&headers, &current, bmc.traits.etags)
        .and_then(|()| read_object(&body))
        .and_then(|changes| apply(&bmc, &current, &changes, !bmc.traits.boot_in_settings));
    done.map_or_else(|refused| refused, |()| no_content())
}

/// The settings object of the personalities that have one: boot properties only.
pub(super) async fn settings(State(bmc): Bmc, headers: HeaderMap) -> Response {
    resource(&headers, render_settings(&bmc).await, READ_WRITE)
}

pub(super) async fn write_settings(State(bmc): Bmc, headers: HeaderMap, body: Bytes) -> Response {
    let current = render_settings(&bmc).await;
    let done = check_etag(&headers, &current, bmc.traits.etags)
        .and_then(|()| read_object(&body))
        .and_then(|changes| apply(&bmc, &current, &changes, true));
    done.map_or_else(|refused| refused, |()| no_content())
}

pub(super) async fn reset(State(bmc): Bmc, body: Bytes) -> Response {
    let kind = match read_object(&body).and_then(|parameters| reset_type(&parameters)) {
        Ok(kind) => kind,
        Err(refused) => return refused,
    };
    let is_on = bmc.machine.power_state().await == PowerState::On;
    if bmc.strikes(|faults| &mut faults.refused_resets)
        || (bmc.traits.strict_power && kind == ResetType::On && is_on)
    {
        return conflict(kind);
    }
    let name = format!("Reset {kind}");
    match bmc.tasks.run(name, bmc.config.reply_within, bmc.clone().perform(kind)).await {
        Outcome::Done(Ok(())) => no_content(),
        Outcome::Done(Err(cause)) => internal(&cause),
        Outcome::Running(id) => accepted(&bmc, id),
    }
}

pub(super) async fn interfaces(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let path = format!("{}/EthernetInterfaces", bmc.system_path());
    let members =
        bmc.machine.inventory().interfaces.iter().map(|each| format!("{path}/{}", each.id)).collect();
    resource(&headers, collection_of(&path, "EthernetInterface", members), READ)
}

pub(super) async fn interface(State(bmc): Bmc, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let inventory = bmc.machine.inventory();
    let Some(found) = inventory.interfaces.iter().find(|each| each.id == id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = json!({
        "@odata.id": format!("{}/EthernetInterfaces/{id}", bmc.system_path()),
        "@odata.type": "#EthernetInterface.v1_12_2.EthernetInterface",
        "Id": id,
        "Name": format!("Ethernet interface {id}"),
        "MACAddress": found.mac,
        "PermanentMACAddress": found.mac,
        "InterfaceEnabled": true,
        "LinkStatus": "LinkUp",
        "Status": {"State": "Enabled", "Health": "OK"},
    });
    resource(&headers, body, READ)
}

pub(super) async fn render(bmc: &VirtualBmc) -> Value {
    let (inventory, state, path) = (bmc.machine.inventory(), bmc.state(), bmc.system_path());
    let mut value = json!({
        "@odata.id": path,
        "@odata.type": "#ComputerSystem.v1_22_2.ComputerSystem",
        "Id": bmc.traits.system_id,
        "Name": "System",
        "SystemType": "Virtual",
        "Manufacturer": inventory.manufacturer,
        "Model": inventory.model,
        "SerialNumber": inventory.serial,
        "UUID": inventory.uuid,
        "BiosVersion": inventory.bios_version,
        "AssetTag": state.asset_tag,
        "LocationIndicatorActive": state.indicator,
        "PowerState": bmc.machine.power_state().await,
        "PowerRestorePolicy": state.power_policy,
        "Status": {"State": "Enabled", "Health": "OK"},
        "ProcessorSummary": {
            "Count": inventory.processors,
            "CoreCount": inventory.cores,
            "Model": inventory.processor_model,
        },
        "MemorySummary": {"TotalSystemMemoryGiB": inventory.memory_bytes as f64 / f64::from(1 << 30)},
        "Boot": render_boot(state.boot),
        "EthernetInterfaces": {"@odata.id": format!("{path}/EthernetInterfaces")},
        "VirtualMedia": {"@odata.id": format!("{}/VirtualMedia", bmc.manager_path())},
        "Links": {
            "Chassis": [{"@odata.id": "/redfish/v1/Chassis/1"}],
            "ManagedBy": [{"@odata.id": bmc.manager_path()}],
        },
        "Actions": {"#ComputerSystem.Reset": {
            "target": format!("{path}/Actions/ComputerSystem.Reset"),
            "ResetType@Redfish.AllowableValues": OFFERED,
        }},
    });
    if bmc.traits.boot_in_settings {
        value["@Redfish.Settings"] = json!({
            "@odata.type": "#Settings.v1_4_0.Settings",
            "SettingsObject": {"@odata.id": format!("{path}/Settings")},
        });
    }
    value
}

async fn render_settings(bmc: &VirtualBmc) -> Value {
    json!({
        "@odata.id": format!("{}/Settings", bmc.system_path()),
        "@odata.type": "#ComputerSystem.v1_22_2.ComputerSystem",
        "Id": "Settings",
        "Name": "System settings",
        "Boot": render_boot(bmc.state().boot),
    })
}

fn render_boot(boot: BootOverride) -> Value {
    json!({
        "BootSourceOverrideEnabled": boot.enabled,
        "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Once", "Continuous"],
        "BootSourceOverrideTarget": boot.target,
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "UsbCd", "Hdd"],
        "BootSourceOverrideMode": boot.mode,
        "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI", "Legacy"],
    })
}

/// All changes or none.
fn apply(
    bmc: &VirtualBmc,
    shown: &Value,
    changes: &Map<String, Value>,
    boot_is_writable: bool,
) -> Result<(), Response> {
    let mut state = bmc.state();
    let mut wrong: Vec<Message> = vec![];
    for (name, value) in changes {
        match name.as_str() {
            name if name.starts_with("@odata.") => {}
            "Boot" if !boot_is_writable => wrong.push(property_not_writable("Boot")),
            "Boot" => match changed_boot(bmc, state.boot, value) {
                Ok(boot) => state.boot = boot,
                Err(messages) => wrong.extend(messages),
            },
            "LocationIndicatorActive" => set(&mut state.indicator, name, value, &mut wrong),
            "AssetTag" => set(&mut state.asset_tag, name, value, &mut wrong),
            "PowerRestorePolicy" => set::<PowerPolicy>(&mut state.power_policy, name, value, &mut wrong),
            _ if shown.get(name).is_some() => wrong.push(property_not_writable(name)),
            _ => wrong.push(property_unknown(name)),
        }
    }
    if !wrong.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, &wrong));
    }
    let save = |current: &mut super::state::State| {
        current.boot = state.boot;
        current.indicator = state.indicator;
        current.asset_tag = state.asset_tag;
        current.power_policy = state.power_policy;
    };
    bmc.change(save).map_err(|error| internal(&format!("Saving the BMC's state failed: {error}.")))
}

fn changed_boot(
    bmc: &VirtualBmc,
    mut boot: BootOverride,
    value: &Value,
) -> Result<BootOverride, Vec<Message>> {
    let Some(changes) = value.as_object() else { return Err(vec![property_value("Boot", value)]) };
    let mut wrong = vec![];
    for (name, value) in changes {
        match name.as_str() {
            "BootSourceOverrideEnabled" => set(&mut boot.enabled, name, value, &mut wrong),
            "BootSourceOverrideTarget" => set(&mut boot.target, name, value, &mut wrong),
            "BootSourceOverrideMode" => set(&mut boot.mode, name, value, &mut wrong),
            _ => wrong.push(property_unknown(name)),
        }
    }
    for name in ["BootSourceOverrideEnabled", "BootSourceOverrideTarget", "BootSourceOverrideMode"] {
        if bmc.traits.wants_full_boot && !changes.contains_key(name) {
            wrong.push(property_missing(name));
        }
    }
    let cleared = boot.enabled == BootEnabled::Disabled && boot.target == BootTarget::None;
    if cleared && bmc.traits.clears_boot_with_real_target {
        wrong.push(property_value("BootSourceOverrideTarget", &json!("None")));
    }
    if boot.enabled == BootEnabled::Disabled {
        boot.target = BootTarget::None;
    }
    if wrong.is_empty() { Ok(boot) } else { Err(wrong) }
}

pub(super) fn set<T: DeserializeOwned>(field: &mut T, name: &str, value: &Value, wrong: &mut Vec<Message>) {
    match serde_json::from_value(value.clone()) {
        Ok(value) => *field = value,
        Err(_) => wrong.push(property_value(name, value)),
    }
}

fn reset_type(parameters: &Map<String, Value>) -> Result<ResetType, Response> {
    const ACTION: &str = "ComputerSystem.Reset";
    if let Some(unknown) = parameters.keys().find(|name| *name != "ResetType") {
        return Err(bad_request(parameter_unknown(ACTION, unknown)));
    }
    let Some(value) = parameters.get("ResetType") else {
        return Err(bad_request(parameter_missing(ACTION, "ResetType")));
    };
    let kind = value.as_str().and_then(ResetType::parse).filter(|kind| OFFERED.contains(kind));
    kind.ok_or_else(|| bad_request(parameter_value(ACTION, "ResetType", value)))
}

fn conflict(kind: ResetType) -> Response {
    Message::new(
        "ActionParameterValueConflict",
        format!("The parameter ResetType with the requested value of {kind} does not meet the constraints of the implementation."),
        &["ResetType", &kind.to_string()],
        "Wait until the system is in a state that allows the reset.",
    )
    .with(StatusCode::CONFLICT)
}

fn accepted(bmc: &VirtualBmc, id: u64) -> Response {
    let path = format!("/redfish/v1/TaskService/Tasks/{id}");
    let body = bmc.tasks.get(id).map(|task| task.to_value(&path, id));
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    insert(&mut response, LOCATION, &format!("/redfish/v1/TaskService/TaskMonitors/{id}"));
    insert(&mut response, RETRY_AFTER, "1");
    response
}
