//! YAML 1.1's octal integers (`mode: 0644`), which later YAML takes for text: kubectl reads them as numbers, and so
//! must we. Only where Ignition wants an integer: `0644` as the contents of a file stays text.

use serde_json::Value;

const INTEGERS: &[&str] = &["mode", "id", "uid", "gid"];

pub(super) fn octal(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let number = value.as_str().filter(|_| INTEGERS.contains(&key.as_str())).and_then(number);
                match number {
                    Some(number) => *value = number.into(),
                    None => octal(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(octal),
        _ => {}
    }
}

/// A zero and octal digits. `0o644` is a number to the YAML reader already.
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('0')?;
    i64::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
