//! Redfish error bodies (`@Message.ExtendedInfo`) as plain text, and what the ladders ask of them.

use serde_json::Value;
use std::fmt;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    messages: Vec<Message>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Message {
    id: String,
    text: String,
    /// Names of properties and parameters the message is about.
    about: Vec<String>,
}

const LONGEST_TEXT: usize = 400;

impl Explanation {
    pub fn of_body(body: &Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let listed = error.get("@Message.ExtendedInfo").and_then(Value::as_array);
        let mut messages: Vec<Message> = listed.into_iter().flatten().map(message).collect();
        if messages.is_empty()
            && let Some(text) = error.get("message").and_then(Value::as_str)
        {
            messages.push(Message { id: string(error, "code"), text: text.into(), about: vec![] });
        }
        Self { messages }
    }

    /// A body that is no JSON, such as a page of a web server.
    pub fn of_text(text: &str) -> Self {
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(LONGEST_TEXT).collect();
        Self { messages: vec![Message { text, ..Message::default() }] }
    }

    /// Some message id ends in this word (registry and version left out).
    pub fn has_id(&self, word: &str) -> bool {
        self.messages.iter().any(|message| message.id.rsplit('.').next() == Some(word))
    }

    /// Some message is about this property or parameter, or names it.
    pub fn names(&self, property: &str) -> bool {
        self.messages.iter().any(|message| {
            message.about.iter().any(|name| name == property) || message.text.contains(property)
        })
    }

    /// Some message contains one of these phrases, whatever the case.
    pub fn says(&self, phrases: &[&str]) -> bool {
        self.messages.iter().any(|message| {
            let text = message.text.to_ascii_lowercase();
            phrases.iter().any(|phrase| text.contains(phrase))
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self
            .messages
            .iter()
            .map(|message| message.text.as_str())
            .filter(|text| !text.is_empty())
            .collect();
        if texts.is_empty() { f.write_str("it gave no reason") } else { f.write_str(&texts.join(" ")) }
    }
}

fn message(value: &Value) -> Message {
    let mut about: Vec<String> = vec![];
    for list in ["RelatedProperties", "MessageArgs"] {
        let names = value.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        about.extend(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()));
    }
    let text = string(value, "Message");
    let id = string(value, "MessageId");
    let text = if text.is_empty() { id.clone() } else { text };
    Message { id, text, about }
}

fn string(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_extended_error_becomes_text_and_answers_questions() {
        let body = json!({"error": {"code": "Base.1.8.GeneralError", "message": "see below",
            "@Message.ExtendedInfo": [{
                "MessageId": "Base.1.8.ActionParameterMissing",
                "Message": "The action requires the parameter TransferProtocolType.",
                "RelatedProperties": ["#/TransferProtocolType"]}]}});
        let explanation = Explanation::of_body(&body);
        assert_eq!(explanation.to_string(), "The action requires the parameter TransferProtocolType.");
        assert!(explanation.has_id("ActionParameterMissing"));
        assert!(explanation.names("TransferProtocolType"));
        assert!(!explanation.names("TransferMethod"));
    }

    #[test]
    fn bodies_without_messages_say_so() {
        assert_eq!(Explanation::of_body(&Value::Null).to_string(), "it gave no reason");
        assert_eq!(Explanation::of_body(&json!({"error": {"message": "no"}})).to_string(), "no");
    }
}
