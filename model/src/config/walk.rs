//! Compares a YAML document with the table of fields: unknown fields, wrong types, missing fields, all at once.
//!
//! What is wrong is taken out of the document after it was reported, so that the rules can still be applied to
//! the rest. List positions are kept.

use serde::de::DeserializeOwned;
use serde_norway::{Mapping, Value};

use super::field::{Field, Kind};
use super::fields::UNSUPPORTED;
use super::problem::{Problem, quoted};

/// Reads `text` into `T`; the problems are those of form. Rules come after.
///
/// # Errors
/// When the text is no YAML mapping at all: nothing more can be said about it.
pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    fields: &'static [Field],
) -> Result<(T, Vec<Problem>), Vec<Problem>> {
    let value: Value = serde_norway::from_str(text).map_err(|error| {
        vec![
            Problem::new(".", error, "must be one YAML document")
                .hint("indent with spaces; a key may stand only once"),
        ]
    })?;
    let Value::Mapping(mapping) = value else {
        return Err(vec![Problem::new(".", describe(&value), "must be a mapping of fields to values")]);
    };
    let mut problems = Vec::new();
    let clean = object(mapping, fields, "", &mut problems);
    let raw = serde_path_to_error::deserialize(clean).map_err(|error| {
        let path = error.path().to_string();
        vec![Problem::new(path, error.into_inner(), "must have the form that `ashlar explain` shows")]
    })?;
    Ok((raw, problems))
}

fn object(mapping: Mapping, fields: &'static [Field], path: &str, problems: &mut Vec<Problem>) -> Value {
    for field in fields.iter().filter(|field| field.required) {
        if mapping.get(field.name).is_none_or(Value::is_null) {
            problems.push(missing(field, &join(path, field.name)));
        }
    }
    let mut clean = Mapping::new();
    for (key, value) in mapping {
        let name = key.as_str().map_or_else(|| describe(&key), str::to_owned);
        let here = join(path, &name);
        match fields.iter().find(|field| field.name == name) {
            None => problems.push(unknown(&here, &name, fields)),
            Some(_) if value.is_null() => {}
            Some(field) => {
                if let Some(value) = accept(value, field, &here, problems) {
                    clean.insert(key, value);
                }
            }
        }
    }
    Value::Mapping(clean)
}

/// The value without what does not fit, or nothing.
fn accept(value: Value, field: &Field, path: &str, problems: &mut Vec<Problem>) -> Option<Value> {
    match (field.kind, value) {
        (Kind::Text, value @ Value::String(_)) => Some(value),
        (Kind::Boolean, value @ Value::Bool(_)) => Some(value),
        (Kind::Integer, Value::Number(number)) if number.as_i64().is_some() => Some(Value::Number(number)),
        (Kind::Choice(words), Value::String(word)) if words.contains(&word.as_str()) => {
            Some(Value::String(word))
        }
        (Kind::Object(fields), Value::Mapping(mapping)) => Some(object(mapping, fields, path, problems)),
        (Kind::Foreign(keys), Value::Mapping(mapping)) => Some(foreign(mapping, keys, path, problems)),
        (Kind::Texts, Value::Sequence(items)) => Some(list(items, path, problems, |item, path, problems| {
            item.is_string().then_some(item.clone()).ok_or_else(|| {
                problems.push(wrong_type(field, "string", &item, path));
            })
        })),
        (Kind::Objects(fields), Value::Sequence(items)) => {
            Some(list(items, path, problems, |item, path, problems| match item {
                Value::Mapping(mapping) => Ok(object(mapping, fields, path, problems)),
                other => {
                    problems.push(wrong_type(field, "object", &other, path));
                    Ok(Value::Mapping(Mapping::new()))
                }
            }))
        }
        (kind, value) => {
            problems.push(wrong_type(field, &kind.describe(), &value, path));
            None
        }
    }
}

fn list(
    items: Vec<Value>,
    path: &str,
    problems: &mut Vec<Problem>,
    mut each: impl FnMut(Value, &str, &mut Vec<Problem>) -> Result<Value, ()>,
) -> Value {
    let accept = |(index, item)| each(item, &format!("{path}[{index}]"), problems).unwrap_or(Value::Null);
    Value::Sequence(items.into_iter().enumerate().map(accept).collect())
}

fn foreign(mapping: Mapping, keys: &[&str], path: &str, problems: &mut Vec<Problem>) -> Value {
    for (key, _) in &mapping {
        let name = key.as_str().map_or_else(|| describe(key), str::to_owned);
        if !keys.contains(&name.as_str()) {
            let allowed = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
            problems.push(
                Problem::new(join(path, &name), "an unknown field", "must be a known field")
                    .hint(format!("allowed here: {allowed}")),
            );
        }
    }
    Value::Mapping(mapping)
}

fn missing(field: &Field, path: &str) -> Problem {
    let hint = match field.example {
        "" => format!("see `ashlar explain {}`", without_indexes(path)),
        example => format!("for example `{}: {example}`", field.name),
    };
    Problem::new(path, "nothing", "is required").hint(hint)
}

fn unknown(path: &str, name: &str, fields: &[Field]) -> Problem {
    if let Some((_, advice)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
        return Problem::new(path, "a field of OpenShift", "is not supported").hint(*advice);
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let hint = match similar(name, &names) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("allowed here: {}", names.join(", ")),
    };
    Problem::new(path, "an unknown field", "must be a known field").hint(hint)
}

fn wrong_type(field: &Field, expected: &str, found: &Value, path: &str) -> Problem {
    let shown = if field.secret { "another type (not shown)".to_owned() } else { describe(found) };
    let problem = Problem::new(path, shown, format!("must be {}", with_article(expected)));
    match (expected, found) {
        ("string", Value::Number(_) | Value::Bool(_)) => problem.hint("write it in quotes"),
        ("integer", Value::String(_)) => problem.hint("write it without quotes"),
        ("list of strings" | "list of objects", _) => problem.hint("begin each entry with `- `"),
        _ if field.example.is_empty() => problem,
        _ => problem.hint(format!("for example `{}: {}`", field.name, field.example)),
    }
}

fn with_article(expected: &str) -> String {
    match expected {
        "integer" | "object" => format!("an {expected}"),
        "string" | "list of strings" | "list of objects" => format!("a {expected}"),
        other => other.to_owned(),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(bool) => quoted(bool),
        Value::Number(number) => quoted(number),
        Value::String(text) => quoted(text),
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "a mapping".into(),
        Value::Tagged(tagged) => format!("a value with tag {}", tagged.tag),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

pub(super) fn without_indexes(path: &str) -> String {
    let mut depth = 0;
    path.chars()
        .filter(|c| {
            depth += i32::from(*c == '[');
            let keep = depth == 0;
            depth -= i32::from(*c == ']');
            keep
        })
        .collect()
}

/// The known name that is at most two edits away from what was written.
pub(super) fn similar<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase();
    let (distance, name) =
        known.iter().map(|name| (distance(&written, &name.to_lowercase()), *name)).min_by_key(|(d, _)| *d)?;
    (distance <= 2 && distance < written.chars().count()).then_some(name)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
