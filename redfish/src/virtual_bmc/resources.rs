//! The resources around the system: root, sessions, tasks, chassis, manager, and the two OData documents.

use super::config::VirtualBmc;
use super::guard::{unauthorized, unavailable};
use super::message::{Message, bad_request, property_missing};
use super::reply::{READ, collection, insert, no_content, read_object, resource};
use super::tasks::now;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

type Bmc = State<Arc<VirtualBmc>>;

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const TASKS: &str = "/redfish/v1/TaskService/Tasks";
const METADATA: &str = include_str!("metadata.xml");

pub(super) async fn versions() -> Response {
    Json(json!({"v1": "/redfish/v1/"})).into_response()
}

pub(super) async fn root(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let body = json!({
        "@odata.id": "/redfish/v1/",
        "@odata.type": "#ServiceRoot.v1_17_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.20.0",
        "UUID": manager_uuid(&bmc).to_string(),
        "Vendor": bmc.traits.vendor,
        "Product": "Ashlar virtual BMC",
        "Systems": {"@odata.id": "/redfish/v1/Systems"},
        "Chassis": {"@odata.id": "/redfish/v1/Chassis"},
        "Managers": {"@odata.id": "/redfish/v1/Managers"},
        "Tasks": {"@odata.id": "/redfish/v1/TaskService"},
        "AccountService": {"@odata.id": "/redfish/v1/AccountService"},
        "SessionService": {"@odata.id": "/redfish/v1/SessionService"},
        "Links": {"Sessions": {"@odata.id": SESSIONS}},
    });
    resource(&headers, body, READ)
}

pub(super) async fn odata() -> Response {
    let names = ["Systems", "Chassis", "Managers", "SessionService", "AccountService"];
    let services =
        names.map(|name| json!({"name": name, "kind": "Singleton", "url": format!("/redfish/v1/{name}")}));
    let root = json!({"name": "Service", "kind": "Singleton", "url": "/redfish/v1/"});
    let value: Vec<Value> = [root].into_iter().chain(services).collect();
    let mut response =
        Json(json!({"@odata.context": "/redfish/v1/$metadata", "value": value})).into_response();
    insert(&mut response, ALLOW, READ);
    response
}

pub(super) async fn metadata() -> Response {
    let mut response = METADATA.into_response();
    insert(&mut response, CONTENT_TYPE, "application/xml;charset=utf-8");
    insert(&mut response, ALLOW, READ);
    response
}

pub(super) async fn session_service(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let body = json!({
        "@odata.id": "/redfish/v1/SessionService",
        "@odata.type": "#SessionService.v1_1_9.SessionService",
        "Id": "SessionService",
        "Name": "Session Service",
        "ServiceEnabled": true,
        "SessionTimeout": bmc.config.session_timeout.as_secs(),
        "Status": {"State": "Enabled", "Health": "OK"},
        "Sessions": {"@odata.id": SESSIONS},
    });
    resource(&headers, body, READ)
}

pub(super) async fn sessions(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let members = bmc.sessions.ids().iter().map(|id| format!("{SESSIONS}/{id}")).collect();
    resource(&headers, collection(SESSIONS, "Session", members), "GET, HEAD, POST")
}

