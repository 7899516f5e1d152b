//! The raw TOML of a manifest, and its conversion to validated values.

mod normalise;
mod rollout;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use super::Manifest;
use barnabas_base::digest::Digest;
use barnabas_base::{messages, units};
use barnabas_pipeline::dispatch::{SlotConfig, Wants};
use barnabas_runtime::capability::egress;
use barnabas_runtime::capability::egress::Grants;
use barnabas_runtime::capability::state::StateQuota;
use barnabas_runtime::limits::InstanceLimits;
use rollout::{RawRollout, RawSelfTest};

/// The keys of each table; `""` is the top level. The keys of `settings` belong to the receiver, those of `want` are
/// facts of a push. docs/manifest.md documents all of them, which a test verifies.
pub(super) const KEYS: [(&str, &[&str]); 8] = [
    (
        "",
        &[
            "artifact",
            "digest",
            "paused",
            "settings",
            "grants",
            "limits",
            "batch",
            "queue",
            "want",
            "rollout",
            "self-test",
            "normalise",
        ],
    ),
    ("grants", &["http", "addresses", "own-listeners", "state", "state-keys"]),
    ("limits", &["memory", "cpu", "deadline", "start", "stop", "instances", "requests"]),
    ("batch", &["pushes", "bytes", "linger"]),
    ("queue", &["bytes", "pushes"]),
    ("rollout", &["self-test", "shadow", "canary", "step", "batches", "budget"]),
    ("self-test", &["reply"]),
    ("normalise", &["admin-clients"]),
];

/// The keys of a table of the manifest, `""` being the top level; empty if its keys are arbitrary or there is no such
/// table.
pub fn keys(table: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(name, _)| *name == table).map_or(&[], |(_, keys)| *keys)
}

/// Keys whose change does not need another generation: where the artifact is, and how it is rolled out.
const NOT_FINGERPRINTED: [&str; 5] = ["artifact", "digest", "paused", "rollout", "self-test"];
const MEMORY_RANGE: (usize, usize) = (64 << 10, 4 << 30);
const INSTANCES_RANGE: (usize, usize) = (1, 64);
const REQUESTS_RANGE: (usize, usize) = (1, 1_024);
const BATCH_PUSHES_RANGE: (usize, usize) = (1, 10_000);
const BATCH_BYTES_RANGE: (usize, usize) = (1, 64 << 20);
const STATE_BYTES_RANGE: (usize, usize) = (1, 1 << 30);
const STATE_KEYS_RANGE: (usize, usize) = (1, 1_000_000);
const DEFAULT_STATE_KEYS: usize = 1_000;
const MAX_DURATION: Duration = Duration::from_secs(3_600);
const DEFAULT_INSTANCES: usize = 2;

#[derive(Debug, Deserialize)]
struct RawManifest {
    artifact: Option<String>,
    digest: Option<String>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    settings: Table,
    #[serde(default)]
    grants: RawGrants,
    #[serde(default)]
    limits: RawInstanceLimits,
    #[serde(default)]
    batch: RawBatch,
    #[serde(default)]
    queue: RawQueue,
    #[serde(default)]
    want: BTreeMap<String, String>,
    #[serde(default)]
    rollout: RawRollout,
    #[serde(default, rename = "self-test")]
    self_test: RawSelfTest,
    normalise: Option<normalise::RawNormalise>,
}

#[derive(Debug, Default, Deserialize)]
struct RawGrants {
    #[serde(default)]
    http: Vec<String>,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default, rename = "own-listeners")]
    own_listeners: bool,
    state: Option<RawSize>,
    #[serde(rename = "state-keys")]
    state_keys: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct RawInstanceLimits {
    memory: Option<RawSize>,
    cpu: Option<RawWithUnit>,
    deadline: Option<RawWithUnit>,
    start: Option<RawWithUnit>,
    stop: Option<RawWithUnit>,
    instances: Option<usize>,
    requests: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct RawBatch {
    pushes: Option<usize>,
    bytes: Option<RawSize>,
    linger: Option<RawWithUnit>,
}

#[derive(Debug, Default, Deserialize)]
struct RawQueue {
    bytes: Option<RawSize>,
    pushes: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a size such as 65536 (bytes) or \"64MiB\"")]
enum RawSize {
    Bytes(usize),
    Text(String),
}

/// A text with a unit. A number is accepted here only so that the error message can name the key.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "text with its unit, such as \"30s\"")]
enum RawWithUnit {
    Number(serde_json::Number),
    Text(String),
}

