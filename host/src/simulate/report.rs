//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use super::counters::RunCounters;
use super::histogram::LatencyHistogram;
use super::model::ClientKind;
use super::options::SimulationOptions;
use crate::kafka::api;
use crate::kafka::client::ErrorCode;
use crate::messages::count_noun;

/// Errors after which every client comes back (KIP-714, "Client behaviour").
const SURVIVABLE: [i16; 4] = [
    api::UNKNOWN_SUBSCRIPTION_ID,
    api::UNSUPPORTED_COMPRESSION_TYPE,
    api::TELEMETRY_TOO_LARGE,
    api::THROTTLING_QUOTA_EXCEEDED,
];

/// All of it. Text form: a table for people, the fault last.
#[derive(Clone, Debug, Serialize)]
pub struct SimulationReport {
    /// How long it ran before clients left, in seconds.
    pub seconds: f64,
    /// Client instances that behave well.
    pub clients: u64,
    /// Connections asked for, those that misbehave among them.
    pub connections: u64,
    /// Connections that misbehave.
    pub misbehaving_connections: u64,
    /// Connections made, made again included; those that misbehave are not in this and what follows.
    pub opened: u64,
    /// Connections that the broker ended, or that were lost.
    pub lost: u64,
    /// Attempts to connect that failed.
    pub refused: u64,
    /// Clients that tried and never had a connection.
    pub never_connected: u64,
    /// Clients whose node did not offer telemetry (requests 71 and 72), once or always.
    pub not_offered: u64,
    /// Requests that were not answered within the client's patience.
    pub unanswered: u64,
    /// Clients that asked for a subscription and were refused each time.
    pub never_told: u64,
    /// Clients that were told of metrics, and of which no push was taken, an interval after the first was due.
    pub never_taken: u64,
    /// Connections whose task in this program panicked.
    pub panicked: u64,
    /// Connections whose clients had not left when the time for it was over.
    pub unfinished: u64,
    /// By kind.
    pub kinds: BTreeMap<String, KindReport>,
    /// Gets answered with a subscription.
    pub gets: u64,
    /// Pushes taken, terminating ones among them.
    pub pushes: u64,
    /// Terminating pushes taken.
    pub terminating: u64,
    /// Pushes taken for each second of the run.
    pub pushes_per_second: f64,
    /// Bytes sent, frames and all.
    pub bytes_sent: u64,
    /// Requests answered with an error, by request and error.
    pub errors: BTreeMap<String, BTreeMap<String, u64>>,
    /// Of these, errors after which some clients never push again.
    pub silencing_errors: u64,
    /// Clients that fell silent.
    pub silent: u64,
    /// Why, by kind.
    pub silent_because: BTreeMap<String, BTreeMap<String, u64>>,
    /// From a Get's first byte sent to its answer's last byte read.
    pub get_latency: Latency,
    /// Likewise of pushes.
    pub push_latency: Latency,
    /// What those that misbehave were answered, by what they did.
    pub misbehaviour: BTreeMap<String, BTreeMap<String, u64>>,
    /// Why a connection was not made or lost, last.
    pub trouble: Option<String>,
    /// What should not have been, in one sentence; `None` when all went well.
    pub fault: Option<String>,
}

/// Clients of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// All of them.
    pub clients: u64,
    /// Whose turn to start had come before the run was over.
    pub started: u64,
    /// That had a connection.
    pub connected: u64,
    /// Of which a push was taken.
    pub pushed: u64,
    /// That fell silent.
    pub silent: u64,
}

/// How latencies are spread, in milliseconds, at most a thirty-second above the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Answers.
    pub count: u64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 90 of 100 took no longer.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// The longest, exact to a microsecond.
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
            never_told: number(&tally.never_subscribed),
            never_taken: number(&tally.never_accepted),
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
            trouble: tally.last_error(),
            fault: None,
        };
        report.fault = report.find_fault();
        report
    }

    /// Whether several clients share a connection, which real ones never do.
    pub fn is_multiplexed(&self) -> bool {
        self.clients > self.connections - self.misbehaving_connections
    }

    fn find_fault(&self) -> Option<String> {
        let counts = [
            (self.silent, "client(s) fell silent"),
            (self.silencing_errors, "answer(s) to well-behaved clients were errors that silence clients"),
            (self.never_connected, "client(s) never had a connection"),
            (self.not_offered, "client(s) were not offered telemetry"),
            (self.unanswered, "request(s) were never answered"),
            (self.never_told, "client(s) were refused whenever they asked for a subscription"),
            (self.never_taken, "client(s) were told of metrics and no push of theirs was taken"),
            (self.panicked, "connection(s) of this program panicked, which is a bug of it: report it"),
        ];
        let faults = counts.iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> = faults.map(|(count, words)| format!("{count} {words}")).collect();
        if words.is_empty() {
            return None;
        }
        let trouble = self.trouble.as_ref().map(|why| format!(" (last trouble with a connection: {why})"));
        Some(format!("{}{}", words.join(", "), trouble.unwrap_or_default()))
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
        let shared = if self.is_multiplexed() { ", several clients to a connection" } else { "" };
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
            writeln!(f, "unfinished  {} cut off while their clients left", count_noun(self.unfinished, "connection"))?;
        }
        match &self.fault {
            Some(fault) => writeln!(f, "FAULT: {fault}"),
            None => writeln!(f, "nothing unexpected"),
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
