//! The table of fields in words: `ashlar explain`, the reference page and the JSON Schema.

use std::fmt::Write;

use serde_json::{Value, json};
use thiserror::Error;

use super::field::{Field, Kind};
use super::fields::{AGENT_CONFIG, INSTALL_CONFIG};
use super::walk::{similar, without_indexes};

#[derive(Debug, Error)]
#[error("no field is called `{path}`; {hint}")]
pub struct UnknownField {
    pub path: String,
    pub hint: String,
}

/// Describes a field and lists its children; the empty path lists the fields of both files.
///
/// # Errors
/// `UnknownField` with the closest known name.
pub fn explain(path: &str) -> Result<String, UnknownField> {
    let path = without_indexes(path.trim().trim_matches('.'));
    if path.is_empty() {
        return Ok(format!(
            "install-config.yaml\n{}\nagent-config.yaml\n{}",
            children(INSTALL_CONFIG),
            children(AGENT_CONFIG)
        ));
    }
    let field = find(INSTALL_CONFIG, &path).or_else(|first| find(AGENT_CONFIG, &path).map_err(|_| first))?;
    let mut text = format!("{path}: {}\n\n{}\n\n", field.kind.describe(), field.description);
    for (name, value) in facts(field) {
        let _ = writeln!(text, "{name}: {value}");
    }
    if !field.kind.children().is_empty() {
        let _ = write!(text, "\nfields:\n{}", children(field.kind.children()));
    }
    Ok(text)
}

fn facts(field: &Field) -> Vec<(&'static str, String)> {
    let mut facts = vec![("required", if field.required { "yes".to_owned() } else { "no".to_owned() })];
    if !field.default.is_empty() {
        facts.push(("default", field.default.to_owned()));
    }
    if !field.example.is_empty() {
        facts.push(("example", format!("{}: {}", field.name, field.example)));
    }
    if let Kind::Foreign(keys) = field.kind
        && !keys.is_empty()
    {
        facts.push(("top-level keys", keys.join(", ")));
    }
    facts
}

fn find(fields: &'static [Field], path: &str) -> Result<&'static Field, UnknownField> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let unknown = || {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let hint = match similar(name, &names) {
            Some(known) => format!("did you mean `{known}`?"),
            None if names.is_empty() => "it has no fields".to_owned(),
            None => format!("known here: {}", names.join(", ")),
        };
        UnknownField { path: name.to_owned(), hint }
    };
    let field = fields.iter().find(|field| field.name == name).ok_or_else(unknown)?;
    match rest {
        None => Ok(field),
        Some(rest) => find(field.kind.children(), rest),
    }
}

fn children(fields: &[Field]) -> String {
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    let line = |field: &Field| {
        let star = if field.required { "*" } else { " " };
        format!("  {:width$} {star} {} - {}\n", field.name, field.kind.describe(), field.description)
    };
    fields.iter().map(line).collect()
}

/// `docs/config-reference.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration reference\n\nGenerated from the table of fields in `model/src/config/fields.rs`. \
         `ashlar explain FIELD` prints the same.\n",
    );
    for (file, fields) in [("install-config.yaml", INSTALL_CONFIG), ("agent-config.yaml", AGENT_CONFIG)] {
        let _ = write!(text, "\n## {file}\n\n| field | type | default | description |\n|---|---|---|---|\n");
        rows(fields, "", &mut text);
    }
    text
}

fn rows(fields: &[Field], prefix: &str, text: &mut String) {
    for field in fields {
        let path = format!("{prefix}{}", field.name);
        let default = if field.required { "**required**" } else { field.default };
        let mut description = field.description.to_owned();
        if !field.example.is_empty() && !matches!(field.kind, Kind::Choice(_)) {
            let _ = write!(description, " Example: `{}`", field.example);
        }
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{path}` | {} | {} | {} |",
            cell(&field.kind.describe()),
            cell(default),
            cell(&description)
        );
        let dot = if matches!(field.kind, Kind::Objects(_)) { "[]." } else { "." };
        rows(field.kind.children(), &format!("{path}{dot}"), text);
    }
}

/// JSON Schema (2020-12) of `install-config.yaml`.
pub fn json_schema() -> Value {
    let mut schema = object_schema(INSTALL_CONFIG);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("install-config.yaml");
    schema
}

fn object_schema(fields: &[Field]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field_schema(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn field_schema(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Object(fields) => object_schema(fields),
        Kind::Objects(fields) => json!({ "type": "array", "items": object_schema(fields) }),
        Kind::Foreign(keys) => {
            let properties: serde_json::Map<String, Value> =
                keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
    };
    schema["description"] = json!(field.description);
    schema
}
