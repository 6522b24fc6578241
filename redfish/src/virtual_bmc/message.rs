//! Redfish messages of the Base registry, and the error bodies made of them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

const REGISTRY: &str = "Base.1.18";

#[derive(Debug, Clone)]
pub(super) struct Message {
    name: &'static str,
    text: String,
    args: Vec<String>,
    related: Option<String>,
    resolution: &'static str,
}

impl Message {
    pub(super) fn new(name: &'static str, text: String, args: &[&str], resolution: &'static str) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { name, text, args, related: None, resolution }
    }

    pub(super) fn about(mut self, property: &str) -> Self {
        self.related = Some(format!("#/{property}"));
        self
    }

    pub(super) fn to_value(&self) -> Value {
        let mut value = json!({
            "@odata.type": "#Message.v1_2_1.Message",
            "MessageId": format!("{REGISTRY}.{}", self.name),
            "Message": self.text,
            "MessageArgs": self.args,
            "MessageSeverity": "Critical",
            "Resolution": self.resolution,
        });
        if let Some(related) = &self.related {
            value["RelatedProperties"] = json!([related]);
        }
        value
    }

    pub(super) fn with(self, status: StatusCode) -> Response {
        refuse(status, &[self])
    }
}

pub(super) fn refuse(status: StatusCode, messages: &[Message]) -> Response {
    let listed: Vec<Value> = messages.iter().map(Message::to_value).collect();
    let body = json!({"error": {
        "code": format!("{REGISTRY}.GeneralError"),
        "message": "A general error has occurred. See ExtendedInfo for more information.",
        "@Message.ExtendedInfo": listed,
    }});
    (status, Json(body)).into_response()
}

pub(super) fn bad_request(message: Message) -> Response {
    message.with(StatusCode::BAD_REQUEST)
}

pub(super) fn general(text: impl Into<String>) -> Message {
    Message::new("GeneralError", text.into(), &[], "See the message.")
}

pub(super) fn internal(text: &str) -> Response {
    Message::new(
        "InternalError",
        format!("The request failed due to an internal service error. {text}"),
        &[],
        "Resubmit the request. If the problem persists, look at the machine behind this BMC.",
    )
    .with(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(super) fn not_found(path: &str) -> Response {
    Message::new(
        "ResourceMissingAtURI",
        format!("The resource at the URI '{path}' was not found."),
        &[path],
        "Place a valid resource at the URI or correct the URI and resubmit the request.",
    )
    .with(StatusCode::NOT_FOUND)
}

pub(super) fn malformed() -> Response {
    bad_request(Message::new(
        "MalformedJSON",
        "The request body submitted was malformed JSON and could not be parsed by the receiving service."
            .into(),
        &[],
        "Ensure that the request body is valid JSON and resubmit the request.",
    ))
}

pub(super) fn property_unknown(name: &str) -> Message {
    Message::new(
        "PropertyUnknown",
        format!("The property {name} is not in the list of valid properties for the resource."),
        &[name],
        "Remove the unknown property from the request body and resubmit the request.",
    )
    .about(name)
}

pub(super) fn property_not_writable(name: &str) -> Message {
    Message::new(
        "PropertyNotWritable",
        format!("The property {name} is a read-only property and cannot be assigned a value."),
        &[name],
        "Remove the property from the request body and resubmit the request.",
    )
    .about(name)
}

pub(super) fn property_missing(name: &str) -> Message {
    Message::new(
        "PropertyMissing",
        format!("The property {name} is a required property and must be included in the request."),
        &[name],
        "Ensure that the property is in the request body and has a valid value.",
    )
    .about(name)
}

pub(super) fn property_value(name: &str, value: &Value) -> Message {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Message::new(
        "PropertyValueNotInList",
        format!("The value '{shown}' for the property {name} is not in the list of acceptable values."),
        &[&shown, name],
        "Choose a value from the enumeration list and resubmit the request.",
    )
    .about(name)
}

pub(super) fn parameter_missing(action: &str, name: &str) -> Message {
    Message::new(
        "ActionParameterMissing",
        format!("The action {action} requires the parameter {name} to be present in the request body."),
        &[action, name],
        "Supply the action with the required parameter in the request body.",
    )
    .about(name)
}

pub(super) fn parameter_unknown(action: &str, name: &str) -> Message {
    Message::new(
        "ActionParameterUnknown",
        format!("The action {action} was submitted with the invalid parameter {name}."),
        &[action, name],
        "Correct the invalid parameter and resubmit the request.",
    )
    .about(name)
}

pub(super) fn parameter_value(action: &str, name: &str, value: &Value) -> Message {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Message::new(
        "ActionParameterValueNotInList",
        format!("The value '{shown}' for the parameter {name} in the action {action} is not acceptable."),
        &[&shown, name, action],
        "Choose a value from the list of acceptable values and resubmit the request.",
    )
    .about(name)
}

pub(super) fn precondition(status: StatusCode) -> Response {
    let (name, text) = match status {
        StatusCode::PRECONDITION_REQUIRED => (
            "PreconditionRequired",
            "A precondition header or annotation is required to change this resource.",
        ),
        _ => (
            "PreconditionFailed",
            "The ETag supplied did not match the ETag required to change this resource.",
        ),
    };
    Message::new(name, text.into(), &[], "Read the resource again and resubmit the request with its ETag.")
        .with(status)
}
