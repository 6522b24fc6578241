//! The virtual CD: insert by action or by PATCH, eject, and what it shows.

use super::config::VirtualBmc;
use super::image_check;
use super::machine::Medium;
use super::message::{
    Message, bad_request, internal, parameter_missing, parameter_unknown, parameter_value, property_unknown,
    refuse,
};
use super::reply::{
    READ, READ_WRITE, check_etag, collection as collection_of, no_content, read_object, resource,
};
use super::system::set;
use crate::client::Trust;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Bmc = State<Arc<VirtualBmc>>;

const INSERT: &str = "VirtualMedia.InsertMedia";
const PARAMETERS: &[&str] = &[
    "Image",
    "Inserted",
    "WriteProtected",
    "TransferProtocolType",
    "TransferMethod",
    "UserName",
    "Password",
];

pub(super) async fn collection(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let path = format!("{}/VirtualMedia", bmc.manager_path());
    let ids = bmc.traits.dead_media_id.into_iter().chain([bmc.traits.media_id]);
    let members = ids.map(|id| format!("{path}/{id}")).collect();
    resource(&headers, collection_of(&path, "VirtualMedia", members), READ)
}

pub(super) async fn read(State(bmc): Bmc, headers: HeaderMap) -> Response {
    resource(&headers, render(&bmc), READ_WRITE)
}

pub(super) async fn write(State(bmc): Bmc, headers: HeaderMap, body: Bytes) -> Response {
    let changes = check_etag(&headers, &render(&bmc), bmc.traits.etags).and_then(|()| read_object(&body));
    let changes = match changes {
        Ok(changes) => changes,
        Err(refused) => return refused,
    };
    match changes.get("Image").filter(|_| bmc.traits.media_by_patch) {
        Some(Value::Null) => take_out(&bmc),
        Some(_) => put_in(&bmc, &changes).await,
        None => change_settings(&bmc, &changes),
    }
}

pub(super) async fn insert(State(bmc): Bmc, body: Bytes) -> Response {
    match read_object(&body) {
        Ok(parameters) => put_in(&bmc, &parameters).await,
        Err(refused) => refused,
    }
}

pub(super) async fn eject(State(bmc): Bmc) -> Response {
    if bmc.traits.strict_eject && bmc.medium().is_none() {
        return internal("No virtual media devices are currently connected.");
    }
    take_out(&bmc)
}

pub(super) async fn read_dead(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let id = bmc.traits.dead_media_id.unwrap_or_default();
    resource(&headers, render_slot(&bmc, id, bmc.state().unseen_medium), READ_WRITE)
}

/// The slot that does not boot takes any image and shows it, as if all were well.
pub(super) async fn change_dead(State(bmc): Bmc, body: Bytes) -> Response {
    let image = match read_object(&body) {
        Ok(parameters) => parameters.get("Image").and_then(Value::as_str).map(str::to_owned),
        Err(refused) => return refused,
    };
    let medium =
        image.map(|url| Medium { image_name: url.rsplit('/').next().unwrap_or_default().into(), url });
    save(bmc.change(|state| state.unseen_medium = medium))
}

async fn put_in(bmc: &VirtualBmc, parameters: &Map<String, Value>) -> Response {
    if bmc.strikes(|faults| &mut faults.failing_inserts) {
        return internal("The medium could not be attached.");
    }
    if bmc.strikes(|faults| &mut faults.forgotten_inserts) {
        return no_content();
    }
    let image = match accept_parameters(bmc, parameters) {
        Ok(image) => image,
        Err(message) => return bad_request(message),
    };
    if bmc.medium().is_some() {
        return occupied();
    }
    let trust = if bmc.state().verify_certificate { no_authorities() } else { Trust::Insecure };
    let url = match image_check::parse(image, bmc.traits.only_https) {
        Ok(url) => url,
        Err(message) => return bad_request(message),
    };
    if let Err(message) = image_check::check(&url, trust, bmc.config.image_timeout).await {
        return bad_request(message);
    }
    let medium = Medium { url: url.to_string(), image_name: image_check::image_name(&url) };
    let default = !bmc.traits.media_default_to_writable;
    let write_protected = parameters.get("WriteProtected").and_then(Value::as_bool).unwrap_or(default);
    save(bmc.change(|state| {
        state.medium = Some(medium);
        state.write_protected = write_protected;
    }))
}

