//! The body of an insert: first the least that the standard asks for, then what the BMC says is missing.

use super::extended_info::Explanation;
use crate::quirks::Quirks;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
pub(super) struct Payload {
    body: Map<String, Value>,
    protocol: &'static str,
}

impl Payload {
    pub(super) fn new(url: &str, by_patch: bool, quirks: &Quirks) -> Self {
        let mut body = Map::new();
        body.insert("Image".into(), url.into());
        if by_patch {
            body.insert("Inserted".into(), true.into());
        }
        if by_patch || quirks.media_default_to_writable {
            body.insert("WriteProtected".into(), true.into());
        }
        Self { body, protocol: if url.starts_with("https:") { "HTTPS" } else { "HTTP" } }
    }

    pub(super) fn body(&self) -> Value {
        Value::Object(self.body.clone())
    }

    /// Adds or removes what a refusal is about; false when there is nothing left to change.
    pub(super) fn adapt(&mut self, refusal: &Explanation) -> bool {
        let unknown = refusal.has_id("PropertyUnknown")
            || refusal.has_id("ActionParameterUnknown")
            || refusal.says(&["not in the list of valid properties", "not supported", "unknown"]);
        for name in ["Inserted", "WriteProtected", "TransferMethod", "TransferProtocolType"] {
            if unknown && refusal.names(name) && self.body.shift_remove(name).is_some() {
                return true;
            }
        }
        for (name, value) in [
            ("TransferProtocolType", json!(self.protocol)),
            ("TransferMethod", json!("Stream")),
            ("Inserted", json!(true)),
            ("WriteProtected", json!(true)),
            // Wanted by some for every protocol, read by none for HTTP.
            ("UserName", json!("none")),
            ("Password", json!("none")),
        ] {
            if refusal.names(name) && !self.body.contains_key(name) {
                self.body.insert(name.into(), value);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(id: &str, text: &str) -> Explanation {
        Explanation::of_body(&json!({"@Message.ExtendedInfo": [{"MessageId": id, "Message": text}]}))
    }

    #[test]
    fn what_the_bmc_misses_is_added_once() {
        let mut payload = Payload::new("https://h/a.iso", false, &Quirks::default());
        let missing =
            refusal("Base.1.5.ActionParameterMissing", "The parameter TransferProtocolType is required.");
        assert!(payload.adapt(&missing));
        assert_eq!(payload.body(), json!({"Image": "https://h/a.iso", "TransferProtocolType": "HTTPS"}));
        assert!(!payload.adapt(&missing));
    }

    #[test]
    fn what_the_bmc_does_not_know_is_removed() {
        let mut payload = Payload::new("http://h/a.iso", true, &Quirks::default());
        let unknown = refusal("Base.1.4.PropertyUnknown", "Inserted is not in the list of valid properties.");
        assert!(payload.adapt(&unknown));
        assert_eq!(payload.body(), json!({"Image": "http://h/a.iso", "WriteProtected": true}));
    }
}
