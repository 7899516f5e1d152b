//! An object of the host as a page for people: one line a value, objects within indented.
//!
//! Keys that are known come first; others follow as they are, so that a host may tell more than this command knows.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use barnabas::audit::rfc3339;
use serde_json::{Map, Value};

use super::words::plain;

/// What a reader looks for, in this order.
const FIRST: [&str; 12] = [
    "name",
    "file",
    "state",
    "paused",
    "failure",
    "desired",
    "serving",
    "rollout",
    "refused",
    "kept",
    "state_usage",
    "queue",
];

/// The page.
pub(crate) fn page(value: &Value) -> String {
    let mut page = String::new();
    match value {
        Value::Object(object) => fields(&mut page, object, 0),
        other => _ = writeln!(page, "{}", scalar("", other)),
    }
    page
}

fn fields(page: &mut String, object: &Map<String, Value>, depth: usize) {
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut entries: Vec<_> = object.iter().filter(|(_, value)| !value.is_null()).collect();
    entries.sort_by_key(|(key, _)| rank(key));
    let lines = entries.iter().filter(|(_, value)| !is_block(value));
    let width = lines.map(|(key, _)| label(key).chars().count()).max().unwrap_or(0);
    for (key, value) in entries {
        field(page, key, value, depth, width);
    }
}

/// Whether it takes more than one line.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(within) => !within.is_empty(),
        Value::Array(items) => items.iter().any(Value::is_object),
        _ => false,
    }
}

fn field(page: &mut String, key: &str, value: &Value, depth: usize, width: usize) {
    let (indent, label) = ("  ".repeat(depth), label(key));
    match value {
        Value::Object(within) if is_block(value) => {
            let _ = writeln!(page, "{indent}{label}");
            fields(page, within, depth + 1);
        }
        Value::Array(items) if is_block(value) => {
            let _ = writeln!(page, "{indent}{label}");
            items.iter().for_each(|item| _ = writeln!(page, "{indent}  {}", inline(item)));
        }
        value => _ = writeln!(page, "{indent}{label:<width$}  {}", scalar(key, value)),
    }
}

/// `since_unix_seconds` is shown as a moment, so its unit goes.
fn label(key: &str) -> String {
    plain(key.strip_suffix("_unix_seconds").unwrap_or(key)).replace('_', " ")
}

fn inline(value: &Value) -> String {
    let Value::Object(object) = value else { return scalar("", value) };
    let shown = object.iter().filter(|(_, value)| !value.is_null());
    shown.map(|(key, value)| format!("{} {}", label(key), scalar(key, value))).collect::<Vec<_>>().join(", ")
}

fn scalar(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Number(number) if key.ends_with("unix_seconds") => moment(number.as_f64().unwrap_or_default()),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Object(within) if within.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(|item| scalar(key, item)).collect::<Vec<_>>().join(", "),
        Value::Object(_) => plain(&value.to_string()),
        other => other.to_string(),
    }
}

/// Seconds since the Unix epoch as a moment; such that no clock shows are left as they are.
pub(crate) fn moment(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).ok();
    let at = span.and_then(|span| SystemTime::UNIX_EPOCH.checked_add(span));
    at.map_or_else(|| seconds.to_string(), rfc3339)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_the_known_first_and_the_unknown_too() {
        let plugin = json!({
            "colour": "blue",
            "serving": { "since_unix_seconds": 1_795_333_500.5, "generation": 3 },
            "kept": [{ "generation": 2, "digest": "sha256:ba" }],
            "paused": true,
            "failure": null,
            "name": "sink",
            "labels": ["a\u{1b}", "b"],
            "shed": {},
        });
        assert_eq!(
            page(&plugin),
            "name    sink\n\
             paused  yes\n\
             serving\n\
             \u{20} generation  3\n\
             \u{20} since       2026-11-22T07:45:00Z\n\
             kept\n\
             \u{20} digest sha256:ba, generation 2\n\
             colour  blue\n\
             labels  a\\u{1b}, b\n\
             shed    none\n"
        );
    }

    #[test]
    fn what_is_no_object_is_shown_too() {
        assert_eq!(page(&json!([1, "a"])), "1, a\n");
        assert_eq!(moment(f64::MAX), f64::MAX.to_string());
    }
}
