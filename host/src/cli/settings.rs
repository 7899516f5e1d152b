//! `--set key=value` as one JSON object.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

/// The object; dots in keys make objects within.
pub(crate) fn object(pairs: &[String]) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').with_context(|| format!("`--set {pair}`: write `--set key=value`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        insert(&mut object, key, value).with_context(|| format!("`--set {pair}`"))?;
    }
    Ok(object)
}

fn insert(object: &mut Map<String, Value>, key: &str, value: Value) -> Result<()> {
    let Some((outer, inner)) = key.split_once('.') else {
        object.insert(key.to_owned(), value);
        return Ok(());
    };
    match object.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(within) => insert(within, inner, value),
        _ => bail!("`{outer}` was set to something else before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[&str]) -> Result<Value> {
        object(&pairs.iter().map(ToString::to_string).collect::<Vec<_>>()).map(Value::Object)
    }

    #[test]
    fn values_are_json_where_they_are_json() {
        let value = of(&["endpoint=http://a/b=c", "n=3", "labels=[\"x\"]", "headers.a=b", "headers.c=d"]).unwrap();
        let expected = serde_json::json!({
            "endpoint": "http://a/b=c", "n": 3, "labels": ["x"], "headers": { "a": "b", "c": "d" }
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(of(&["endpoint"]).unwrap_err().to_string().contains("key=value"));
        assert!(format!("{:#}", of(&["a=1", "a.b=2"]).unwrap_err()).contains("`a` was set"));
    }
}
