//! The effective manifest of a generation, for operators: its manifest with every default filled in.
//!
//! In: a manifest. Out: the same values for display, in the notation of a manifest. Never shows a secret: the values of
//! settings whose names look like secrets are masked, and so is the user information of URLs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::manifest::Manifest;
use barnabas_base::units::{ByteSize, HumanDuration};

/// Shown instead of a secret.
const MASK: &str = "(hidden)";
/// Parts of setting names that indicate a secret.
const SECRET_NAME_PARTS: [&str; 7] = ["token", "password", "passwd", "secret", "authorization", "credential", "cookie"];

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveManifest {
    /// The receiver's settings, with secrets masked.
    pub settings: Value,
    /// The grants, one per line: `http localhost:4318`.
    pub grants: Vec<String>,
    /// The limits of each instance, the number of instances, and the concurrent requests of all of them.
    pub limits: BTreeMap<&'static str, SettingValue>,
    /// How pushes become batches.
    pub batch: BTreeMap<&'static str, SettingValue>,
    /// The capacity of the queue.
    pub queue: BTreeMap<&'static str, SettingValue>,
    /// The patterns by fact that pushes must match; without any, all pushes match.
    pub want: BTreeMap<String, String>,
    /// Whether pushes are normalised first.
    pub normalise: bool,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// A number.
    Count(usize),
    /// A text with its unit, such as `64MiB` or `30s`.
    Text(String),
}

impl EffectiveManifest {
    /// Fills in the defaults of a manifest.
    pub fn from_manifest(manifest: &Manifest) -> Self {
        let (limits, slot) = (&manifest.limits, &manifest.slot);
        let (size, span) = (
            |bytes| SettingValue::Text(ByteSize(bytes).to_string()),
            |time| SettingValue::Text(HumanDuration(time).to_string()),
        );
        let written: toml::Table = manifest.text.parse().unwrap_or_default();
        let want = written.get("want").and_then(toml::Value::as_table).into_iter().flatten();
        Self {
            settings: mask_secrets(serde_json::from_str(&manifest.settings).unwrap_or_default()),
            grants: manifest.grant_lines.clone(),
            limits: BTreeMap::from([
                ("memory", size(limits.memory)),
                ("cpu", span(limits.cpu)),
                ("deadline", span(limits.deadline)),
                ("start", span(limits.start)),
                ("stop", span(limits.stop)),
                ("instances", SettingValue::Count(manifest.instances)),
                ("requests", SettingValue::Count(manifest.requests)),
            ]),
            batch: BTreeMap::from([
                ("pushes", SettingValue::Count(slot.batch_pushes)),
                ("bytes", size(slot.batch_bytes)),
                ("linger", span(slot.linger)),
            ]),
            queue: BTreeMap::from([("pushes", SettingValue::Count(slot.max_pushes)), ("bytes", size(slot.max_bytes))]),
            want: want.filter_map(|(fact, pattern)| Some((fact.clone(), pattern.as_str()?.to_owned()))).collect(),
            normalise: manifest.normalise.is_some(),
        }
    }
}

/// Masks the secrets in settings.
fn mask_secrets(settings: Value) -> Value {
    match settings {
        Value::Object(members) => Value::Object(members.into_iter().map(mask_member).collect::<Map<_, _>>()),
        Value::Array(items) => items.into_iter().map(mask_secrets).collect(),
        Value::String(text) => Value::String(mask_userinfo(&text)),
        other => other,
    }
}

fn mask_member((name, value): (String, Value)) -> (String, Value) {
    let value = if is_secret(&name) { Value::String(MASK.into()) } else { mask_secrets(value) };
    (name, value)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAME_PARTS.iter().any(|part| name.contains(part)) || name.ends_with("key") || name == "auth"
}

/// Masks user and password of a URL.
fn mask_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.split_at_checked(end).and_then(|(authority, path)| Some((authority.rsplit_once('@')?.1, path))) {
        Some((host, path)) => format!("{scheme}://{MASK}@{host}{path}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_filled_in_and_spelled_as_a_manifest_spells_them() {
        let text = "artifact = \"a.wasm\"\n[grants]\nhttp = [\"a:1\"]\nstate = \"1MiB\"\n[limits]\ncpu = \"500ms\"\n\
                    [want]\nclient_id = \"orders-.*\"\n";
        let terms = EffectiveManifest::from_manifest(&Manifest::parse(Path::new("sink.toml"), text).unwrap());
        let shown = serde_json::to_value(&terms).unwrap();
        assert_eq!(
            shown,
            json!({
                "settings": {}, "grants": ["http a:1", "state 1MiB"],
                "limits": {
                    "memory": "64MiB", "cpu": "500ms", "deadline": "30s", "start": "10s", "stop": "5s", "instances": 2,
                    "requests": 16,
                },
                "batch": { "pushes": 64, "bytes": "1MiB", "linger": "100ms" },
                "queue": { "pushes": 100_000, "bytes": "64MiB" },
                "want": { "client_id": "orders-.*" }, "normalise": false,
            })
        );
    }

    #[test]
    fn secrets_are_masked_at_every_depth() {
        let settings = json!({
            "endpoint": "https://user:pass@collector:4318/v1?x=a@b", "plain": "http://a/b@c", "timeout": 5,
            "token": "t", "Api-Key": "k", "apikey": 7, "headers": { "Authorization": "Token s", "x-tenant": "a" },
            "sinks": [{ "client_secret": ["s"], "name": "one" }], "basic_password": null, "monkeys": 3,
        });
        assert_eq!(
            mask_secrets(settings),
            json!({
                "endpoint": "https://(hidden)@collector:4318/v1?x=a@b", "plain": "http://a/b@c", "timeout": 5,
                "token": MASK, "Api-Key": MASK, "apikey": MASK,
                "headers": { "Authorization": MASK, "x-tenant": "a" },
                "sinks": [{ "client_secret": MASK, "name": "one" }], "basic_password": MASK, "monkeys": 3,
            })
        );
    }
}
