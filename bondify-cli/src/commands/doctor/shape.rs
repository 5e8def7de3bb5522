use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
};

use serde_json::Value;

/// The form of a JSON value: the kinds of values at each path, such as `sessions[].created_at`. It has no
/// value of the JSON.
#[derive(Default)]
pub(super) struct Shape(BTreeMap<String, BTreeSet<&'static str>>);

pub(super) const DIGITS: &str = "digits";
pub(super) const ISO_TIME: &str = "ISO time";
pub(super) const NUMBER: &str = "number";

impl Shape {
    pub(super) fn of(json: &Value) -> Self {
        let mut shape = Self::default();
        shape.add("", json);
        shape
    }

    fn add(&mut self, path: &str, json: &Value) {
        match json {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    // A name with other characters may be a value.
                    let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                    let name = if is_name { name } else { "*" };
                    let dot = if path.is_empty() { "" } else { "." };
                    self.add(&format!("{path}{dot}{name}"), value);
                }
            }
            Value::Array(values) if !values.is_empty() => {
                values.iter().for_each(|value| self.add(&format!("{path}[]"), value));
            }
            leaf => {
                self.0.entry(path.to_owned()).or_default().insert(kind(leaf));
            }
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Whether a path that ends so has values of this kind.
    pub(super) fn has_kind(&self, end: &str, kind: &str) -> bool {
        self.0.iter().any(|(path, kinds)| path.ends_with(end) && kinds.contains(kind))
    }
}

fn kind(leaf: &Value) -> &'static str {
    match leaf {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) => match number.as_u64() {
            Some(1_000_000_000_000..) => "ms since 1970",
            Some(1_000_000_000..) => "s since 1970",
            _ => NUMBER,
        },
        Value::String(text) if text.is_empty() => "empty text",
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => DIGITS,
        Value::String(text) if humantime::parse_rfc3339_weak(text).is_ok() => ISO_TIME,
        Value::String(_) => "text",
        Value::Array(_) => "empty list",
        Value::Object(_) => "empty object",
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (path, kinds)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let kinds: Vec<_> = kinds.iter().copied().collect();
            write!(f, "{comma}{path}: {}", kinds.join(" or "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shape_has_no_values() {
        let shape = Shape::of(&json!({
            "sessions": [
                {"created_at": 1_700_000_000_123_u64, "telegram_name": "Ada", "telegram_id": "7"},
                {"created_at": "2023-11-14T22:13:20.123Z", "telegram_name": null, "telegram_id": "8"},
            ],
            "by_project": {"proj_1": 3, "proj_2": true},
            "daily": [],
            "exp": 1_700_000_000,
        }));
        assert_eq!(
            shape.to_string(),
            "by_project.*: boolean or number, daily: empty list, exp: s since 1970, \
             sessions[].created_at: ISO time or ms since 1970, sessions[].telegram_id: digits, \
             sessions[].telegram_name: null or text"
        );
    }
}
