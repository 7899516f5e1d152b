//! Replays every recording under `tests/traces` to the model of its kind: each request of the real client must be planned
//! by the model (same request, same ids, within the jitter), and no planned request may be missing.
//!
//! Each recording is replayed to two models: one always has the minimum jitter, the other the maximum. The jitter of the
//! real client is between them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::model::jitter::Jitter;
use crate::model::{ClientKind, Model, ModelSubscription, TelemetryRequest};
use barnabas_base::InstanceId;

/// The broker records the time when it read a request; a client counts from the time when it read the response. So a
/// request is early only by the granularity of the client's timer.
const EARLY: Duration = Duration::from_millis(50);
/// Maximum delay of a client on a busy machine. Less than the shortest recorded interval.
const LATE: Duration = Duration::from_millis(900);

/// A line of a recording.
#[derive(Deserialize)]
struct TraceLine {
    ms: u64,
    connection: Option<u32>,
    event: Option<String>,
    by: Option<String>,
    request: Option<String>,
    telemetry: Option<bool>,
    instance: Option<String>,
    subscription_id: Option<i32>,
    #[serde(default)]
    terminating: bool,
    codec: Option<i8>,
    bytes: Option<usize>,
    answer: Option<TraceAnswer>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum TraceAnswer {
    /// No response: the broker closed the connection.
    Close(#[allow(dead_code, reason = "the text is always `close`")] String),
    Subscription(TraceSubscription),
    Code {
        error: i16,
    },
}

#[derive(Clone, Deserialize)]
struct TraceSubscription {
    instance: String,
    subscription_id: i32,
    codecs: Vec<i8>,
    interval_ms: u64,
    metrics: Vec<String>,
    delta: bool,
}

impl TraceSubscription {
    fn into_model(self) -> ModelSubscription {
        let Self { instance, subscription_id, codecs, interval_ms, metrics, delta } = self;
        let interval = Duration::from_millis(interval_ms);
        ModelSubscription { instance: id(&instance), subscription_id, codecs, interval, metrics, delta }
    }
}

fn id(hex: &str) -> InstanceId {
    InstanceId::from_bytes(u128::from_str_radix(hex, 16).expect("an id").to_be_bytes())
}

/// The replay of one recording.
struct Replay {
    models: [Model; 2],
    /// Open connections of the model, and whether they offer telemetry.
    open: BTreeMap<u32, bool>,
    flight: Option<u32>,
    closing: bool,
    /// Whether this kind always sends a terminating push; Java often does not.
    always_terminates: bool,
    pushes: usize,
}

impl Replay {
    fn new(kind: ClientKind) -> Self {
        let models = [0.0, 1.0].map(|fraction| Model::with_jitter(kind, Jitter::Fixed(fraction)));
        let always_says_goodbye = kind == ClientKind::Librdkafka;
        Self {
            models,
            open: BTreeMap::new(),
            flight: None,
            closing: false,
            always_terminates: always_says_goodbye,
            pushes: 0,
        }
    }

    fn each(&mut self, happens: impl Fn(&mut Model)) {
        self.models.iter_mut().for_each(happens);
    }

    /// Checks that no request that was due is missing.
    fn nothing_missed(&self, now: Duration) {
        let latest = self.models.each_ref().map(Model::next).into_iter().collect::<Option<Vec<_>>>();
        let Some((due, ask)) = latest.into_iter().flatten().max_by_key(|(due, _)| *due) else { return };
        assert!(self.closing || now <= due + LATE, "at {now:?}: {ask:?}, due at {due:?}, is missing");
    }

    fn opened(&mut self, now: Duration, connection: u32, offers: bool) {
        if self.open.is_empty() {
            self.each(|model| model.connected(now, offers));
        }
        self.open.insert(connection, offers);
    }

    fn closed(&mut self, now: Duration, connection: u32) {
        let counted = self.open.remove(&connection).is_some();
        let last_words = self.closing && self.models.iter().all(|model| model.next().is_some());
        assert!(!(counted && last_words && self.always_terminates), "the client closed without a terminating push");
        let lost = self.flight.take_if(|flight| *flight == connection).is_some();
        if lost || (counted && self.open.is_empty()) {
            self.each(|model| model.disconnected(now));
            if let Some(offers) = self.open.values().next().copied() {
                self.each(|model| model.connected(now, offers));
            }
        }
    }

    fn close(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.closing, true) {
            self.each(|model| model.close(now));
        }
    }

    fn sent(&mut self, now: Duration, line: &TraceLine, ask: TelemetryRequest) {
        if line.terminating {
            self.close(now);
        }
        let [(earliest, first), (latest, last)] =
            self.models.each_ref().map(|model| model.next().unwrap_or_else(|| panic!("{ask:?} was not planned")));
        assert!(first == ask && last == ask, "{ask:?} was sent, but {first:?} or {last:?} was planned");
        let window = earliest.min(latest).saturating_sub(EARLY)..=latest.max(earliest) + LATE;
        assert!(window.contains(&now), "{ask:?} was sent at {now:?}, but planned for {window:?}");
        self.each(|model| model.sent(now));
    }

    fn pushed(&mut self, line: &TraceLine) {
        self.pushes += 1;
        let model = &self.models[0];
        let held_metrics = line.bytes.is_some_and(|bytes| bytes > 100);
        assert_eq!(held_metrics, model.selects("org.apache.kafka.producer.connection.creation.total"));
        if held_metrics {
            assert_eq!(line.codec, Some(model.codec()));
        }
    }

    fn request(&mut self, now: Duration, line: TraceLine) {
        let instance = id(line.instance.as_deref().expect("every request has an id"));
        let push = line.subscription_id;
        let ask = match push {
            None => TelemetryRequest::Get { instance },
            Some(subscription_id) => {
                TelemetryRequest::Push { instance, subscription_id, terminating: line.terminating }
            }
        };
        self.sent(now, &line, ask);
        if push.is_some() {
            self.pushed(&line);
        }
        match line.answer.expect("every request has a response") {
            TraceAnswer::Close(_) => self.flight = line.connection,
            TraceAnswer::Subscription(subscription) => {
                let given_subscription = subscription.into_model();
                self.each(|model| model.answered_get(now, Ok(given_subscription.clone())));
            }
            TraceAnswer::Code { error } if push.is_none() => self.each(|model| model.answered_get(now, Err(error))),
            TraceAnswer::Code { error: 0 } => self.each(|model| model.answered_push(now, Ok(()))),
            TraceAnswer::Code { error } => self.each(|model| model.answered_push(now, Err(error))),
        }
    }

    fn line(&mut self, line: TraceLine, passing: &[u32]) {
        let now = Duration::from_millis(line.ms);
        self.nothing_missed(now);
        match (line.event.as_deref(), line.request.as_deref()) {
            (Some("closing"), _) => self.close(now),
            (Some("closed"), _) => self.closed(now, line.connection.expect("a connection")),
            (_, Some("ApiVersions")) => {
                let connection = line.connection.expect("a connection");
                if !passing.contains(&connection) {
                    self.opened(now, connection, line.telemetry == Some(true));
                }
            }
            (_, Some(_)) => self.request(now, line),
            _ => {}
        }
    }
}

/// Connections that the client closed itself without any telemetry request: librdkafka bootstraps on one.
fn bootstrap_connections(lines: &[TraceLine]) -> Vec<u32> {
    let of = |line: &TraceLine| line.connection;
    let quiet = |connection: u32| {
        !lines.iter().any(|line| of(line) == Some(connection) && line.instance.is_some())
            && lines
                .iter()
                .take_while(|line| line.event.as_deref() != Some("closing"))
                .any(|line| of(line) == Some(connection) && line.by.as_deref() == Some("client"))
    };
    lines.iter().filter_map(of).filter(|connection| quiet(*connection)).collect()
}

/// Replays a recording and returns the number of pushes.
fn replay(kind: ClientKind, path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("a recording");
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()));
    let lines: Vec<TraceLine> = text.lines().map(read).collect();
    assert_eq!(lines.last().and_then(|line| line.event.as_deref()), Some("end"), "{} is truncated", path.display());
    let passing = bootstrap_connections(&lines);
    let mut replay = Replay::new(kind);
    for line in lines {
        replay.line(line, &passing);
    }
    replay.pushes
}