impl RawWithUnit {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Parses the text of `file`.
pub(super) fn parse(name: Arc<str>, file: &Path, text: &str) -> Result<Manifest, String> {
    let table: Table = text.parse().map_err(|error| describe_toml_error(&error, text))?;
    reject_unknown_keys(&table)?;
    // Parsed from the text again, so that a wrong type is reported with its line.
    let written: RawManifest = toml::from_str(text).map_err(|error| describe_toml_error(&error, text))?;
    written.resolve(name, file, text, fingerprint(table)?)
}

/// The digest of all fingerprinted keys, independent of their order and layout.
fn fingerprint(mut table: Table) -> Result<Digest, String> {
    NOT_FINGERPRINTED.iter().for_each(|key| drop(table.remove(*key)));
    Ok(Digest::compute(json("", Value::Table(table))?.to_string().as_bytes()))
}

impl RawManifest {
    fn resolve(self, name: Arc<str>, file: &Path, text: &str, meaning: Digest) -> Result<Manifest, String> {
        let artifact = self.artifact.filter(|path| !path.is_empty());
        if artifact.is_none() && self.digest.is_none() {
            return Err(
                "`artifact` is missing; set it to the receiver's file, for example artifact = \"receiver.wasm\"".into(),
            );
        }
        let care = rollout::resolve(self.rollout, self.self_test)?;
        let slot = slot_config(self.batch, self.queue, self.want)?;
        let (limits, instances, requests) = limits(self.limits)?;
        Ok(Manifest {
            name,
            file: file.to_owned(),
            text: text.into(),
            fingerprint: meaning,
            artifact: artifact.map(|artifact| file.parent().unwrap_or(Path::new("")).join(artifact)),
            paused: self.paused,
            rollout: care,
            digest: self.digest.map(|text| text.parse::<Digest>().map_err(in_key("digest"))).transpose()?,
            settings: settings(self.settings)?.into(),
            grant_lines: grant_lines(&self.grants),
            grants: Arc::new(grants(&self.grants)?),
            state_quota: state_quota(self.grants.state, self.grants.state_keys)?,
            limits,
            instances,
            requests,
            normalise: normalise::resolve(self.normalise)?,
            slot,
        })
    }
}

fn grants(written: &RawGrants) -> Result<Grants, String> {
    let grants = Grants::parse(&written.http, &written.addresses).map_err(in_key("grants"))?;
    if written.own_listeners && grants.is_empty() {
        return Err("`grants.own-listeners` needs `grants.http`, which lists the listeners that may be reached, for \
                    example http = [\"localhost:4318\"]"
            .into());
    }
    Ok(grants.with_own_listeners(written.own_listeners))
}

fn grant_lines(grants: &RawGrants) -> Vec<String> {
    let http = grants.http.iter().map(|destination| format!("http {destination}"));
    let addresses = grants.addresses.iter().map(|network| format!("addresses {network}"));
    let state = grants.state.iter().map(|size| match size {
        RawSize::Bytes(bytes) => format!("state {bytes}"),
        RawSize::Text(text) => format!("state {text}"),
    });
    let keys = grants.state_keys.iter().map(|keys| format!("state-keys {keys}"));
    let own = grants.own_listeners.then(|| "own-listeners".to_owned());
    http.chain(addresses).chain(own).chain(state).chain(keys).collect()
}

fn in_key(key: &'static str) -> impl Fn(String) -> String {
    move |problem| format!("`{key}`: {problem}")
}

/// Describes a TOML error in one line. It shows the key of the offending line, but not its value, which may be a
/// secret.
fn describe_toml_error(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    let hint = messages::suggestion_for(message).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let Some((before, after)) = error.span().and_then(|span| text.split_at_checked(span.start)) else {
        return format!("{message}{hint}");
    };
    let (number, begun) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default());
    let line = format!("{begun}{}", after.lines().next().unwrap_or_default());
    match line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty()) {
        Some(key) => format!("line {number}, `{key}`: {message}{hint}"),
        None => format!("line {number}: {message}{hint}"),
    }
}

fn reject_unknown_keys(file: &Table) -> Result<(), String> {
    for (section, keys) in KEYS {
        let table = if section.is_empty() { Some(file) } else { file.get(section).and_then(Value::as_table) };
        let unknown = table.into_iter().flat_map(Table::keys).find(|key| !keys.contains(&key.as_str()));
        if let Some(key) = unknown {
            return Err(unknown_key(section, key, keys));
        }
    }
    Ok(())
}

/// Names the other table if the key belongs to one; otherwise a similar key and all known keys.
fn unknown_key(section: &str, key: &str, keys: &[&str]) -> String {
    let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
    let elsewhere = KEYS.iter().find(|(other, keys)| *other != section && keys.contains(&key));
    match elsewhere {
        Some(("", _)) => format!("`{key}` is not a key{place}: it belongs at the top level, before the first table"),
        Some((other, _)) => format!("`{key}` is not a key{place}: it belongs in [{other}]"),
        None => format!("`{key}` is not a key{place}; {}", messages::suggest(key, keys)),
    }
}

