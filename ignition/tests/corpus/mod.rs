//! Configurations for the comparison with the reference: handwritten ones, and ones made by a seeded generator.
//! All are of spec 3.0 to 3.3, which is what the reference in Debian knows.

mod generated;
mod handwritten;
mod resources;
mod storage;
mod system;

use serde_json::Value;

pub struct Case {
    pub name: String,
    pub text: String,
    /// Why our verdict differs from that of the reference, when it is meant to.
    #[allow(dead_code, reason = "only verdicts differ")]
    pub differs: Option<&'static str>,
}

impl Case {
    fn new(name: impl Into<String>, value: &Value) -> Self {
        Self { name: name.into(), text: value.to_string(), differs: None }
    }
}

/// `value` with a version; the sections are as given.
pub fn versioned(version: &str, mut value: Value) -> Value {
    if !value["ignition"].is_object() {
        value["ignition"] = Value::Object(serde_json::Map::new());
    }
    value["ignition"]["version"] = version.into();
    value
}

pub fn cases() -> Vec<Case> {
    let mut cases = handwritten::cases();
    cases.extend(generated::cases());
    cases
}
