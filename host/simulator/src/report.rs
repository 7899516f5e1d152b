//! The report of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use super::counters::RunCounters;
use super::histogram::LatencyHistogram;
use super::model::ClientKind;
use super::options::SimulationOptions;
use barnabas_base::messages::count_noun;
use barnabas_kafka_client::ErrorCode;
use barnabas_kafka_wire::api;

/// Errors after which every client pushes again (KIP-714, "Client behaviour").
const SURVIVABLE: [i16; 4] = [
    api::UNKNOWN_SUBSCRIPTION_ID,
    api::UNSUPPORTED_COMPRESSION_TYPE,
    api::TELEMETRY_TOO_LARGE,
    api::THROTTLING_QUOTA_EXCEEDED,
];

/// The report of a run. As text, it is a table with the fault in the last line.
#[derive(Clone, Debug, Serialize)]
pub struct SimulationReport {
    /// Duration of the run until clients stopped, in seconds.
    pub seconds: f64,
    /// Well-behaved client instances.
    pub clients: u64,
    /// Requested connections, including misbehaving ones.
    pub connections: u64,
    /// Misbehaving connections.
    pub misbehaving_connections: u64,
    /// Established connections, including reconnects. This and the following values exclude misbehaving connections.
    pub opened: u64,
    /// Connections that the broker closed, or that were lost.
    pub lost: u64,
    /// Failed connection attempts.
    pub refused: u64,
    /// Clients that never had a connection.
    pub never_connected: u64,
    /// Clients whose node did not offer telemetry (API keys 71 and 72) at least once.
    pub not_offered: u64,
    /// Requests without a response within the timeout.
    pub unanswered: u64,
    /// Clients whose requests for a subscription were all refused.
    pub never_subscribed: u64,
    /// Clients with a subscription, but without an accepted push within an interval after the first one was due.
    pub never_accepted: u64,
    /// Connections whose task panicked.
    pub panicked: u64,
    /// Connections whose clients did not stop in time.
    pub unfinished: u64,
    /// Clients by kind.
    pub kinds: BTreeMap<String, KindReport>,
    /// Gets that returned a subscription.
    pub gets: u64,
    /// Accepted pushes, including terminating ones.
    pub pushes: u64,
    /// Accepted terminating pushes.
    pub terminating: u64,
    /// Accepted pushes per second of the run.
    pub pushes_per_second: f64,
    /// Bytes sent, including frame headers.
    pub bytes_sent: u64,
    /// Error responses by request and error.
    pub errors: BTreeMap<String, BTreeMap<String, u64>>,
    /// Error responses after which some clients never push again.
    pub silencing_errors: u64,
    /// Clients that stopped pushing for good.
    pub silent: u64,
    /// The reasons by kind.
    pub silent_because: BTreeMap<String, BTreeMap<String, u64>>,
    /// Of Gets, from the first byte sent to the last byte of the response.
    pub get_latency: Latency,
    /// Of pushes, measured in the same way.
    pub push_latency: Latency,
    /// Responses to misbehaving connections, by misbehaviour.
    pub misbehaviour: BTreeMap<String, BTreeMap<String, u64>>,
    /// The last error of a connection.
    pub last_error: Option<String>,
    /// The faults of the run in one sentence; `None` without faults.
    pub fault: Option<String>,
}

/// Clients of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// All clients.
    pub clients: u64,
    /// Clients that started before the run was over.
    pub started: u64,
    /// Clients that had a connection.
    pub connected: u64,
    /// Clients with an accepted push.
    pub pushed: u64,
    /// Clients that stopped pushing for good.
    pub silent: u64,
}

/// The distribution of latencies in milliseconds, at most 1/32 too high.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Number of responses.
    pub count: u64,
    /// The median.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The 99.9th percentile.
    pub p999_ms: f64,
    /// The maximum, with the precision of a microsecond.
    pub max_ms: f64,
}

impl Latency {
    fn from_histogram(spread: &LatencyHistogram) -> Self {
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        let [p50_ms, p90_ms, p99_ms, p999_ms] = [500, 900, 990, 999].map(|permille| ms(spread.permille(permille)));
        Self { count: spread.count(), p50_ms, p90_ms, p99_ms, p999_ms, max_ms: ms(spread.max()) }
    }
}

impl SimulationReport {
    pub(super) fn new(options: &SimulationOptions, tally: &RunCounters, played: Duration, unfinished: usize) -> Self {
        let all = tally.progress(played);
        let (errors, number) = (tally.errors(), |count: &AtomicU64| count.load(Relaxed));
        let silencing = errors.iter().filter(|((_, code), _)| !SURVIVABLE.contains(code));
        let named = errors.iter().map(|((api, code), count)| ((*api).to_owned(), ErrorCode(*code).to_string(), *count));
        let reasons = tally.reasons().into_iter().map(|((kind, reason), count)| (kind, reason.to_owned(), count));
        let misdeeds = tally.misbehaviour().into_iter().map(|((mode, end), count)| (mode.to_string(), end, count));
        let mut report = Self {
            seconds: played.as_secs_f64(),
            clients: all.clients,
            connections: options.connections as u64,
            misbehaving_connections: options.rogues() as u64,
            opened: number(&tally.opened),
            lost: number(&tally.lost),
            refused: number(&tally.refused),
            never_connected: number(&tally.never_connected),
            not_offered: number(&tally.not_offered),
            unanswered: number(&tally.unanswered),
            never_subscribed: number(&tally.never_subscribed),
            never_accepted: number(&tally.never_accepted),
            panicked: number(&tally.panicked),
            unfinished: unfinished as u64,
            kinds: kinds(tally),
            gets: all.gets,
            pushes: all.pushes,
            terminating: number(&tally.terminating),
            #[allow(clippy::cast_precision_loss, reason = "a rate for reading")]
            pushes_per_second: all.pushes as f64 / played.as_secs_f64(),
            bytes_sent: number(&tally.bytes),
            silencing_errors: silencing.map(|(_, count)| count).sum(),
            errors: nested(named),
            silent: all.silent,
            silent_because: nested(reasons),
            get_latency: Latency::from_histogram(&tally.get_times),
            push_latency: Latency::from_histogram(&tally.push_times),
            misbehaviour: nested(misdeeds),
            last_error: tally.last_error(),
            fault: None,
        };
        report.fault = report.find_fault();
        report
    }