/// The limits of an instance, the number of instances, and the number of their concurrent requests.
fn limits(written: RawInstanceLimits) -> Result<(InstanceLimits, usize, usize), String> {
    let default = InstanceLimits::default();
    let limits = InstanceLimits {
        memory: size("limits.memory", written.memory, default.memory, MEMORY_RANGE)?,
        cpu: nonzero_duration("limits.cpu", written.cpu, default.cpu)?,
        deadline: nonzero_duration("limits.deadline", written.deadline, default.deadline)?,
        start: nonzero_duration("limits.start", written.start, default.start)?,
        stop: nonzero_duration("limits.stop", written.stop, default.stop)?,
    };
    let instances = check_range("limits.instances", written.instances.unwrap_or(DEFAULT_INSTANCES), INSTANCES_RANGE)?;
    let requests =
        check_range("limits.requests", written.requests.unwrap_or(egress::DEFAULT_MAX_REQUESTS), REQUESTS_RANGE)?;
    Ok((limits, instances, requests))
}

fn state_quota(bytes: Option<RawSize>, keys: Option<usize>) -> Result<Option<StateQuota>, String> {
    match (bytes, keys) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err("`grants.state-keys` needs `grants.state`, the number of bytes, for example state = \"1MiB\"".into())
        }
        (bytes, keys) => Ok(Some(StateQuota {
            bytes: size("grants.state", bytes, 0, STATE_BYTES_RANGE)?,
            keys: check_range("grants.state-keys", keys.unwrap_or(DEFAULT_STATE_KEYS), STATE_KEYS_RANGE)?,
        })),
    }
}

fn slot_config(batch: RawBatch, queue: RawQueue, want: BTreeMap<String, String>) -> Result<SlotConfig, String> {
    let default = SlotConfig::default();
    let batch_pushes = check_range("batch.pushes", batch.pushes.unwrap_or(default.batch_pushes), BATCH_PUSHES_RANGE)?;
    let batch_bytes = size("batch.bytes", batch.bytes, default.batch_bytes, BATCH_BYTES_RANGE)?;
    let queue_pushes = queue.pushes.unwrap_or(default.max_pushes);
    Ok(SlotConfig {
        batch_pushes,
        batch_bytes,
        linger: duration("batch.linger", batch.linger, default.linger)?,
        max_bytes: size("queue.bytes", queue.bytes, default.max_bytes, (batch_bytes, usize::MAX))?,
        max_pushes: check_range("queue.pushes", queue_pushes, (batch_pushes, usize::MAX))?,
        wants: Wants::new(want.into_iter().collect()).map_err(in_key("want"))?,
        ..default
    })
}

fn size(key: &'static str, written: Option<RawSize>, default: usize, range: (usize, usize)) -> Result<usize, String> {
    let bytes = match written {
        None => default,
        Some(RawSize::Bytes(bytes)) => bytes,
        Some(RawSize::Text(text)) => text.parse::<units::ByteSize>().map_err(in_key(key))?.0,
    };
    check_range(key, bytes, range)
}

fn check_range<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    (least, most): (T, T),
) -> Result<T, String> {
    match value {
        _ if value < least => Err(format!("`{key}` is {value}; it must be at least {least}")),
        _ if value > most => Err(format!("`{key}` is {value}; it may be at most {most}")),
        _ => Ok(value),
    }
}

fn duration(key: &'static str, written: Option<RawWithUnit>, default: Duration) -> Result<Duration, String> {
    let Some(written) = written else { return Ok(default) };
    written.text().parse::<units::HumanDuration>().and_then(|span| at_most_an_hour(span.0)).map_err(in_key(key))
}

fn nonzero_duration(key: &'static str, written: Option<RawWithUnit>, default: Duration) -> Result<Duration, String> {
    let time = duration(key, written, default)?;
    if time.is_zero() {
        return Err(format!("`{key}` is 0; it must be longer"));
    }
    Ok(time)
}

fn at_most_an_hour(time: Duration) -> Result<Duration, String> {
    if time <= MAX_DURATION { Ok(time) } else { Err(format!("it must be at most one hour ({time:?})")) }
}

fn settings(table: Table) -> Result<String, String> {
    json("settings", Value::Table(table)).map(|json| json.to_string())
}

fn json(key: &str, value: Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Datetime(moment) => moment.to_string().into(),
        Value::Float(number) => serde_json::Number::from_f64(number)
            .ok_or_else(|| {
                format!("`{key}` is {number}, and settings go to the receiver as JSON, which has no such number")
            })?
            .into(),
        Value::Array(items) => items.into_iter().map(|item| json(key, item)).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(table) => {
            let member = |(name, value): (String, Value)| {
                let place = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let value = json(&place, value)?;
                Ok((name, value))
            };
            table.into_iter().map(member).collect::<Result<serde_json::Map<_, _>, String>>()?.into()
        }
    })
}