/// The image of an insert whose other parameters are all right.
fn accept_parameters<'a>(bmc: &VirtualBmc, parameters: &'a Map<String, Value>) -> Result<&'a str, Message> {
    if let Some(unknown) = parameters.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(parameter_unknown(INSERT, unknown));
    }
    if bmc.traits.refuses_inserted
        && let Some(name) =
            ["Inserted", "WriteProtected"].into_iter().find(|name| parameters.contains_key(*name))
    {
        return Err(property_unknown(name));
    }
    if bmc.traits.wants_protocol && !parameters.contains_key("TransferProtocolType") {
        return Err(parameter_missing(INSERT, "TransferProtocolType"));
    }
    if let Some(value) = parameters.get("Inserted").filter(|value| **value != Value::Bool(true)) {
        return Err(parameter_value(INSERT, "Inserted", value));
    }
    if let Some(value) = parameters.get("TransferMethod").filter(|value| **value != "Stream") {
        return Err(parameter_value(INSERT, "TransferMethod", value));
    }
    let image = parameters.get("Image").ok_or_else(|| parameter_missing(INSERT, "Image"))?;
    image.as_str().ok_or_else(|| parameter_value(INSERT, "Image", image))
}

fn take_out(bmc: &VirtualBmc) -> Response {
    save(bmc.change(|state| {
        state.medium = None;
        state.write_protected = true;
    }))
}

fn change_settings(bmc: &VirtualBmc, changes: &Map<String, Value>) -> Response {
    let mut verify = bmc.state().verify_certificate;
    let mut wrong = vec![];
    for (name, value) in changes {
        match name.as_str() {
            "VerifyCertificate" => set(&mut verify, name, value, &mut wrong),
            name if name.starts_with("@odata.") => {}
            _ if render(bmc).get(name).is_some() => wrong.push(super::message::property_not_writable(name)),
            _ => wrong.push(property_unknown(name)),
        }
    }
    if !wrong.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, &wrong);
    }
    save(bmc.change(|state| state.verify_certificate = verify))
}

fn render(bmc: &VirtualBmc) -> Value {
    render_slot(bmc, bmc.traits.media_id, bmc.medium())
}

fn render_slot(bmc: &VirtualBmc, id: &str, medium: Option<Medium>) -> Value {
    let state = bmc.state();
    let path = format!("{}/VirtualMedia/{id}", bmc.manager_path());
    let mut value = json!({
        "@odata.id": path,
        "@odata.type": "#VirtualMedia.v1_6_4.VirtualMedia",
        "Id": id,
        "Name": format!("Virtual CD {id}"),
        "MediaTypes": ["CD", "DVD"],
        "Image": medium.as_ref().map(|medium| &medium.url),
        "ImageName": medium.as_ref().map(|medium| &medium.image_name),
        "Inserted": medium.is_some(),
        "ConnectedVia": if medium.is_some() { "URI" } else { "NotConnected" },
        "WriteProtected": state.write_protected,
        "TransferMethod": "Stream",
        "VerifyCertificate": state.verify_certificate,
    });
    if !bmc.traits.media_by_patch {
        value["Actions"] = json!({
            "#VirtualMedia.InsertMedia": {"target": format!("{path}/Actions/VirtualMedia.InsertMedia")},
            "#VirtualMedia.EjectMedia": {"target": format!("{path}/Actions/VirtualMedia.EjectMedia")},
        });
    }
    value
}

fn occupied() -> Response {
    Message::new(
        "ResourceInUse",
        "The change to the requested resource failed because the resource is in use or in transition.".into(),
        &[],
        "Eject the medium that is inserted and resubmit the request.",
    )
    .with(StatusCode::CONFLICT)
}

/// Verification without an authority to verify against fails for every certificate.
fn no_authorities() -> Trust {
    Trust::CertificateAuthority(String::new())
}

fn save(saved: std::io::Result<()>) -> Response {
    match saved {
        Ok(()) => no_content(),
        Err(error) => internal(&format!("Saving the BMC's state failed: {error}.")),
    }
}