    /// Whether several clients share a connection, unlike real clients.
    pub fn is_multiplexed(&self) -> bool {
        self.clients > self.connections - self.misbehaving_connections
    }

    fn find_fault(&self) -> Option<String> {
        let counts = [
            (self.silent, "client", "stopped pushing for good"),
            (
                self.silencing_errors,
                "error response",
                "to well-behaved clients, after which some clients stop for good",
            ),
            (self.never_connected, "client", "never had a connection"),
            (self.not_offered, "client", "without an offer of telemetry from the broker"),
            (self.unanswered, "request", "without a response"),
            (self.never_subscribed, "client", "never got a subscription"),
            (self.never_accepted, "client", "got a subscription, but never had a push accepted"),
            (self.panicked, "connection task", "panicked, which is a bug in barnabas: please report it"),
        ];
        let faults = counts.iter().filter(|(number, ..)| *number > 0);
        let faults: Vec<_> =
            faults.map(|(number, noun, text)| format!("{} {text}", count_noun(number, noun))).collect();
        if faults.is_empty() {
            return None;
        }
        let last_error = self.last_error.as_ref().map(|why| format!(" (last connection error: {why})"));
        Some(format!("{}{}", faults.join(", "), last_error.unwrap_or_default()))
    }
}

fn kinds(tally: &RunCounters) -> BTreeMap<String, KindReport> {
    let of = |kind: &ClientKind| {
        let counts = tally.kind(*kind);
        KindReport {
            clients: counts.clients.load(Relaxed),
            started: counts.begun.load(Relaxed),
            connected: counts.connected.load(Relaxed),
            pushed: counts.pushed.load(Relaxed),
            silent: counts.silent.load(Relaxed),
        }
    };
    let all = ClientKind::ALL.iter().map(|kind| (kind.to_string(), of(kind)));
    all.filter(|(_, counts)| counts.clients > 0).collect()
}

fn nested(entries: impl Iterator<Item = (String, String, u64)>) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut all = BTreeMap::<String, BTreeMap<String, u64>>::new();
    for (outer, inner, count) in entries {
        *all.entry(outer).or_default().entry(inner).or_default() += count;
    }
    all
}

impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (clients, connections) = (self.clients, self.connections - self.misbehaving_connections);
        let shared = if self.is_multiplexed() { ", several clients per connection" } else { "" };
        let (clients, connections) = (count_noun(clients, "client"), count_noun(connections, "connection"));
        writeln!(f, "{clients} on {connections}{shared}, {:.1} s", self.seconds)?;
        writeln!(f, "silent      {}", self.silent)?;
        rows(f, &self.silent_because)?;
        writeln!(f, "kind        clients  started  connected   pushed   silent")?;
        for (kind, of) in &self.kinds {
            let KindReport { clients, started, connected, pushed, silent } = of;
            writeln!(f, "  {kind:<10}{clients:>7}{started:>9}{connected:>11}{pushed:>9}{silent:>9}")?;
        }
        let (opened, lost, refused) = (self.opened, self.lost, self.refused);
        writeln!(f, "connections {opened} opened, {lost} lost, {} failed", count_noun(refused, "attempt"))?;
        writeln!(f, "gets        {}", self.gets)?;
        let (pushes, rate, last) = (self.pushes, self.pushes_per_second, self.terminating);
        writeln!(f, "pushes      {pushes} ({rate:.0}/s), {last} of them terminating")?;
        writeln!(f, "bytes sent  {}", self.bytes_sent)?;
        writeln!(f, "errors      {}", self.errors.values().flat_map(BTreeMap::values).sum::<u64>())?;
        rows(f, &self.errors)?;
        writeln!(f, "latency ms        p50       p90       p99     p99.9       max")?;
        for (name, of) in [("get", &self.get_latency), ("push", &self.push_latency)] {
            let Latency { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = of;
            writeln!(f, "  {name:<8}{p50_ms:>11.2}{p90_ms:>10.2}{p99_ms:>10.2}{p999_ms:>10.2}{max_ms:>10.2}")?;
        }
        if self.misbehaving_connections > 0 {
            writeln!(f, "misbehaving {}", count_noun(self.misbehaving_connections, "connection"))?;
            rows(f, &self.misbehaviour)?;
        }
        if self.unfinished > 0 {
            writeln!(
                f,
                "unfinished  {} aborted while their clients stopped",
                count_noun(self.unfinished, "connection")
            )?;
        }
        match &self.fault {
            Some(fault) => writeln!(f, "FAULT: {fault}"),
            None => writeln!(f, "no faults"),
        }
    }
}

fn rows(f: &mut fmt::Formatter<'_>, all: &BTreeMap<String, BTreeMap<String, u64>>) -> fmt::Result {
    for (outer, inner) in all {
        for (name, count) in inner {
            writeln!(f, "  {outer}: {name}: {count}")?;
        }
    }
    Ok(())
}
