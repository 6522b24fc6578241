//! The account service: the roles that every service has. The one account is the rack's, set in its `Config`.

use super::reply::{READ, collection, resource};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

const ROLES: &str = "/redfish/v1/AccountService/Roles";
const PREDEFINED: &[(&str, &[&str])] = &[
    (
        "Administrator",
        &["Login", "ConfigureManager", "ConfigureUsers", "ConfigureSelf", "ConfigureComponents"],
    ),
    ("Operator", &["Login", "ConfigureSelf", "ConfigureComponents"]),
    ("ReadOnly", &["Login", "ConfigureSelf"]),
];

pub(super) async fn service(headers: HeaderMap) -> Response {
    let body = json!({
        "@odata.id": "/redfish/v1/AccountService",
        "@odata.type": "#AccountService.v1_18_1.AccountService",
        "Id": "AccountService",
        "Name": "Account Service",
        "ServiceEnabled": true,
        "Status": {"State": "Enabled", "Health": "OK"},
        "Roles": {"@odata.id": ROLES},
    });
    resource(&headers, body, READ)
}

pub(super) async fn roles(headers: HeaderMap) -> Response {
    let members = PREDEFINED.iter().map(|(name, _)| format!("{ROLES}/{name}")).collect();
    resource(&headers, collection(ROLES, "Role", members), READ)
}

pub(super) async fn role(Path(id): Path<String>, headers: HeaderMap) -> Response {
    let Some((name, privileges)) = PREDEFINED.iter().find(|(name, _)| *name == id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = json!({
        "@odata.id": format!("{ROLES}/{name}"),
        "@odata.type": "#Role.v1_3_3.Role",
        "Id": name,
        "Name": format!("{name} role"),
        "RoleId": name,
        "IsPredefined": true,
        "AssignedPrivileges": privileges,
    });
    resource(&headers, body, READ)
}
