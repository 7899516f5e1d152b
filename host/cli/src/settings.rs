//! Parses flags such as `--set key=value` into one JSON object.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

/// Parses the pairs that were given with `flag`. Dots in keys create nested objects.
pub(crate) fn parse_pairs(flag: &str, pairs: &[String]) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').with_context(|| format!("`{flag} {pair}`: use `{flag} key=value`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        insert(&mut object, key, value).with_context(|| format!("`{flag} {pair}`"))?;
    }
    Ok(object)
}

/// If `problem` says that a value has the wrong type: one hint for each value that was parsed as a number or a boolean.
/// `settings` is the result of [`parse_pairs`].
pub(crate) fn type_hints(settings: &Value, problem: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if problem.contains("invalid type") {
        scalars(settings, "", &mut hints);
    }
    hints
}

fn scalars(value: &Value, path: &str, hints: &mut Vec<String>) {
    let kind = match value {
        Value::Object(members) => {
            let path = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            return members.iter().for_each(|(name, value)| scalars(value, &path(name), hints));
        }
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        _ => return,
    };
    hints.push(format!("`--set {path}={value}` was parsed as {kind}; for text use --set '{path}=\"{value}\"'"));
}

fn insert(object: &mut Map<String, Value>, key: &str, value: Value) -> Result<()> {
    let Some((outer, inner)) = key.split_once('.') else {
        object.insert(key.to_owned(), value);
        return Ok(());
    };
    match object.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(within) => insert(within, inner, value),
        _ => bail!("`{outer}` is already set to a value that is not an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[&str]) -> Result<Value> {
        parse_pairs("--set", &pairs.iter().map(ToString::to_string).collect::<Vec<_>>()).map(Value::Object)
    }

    #[test]
    fn values_are_parsed_as_json_if_possible() {
        let value = of(&["endpoint=http://a/b=c", "n=3", "labels=[\"x\"]", "headers.a=b", "headers.c=d"]).unwrap();
        let expected = serde_json::json!({
            "endpoint": "http://a/b=c", "n": 3, "labels": ["x"], "headers": { "a": "b", "c": "d" }
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn text_that_was_parsed_as_a_number_gets_a_hint() {
        let settings = of(&["token=12345", "sink.tls=true", "name=a", "labels=[1]"]).unwrap();
        let hints = type_hints(&settings, "settings: token: invalid type: integer `12345`, expected a string");
        assert_eq!(
            hints,
            [
                "`--set sink.tls=true` was parsed as a boolean; for text use --set 'sink.tls=\"true\"'",
                "`--set token=12345` was parsed as a number; for text use --set 'token=\"12345\"'",
            ]
        );
        assert_eq!(type_hints(&settings, "503"), [""; 0]);
        assert_eq!(of(&["token=\"12345\""]).unwrap(), serde_json::json!({ "token": "12345" }), "as the hint says");
    }

    #[test]
    fn invalid_pairs_are_refused() {
        assert!(of(&["endpoint"]).unwrap_err().to_string().contains("key=value"));
        assert!(format!("{:#}", of(&["a=1", "a.b=2"]).unwrap_err()).contains("`a` is already set"));
    }
}