pub(super) async fn session(State(bmc): Bmc, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    match bmc.sessions.ids().contains(&id) {
        true => resource(&headers, render_session(&bmc, id), "GET, HEAD, DELETE"),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn log_in(State(bmc): Bmc, body: Bytes) -> Response {
    let object = match read_object(&body) {
        Ok(object) => object,
        Err(refused) => return refused,
    };
    let field =
        |name: &'static str| object.get(name).and_then(Value::as_str).ok_or_else(|| property_missing(name));
    let (user, password) = match (field("UserName"), field("Password")) {
        (Ok(user), Ok(password)) => (user, password),
        (Err(missing), _) | (_, Err(missing)) => return bad_request(missing),
    };
    if !bmc.accepts(user, password) {
        return unauthorized();
    }
    if bmc.strikes(|faults| &mut faults.refused_sessions) {
        return too_many_sessions();
    }
    let Ok((id, token)) = bmc.sessions.open() else { return too_many_sessions() };
    let mut response = (StatusCode::CREATED, Json(render_session(&bmc, id))).into_response();
    insert(&mut response, LOCATION, &format!("{SESSIONS}/{id}"));
    insert(&mut response, axum::http::HeaderName::from_static("x-auth-token"), &token);
    response
}

pub(super) async fn log_out(State(bmc): Bmc, Path(id): Path<u64>) -> Response {
    if bmc.sessions.end(id) { no_content() } else { StatusCode::NOT_FOUND.into_response() }
}

pub(super) async fn task_service(headers: HeaderMap) -> Response {
    let body = json!({
        "@odata.id": "/redfish/v1/TaskService",
        "@odata.type": "#TaskService.v1_2_1.TaskService",
        "Id": "TaskService",
        "Name": "Task Service",
        "ServiceEnabled": true,
        "DateTime": now().to_string(),
        "CompletedTaskOverWritePolicy": "Oldest",
        "LifeCycleEventOnTaskStateChange": false,
        "Status": {"State": "Enabled", "Health": "OK"},
        "Tasks": {"@odata.id": TASKS},
    });
    resource(&headers, body, READ)
}

pub(super) async fn tasks(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let members = bmc.tasks.ids().iter().map(|id| format!("{TASKS}/{id}")).collect();
    resource(&headers, collection(TASKS, "Task", members), READ)
}

pub(super) async fn task(State(bmc): Bmc, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    match bmc.tasks.get(id) {
        Some(task) => resource(&headers, task.to_value(&format!("{TASKS}/{id}"), id), READ),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// 202 while the task runs, then the task.
pub(super) async fn task_monitor(State(bmc): Bmc, Path(id): Path<u64>) -> Response {
    let Some(task) = bmc.tasks.get(id) else { return StatusCode::NOT_FOUND.into_response() };
    let body = Json(task.to_value(&format!("{TASKS}/{id}"), id));
    if !task.is_running() {
        return body.into_response();
    }
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    insert(&mut response, LOCATION, &format!("/redfish/v1/TaskService/TaskMonitors/{id}"));
    insert(&mut response, RETRY_AFTER, "1");
    response
}

pub(super) async fn chassis_collection(headers: HeaderMap) -> Response {
    let members = vec!["/redfish/v1/Chassis/1".to_owned()];
    resource(&headers, collection("/redfish/v1/Chassis", "Chassis", members), READ)
}

pub(super) async fn chassis(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let inventory = bmc.machine.inventory();
    let body = json!({
        "@odata.id": "/redfish/v1/Chassis/1",
        "@odata.type": "#Chassis.v1_25_1.Chassis",
        "Id": "1",
        "Name": "Chassis",
        "ChassisType": "RackMount",
        "Manufacturer": inventory.manufacturer,
        "Model": inventory.model,
        "SerialNumber": inventory.serial,
        "Status": {"State": "Enabled", "Health": "OK"},
        "Links": {
            "ComputerSystems": [{"@odata.id": bmc.system_path()}],
            "ManagedBy": [{"@odata.id": bmc.manager_path()}],
        },
    });
    resource(&headers, body, READ)
}

pub(super) async fn manager_collection(State(bmc): Bmc, headers: HeaderMap) -> Response {
    resource(&headers, collection("/redfish/v1/Managers", "Manager", vec![bmc.manager_path()]), READ)
}

pub(super) async fn manager(State(bmc): Bmc, headers: HeaderMap) -> Response {
    let path = bmc.manager_path();
    let body = json!({
        "@odata.id": path,
        "@odata.type": "#Manager.v1_19_1.Manager",
        "Id": bmc.traits.manager_id,
        "Name": "Manager",
        "ManagerType": "BMC",
        "Model": bmc.traits.manager_model,
        "FirmwareVersion": bmc.traits.firmware,
        "UUID": manager_uuid(&bmc).to_string(),
        "PowerState": "On",
        "Status": {"State": "Enabled", "Health": "OK"},
        "VirtualMedia": {"@odata.id": format!("{path}/VirtualMedia")},
        "Links": {
            "ManagerForServers": [{"@odata.id": bmc.system_path()}],
            "ManagerForChassis": [{"@odata.id": "/redfish/v1/Chassis/1"}],
            "ManagerInChassis": {"@odata.id": "/redfish/v1/Chassis/1"},
        },
    });
    resource(&headers, body, READ)
}

fn render_session(bmc: &VirtualBmc, id: u64) -> Value {
    json!({
        "@odata.id": format!("{SESSIONS}/{id}"),
        "@odata.type": "#Session.v1_7_2.Session",
        "Id": id.to_string(),
        "Name": "Session",
        "UserName": bmc.config.user,
        "Password": null,
        "SessionType": "Redfish",
    })
}

fn too_many_sessions() -> Response {
    let mut response = unavailable();
    let message = Message::new(
        "SessionLimitExceeded",
        "The session establishment failed due to the number of simultaneous sessions exceeding the limit."
            .into(),
        &[],
        "Reduce the number of other sessions before trying to establish the session.",
    );
    let headers = std::mem::take(response.headers_mut());
    let mut refused = message.with(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(after) = headers.get(RETRY_AFTER) {
        refused.headers_mut().insert(RETRY_AFTER, after.clone());
    }
    refused
}

/// One for each machine, the same after a restart.
fn manager_uuid(bmc: &VirtualBmc) -> Uuid {
    let own = Uuid::parse_str(&bmc.machine.inventory().uuid).unwrap_or_default();
    let mut bytes = *own.as_bytes();
    bytes[15] ^= 0xff;
    Uuid::from_bytes(bytes)
}
