//! The metric names of clients: which names are known, and which client sends which.
//!
//! In: answered GetTelemetrySubscriptions requests, and checked payloads. Out: what is known of a name ([`lookup`]),
//! the standard as data ([`STANDARD_METRICS`]), and the metrics that a client was seen to send ([`SentMetrics`]).
//! Bounded: 4,096 names, 1,024 sets of names that clients share, and a small entry for each of a limited number of
//! clients that have pushed; the least recently active entry is evicted first. It holds one lock, never while it reads
//! a payload. Never: decides anything; no push is accepted or refused because of its content.
//!
//! **Sampling.** The names of a push are read from its bytes without building anything, which costs a fraction of its
//! check, and only from few pushes: from the 1st, 2nd, 4th and 8th after each answered GetTelemetrySubscriptions of its
//! client, then from every 16th. A client may send a series only when it has a value, so its metrics are the union of
//! the sampled names since its subscription changed.

mod known_metrics;
mod name_sets;
mod nonstandard;
mod pushed_names;
mod role;
mod standard;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lru::LruCache;

use barnabas_base::InstanceId;
use name_sets::{NameBounds, NameSet, NameSets};
use pushed_names::PushedNames;

pub use known_metrics::{KnownMetric, MetricDataType, MetricOrigin, lookup};
pub use role::ClientRole;
pub use standard::{STANDARD_METRICS, StandardMetric};

/// Which client sends which metrics. Shared by all threads.
#[derive(Debug)]
pub struct Catalogue(Mutex<CatalogueState>);

#[derive(Debug)]
struct CatalogueState {
    sets: NameSets,
    clients: LruCache<InstanceId, CatalogueEntry>,
}

/// The entry of one client.
#[derive(Debug, Default)]
struct CatalogueEntry {
    /// The subscription that it pushed under, or was given, last.
    subscription: i32,
    /// Pushes since its last answered GetTelemetrySubscriptions.
    pushes: u32,
    names: NameSet,
    not_kept: u32,
    sampled_at: Option<SystemTime>,
}

/// The metrics that a client was seen to send since its subscription changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMetrics {
    /// Full names, sorted, each once.
    pub names: Arc<[Arc<str>]>,
    /// Metrics of the latest sampled push whose name is not kept because of the bounds.
    pub not_kept: u32,
    /// When the latest sampled push was received.
    pub sampled_at: SystemTime,
}

impl Catalogue {
    /// For this number of clients, at least one.
    pub fn new(clients: usize) -> Self {
        Self::with_bounds(clients, NameBounds::default())
    }

    fn with_bounds(clients: usize, bounds: NameBounds) -> Self {
        let clients = LruCache::sparse(NonZeroUsize::new(clients).unwrap_or(NonZeroUsize::MIN));
        Self(Mutex::new(CatalogueState { sets: NameSets::new(bounds), clients }))
    }

    /// A client's GetTelemetrySubscriptions was answered. Another subscription than before starts a new union. A client
    /// that has not pushed is not remembered, so that requests under invented ids evict nobody.
    pub fn record_subscription(&self, id: InstanceId, subscription: i32) {
        if let Some(entry) = self.lock().clients.get_mut(&id) {
            entry.set_subscription(subscription);
            entry.pushes = 0;
        }
    }

    /// Records a checked push of a client with this subscription, and samples its names if it is due.
    pub fn record_push(&self, id: InstanceId, subscription: i32, payload: &[u8], at: SystemTime) {
        if !self.count_push(id, subscription) {
            return;
        }
        let sample = PushedNames::from_payload(payload);
        let names: Vec<&str> = sample.names.into_iter().collect();
        let mut state = self.lock();
        let CatalogueState { sets, clients } = &mut *state;
        // The entry may have been evicted since.
        let Some(entry) = clients.peek_mut(&id) else { return };
        let (joined, lost) = sets.union(&entry.names, &names);
        (entry.names, entry.not_kept, entry.sampled_at) = (joined, sample.skipped.saturating_add(lost), Some(at));
    }

    /// The client is gone.
    pub fn remove(&self, id: InstanceId) {
        self.lock().clients.pop(&id);
    }

    /// The metrics that a client was seen to send; `None` while nothing was sampled.
    pub fn sent_metrics(&self, id: InstanceId) -> Option<SentMetrics> {
        let state = self.lock();
        let entry = state.clients.peek(&id)?;
        Some(SentMetrics { names: entry.names.clone(), not_kept: entry.not_kept, sampled_at: entry.sampled_at? })
    }

    /// Counts a push, and returns whether it is to be sampled.
    fn count_push(&self, id: InstanceId, subscription: i32) -> bool {
        let mut state = self.lock();
        let entry =
            state.clients.get_or_insert_mut(id, || CatalogueEntry { subscription, ..CatalogueEntry::default() });
        entry.set_subscription(subscription);
        entry.pushes = entry.pushes.wrapping_add(1);
        is_sampled(entry.pushes)
    }

    fn lock(&self) -> MutexGuard<'_, CatalogueState> {
        // A panic leaves nothing half done here, so a poisoned lock is safe to use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CatalogueEntry {
    fn set_subscription(&mut self, subscription: i32) {
        if self.subscription != subscription {
            *self = Self { subscription, ..Self::default() };
        }
    }
}

/// Whether to sample the `nth` push after a GetTelemetrySubscriptions: often at first, because the first push of a new
/// client may lack metrics that have no value yet.
fn is_sampled(nth: u32) -> bool {
    (nth < 16 && nth.is_power_of_two()) || nth.is_multiple_of(16)
}
