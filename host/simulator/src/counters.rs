//! Counters of a run, shared by all connections.
//!
//! In: one call per event. Out: numbers for a [`FleetProgress`] and for the report. Bounded: keys come from fixed lists,
//! except for error codes, of which a broker can send 65,536.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::UnmetExpectation;
use super::histogram::LatencyHistogram;
use super::model::ClientKind;
use super::options::SimulationOptions;
use super::rogue::Misbehaviour;
use barnabas_kafka_wire::api::Api;

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetProgress {
    /// Time since the beginning.
    pub elapsed: Duration,
    /// Clients of well-behaved connections.
    pub clients: u64,
    /// Clients of well-behaved connections that had a connection.
    pub connected: u64,
    /// Open connections.
    pub open: u64,
    /// Gets that returned a subscription.
    pub gets: u64,
    /// Accepted pushes.
    pub pushes: u64,
    /// Error responses to well-behaved clients.
    pub errors: u64,
    /// Clients that stopped pushing for good.
    pub silent: u64,
}

/// Clients of one kind.
#[derive(Debug, Default)]
pub(super) struct KindCounters {
    pub(super) clients: AtomicU64,
    pub(super) begun: AtomicU64,
    pub(super) connected: AtomicU64,
    pub(super) pushed: AtomicU64,
    pub(super) silent: AtomicU64,
}

/// Counters of the whole run.
#[derive(Debug, Default)]
pub(super) struct RunCounters {
    /// In the order of [`ClientKind::ALL`].
    kinds: [KindCounters; ClientKind::ALL.len()],
    pub(super) get_times: LatencyHistogram,
    pub(super) push_times: LatencyHistogram,
    pub(super) gets: AtomicU64,
    pub(super) pushes: AtomicU64,
    pub(super) terminating: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) never_connected: AtomicU64,
    pub(super) not_offered: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) never_subscribed: AtomicU64,
    pub(super) never_accepted: AtomicU64,
    pub(super) panicked: AtomicU64,
    errors: Mutex<BTreeMap<(&'static str, i16), u64>>,
    silent: Mutex<BTreeMap<(String, &'static str), u64>>,
    misbehaviour: Mutex<BTreeMap<(Misbehaviour, String), u64>>,
    last_error: Mutex<Option<String>>,
}

impl RunCounters {
    pub(super) fn new(options: &SimulationOptions) -> Self {
        let tally = Self::default();
        for connection in (0..options.connections).filter(|number| options.rogue(*number).is_none()) {
            let clients = options.clients_of(connection).count();
            tally.kind(options.kind_of(connection)).clients.fetch_add(clients as u64, Relaxed);
        }
        tally
    }

    /// The counters of a kind.
    pub(super) fn kind(&self, kind: ClientKind) -> &KindCounters {
        let at = ClientKind::ALL.iter().position(|one| *one == kind);
        at.and_then(|at| self.kinds.get(at)).expect("every kind has counters")
    }

    pub(super) fn begun(&self, kind: ClientKind, clients: usize) {
        self.kind(kind).begun.fetch_add(clients as u64, Relaxed);
    }

    /// Counts the first connection of these clients.
    pub(super) fn connected(&self, kind: ClientKind, clients: usize) {
        self.kind(kind).connected.fetch_add(clients as u64, Relaxed);
    }

    pub(super) fn never_connected(&self, clients: usize) {
        self.never_connected.fetch_add(clients as u64, Relaxed);
    }

    /// Counts clients whose node does not offer telemetry, once per client.
    pub(super) fn not_offered(&self, clients: usize) {
        self.not_offered.fetch_add(clients as u64, Relaxed);
    }

    /// Counts a failed request if the reason is a timeout.
    pub(super) fn unanswered(&self, why: &anyhow::Error) {
        let mut causes = why.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
        let late = causes.any(|cause| cause.kind() == io::ErrorKind::TimedOut);
        self.unanswered.fetch_add(late.into(), Relaxed);
    }

    /// Counts the outcome of a client at the end of the run.
    pub(super) fn run_ended(&self, want: Option<UnmetExpectation>) {
        match want {
            None => {}
            Some(UnmetExpectation::Subscription) => _ = self.never_subscribed.fetch_add(1, Relaxed),
            Some(UnmetExpectation::AcceptedPush) => _ = self.never_accepted.fetch_add(1, Relaxed),
        }
    }

    pub(super) fn panicked(&self) {
        self.panicked.fetch_add(1, Relaxed);
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    pub(super) fn not_connected(&self, why: &anyhow::Error) {
        self.refused.fetch_add(1, Relaxed);
        *lock(&self.last_error) = Some(format!("{why:#}"));
    }

    /// Counts a connection that the broker closed, or that timed out.
    pub(super) fn lost(&self, why: &anyhow::Error) {
        self.lost.fetch_add(1, Relaxed);
        *lock(&self.last_error) = Some(format!("{why:#}"));
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn got(&self, took: Duration, error: Option<i16>) {
        self.get_times.add(took);
        self.answered(Api::GetTelemetrySubscriptions, &self.gets, error);
    }

    pub(super) fn pushed(&self, took: Duration, error: Option<i16>, terminating: bool) {
        self.push_times.add(took);
        self.answered(Api::PushTelemetry, &self.pushes, error);
        if terminating && error.is_none() {
            self.terminating.fetch_add(1, Relaxed);
        }
    }

    fn answered(&self, api: Api, well: &AtomicU64, error: Option<i16>) {
        match error {
            None => _ = well.fetch_add(1, Relaxed),
            Some(code) => *lock(&self.errors).entry((api.name(), code)).or_default() += 1,
        }
    }

    pub(super) fn first_push(&self, kind: ClientKind) {
        self.kind(kind).pushed.fetch_add(1, Relaxed);
    }

    pub(super) fn silent(&self, kind: ClientKind, reason: &'static str) {
        self.kind(kind).silent.fetch_add(1, Relaxed);
        *lock(&self.silent).entry((kind.to_string(), reason)).or_default() += 1;
    }

    pub(super) fn count_misbehaviour(&self, mode: Misbehaviour, outcome: String) {
        *lock(&self.misbehaviour).entry((mode, outcome)).or_default() += 1;
    }

    pub(super) fn errors(&self) -> BTreeMap<(&'static str, i16), u64> {
        lock(&self.errors).clone()
    }

    pub(super) fn reasons(&self) -> BTreeMap<(String, &'static str), u64> {
        lock(&self.silent).clone()
    }

    pub(super) fn misbehaviour(&self) -> BTreeMap<(Misbehaviour, String), u64> {
        lock(&self.misbehaviour).clone()
    }

    /// The last error of a connection.
    pub(super) fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    pub(super) fn progress(&self, elapsed: Duration) -> FleetProgress {
        let sum = |of: fn(&KindCounters) -> &AtomicU64| self.kinds.iter().map(|kind| of(kind).load(Relaxed)).sum();
        let closed = self.closed.load(Relaxed);
        FleetProgress {
            elapsed,
            clients: sum(|kind| &kind.clients),
            connected: sum(|kind| &kind.connected),
            open: self.opened.load(Relaxed).saturating_sub(closed),
            gets: self.gets.load(Relaxed),
            pushes: self.pushes.load(Relaxed),
            errors: lock(&self.errors).values().sum(),
            silent: sum(|kind| &kind.silent),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