/// The kind of client, from the name of the directory: `java-3.9.1`, `librdkafka-consumer-2.16.0`.
fn kind_of(directory: &str) -> ClientKind {
    if directory.starts_with("librdkafka-") {
        return ClientKind::Librdkafka;
    }
    let (_, version) = directory.rsplit_once('-').expect("a version");
    match version.split('.').collect::<Vec<_>>()[..] {
        ["3", "7", _] => ClientKind::Java37,
        ["3", "8" | "9", _] | ["4", "0", _] | ["4", "1", "0"] => ClientKind::Java39,
        ["4", ..] => ClientKind::Java42,
        _ => panic!("{directory} is not a known kind of client"),
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory).expect("a directory").map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn recordings() -> Vec<(ClientKind, PathBuf)> {
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traces");
    let of_clients = entries(&traces).into_iter().filter(|path| path.is_dir() && !path.ends_with("record"));
    let with_kind = |directory: PathBuf| {
        let kind = kind_of(directory.file_name().unwrap().to_str().unwrap());
        entries(&directory).into_iter().map(move |path| (kind, path))
    };
    of_clients.flat_map(with_kind).collect()
}

#[test]
fn every_recording_conforms_to_its_model() {
    let mut pushes = BTreeMap::new();
    let mut wrong = Vec::new();
    for (kind, path) in recordings() {
        match std::panic::catch_unwind(|| replay(kind, &path)) {
            Ok(count) => *pushes.entry(kind.as_str()).or_default() += count,
            Err(_) => wrong.push(path),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for kind in ClientKind::ALL {
        assert!(pushes.get(kind.as_str()).is_some_and(|count: &usize| *count > 20), "{kind}: {pushes:?}");
    }
}

#[test]
fn a_recording_does_not_conform_to_the_model_of_another_kind() {
    let recordings = recordings();
    for (kind, wrong, scenario) in [
        (ClientKind::Java39, ClientKind::Librdkafka, "push-76.jsonl"),
        (ClientKind::Librdkafka, ClientKind::Java39, "push-118.jsonl"),
        (ClientKind::Librdkafka, ClientKind::Java42, "push-close.jsonl"),
    ] {
        let (_, path) = recordings.iter().find(|(of, path)| *of == kind && path.ends_with(scenario)).expect("recorded");
        assert!(std::panic::catch_unwind(|| replay(wrong, path)).is_err(), "{wrong} is like {kind} in {scenario}");
    }
}
