//! The names of clients' metrics: which are known, and which client sends which.
//!
//! In: answered questions for a subscription, and checked payloads. Out: what is known of a name ([`lookup`]), the
//! standard as data ([`METRICS`]), and what a client was seen to send ([`Seen`]). Bounded: 4,096 names, 1,024 sets of
//! names that clients share, a small entry for each of so many clients that have pushed, the longest silent forgotten
//! first. Holds one lock, never while it reads a payload. Decides nothing: no push is taken or refused because of what
//! is here.
//!
//! **What is looked at.** The names of a push are read from its bytes without building anything, which costs a fraction
//! of its check, and of few pushes only: of the 1st, 2nd, 4th and 8th after each answered question of its client, then of
//! every 16th. A client may send a series only when there is something to say, so what it sends is the union of what was
//! seen since its subscription changed.

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

use crate::push::InstanceId;
use name_sets::{NameBounds, NameSet, NameSets};
use pushed_names::PushedNames;

pub use known_metrics::{KnownMetric, MetricDataType, MetricOrigin, lookup};
pub use role::ClientRole;
pub use standard::{STANDARD_METRICS, StandardMetric};

/// Who sends what. Shared by all threads.
#[derive(Debug)]
pub struct Catalogue(Mutex<CatalogueState>);

#[derive(Debug)]
struct CatalogueState {
    sets: NameSets,
    clients: LruCache<InstanceId, CatalogueEntry>,
}

/// What is kept of one client.
#[derive(Debug, Default)]
struct CatalogueEntry {
    /// The one that it pushed under, or was told of, last.
    subscription: i32,
    /// Since its last answered question.
    pushes: u32,
    names: NameSet,
    not_kept: u32,
    sampled_at: Option<SystemTime>,
}

/// What a client was seen to send since its subscription changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMetrics {
    /// Names in full, sorted, each once.
    pub names: Arc<[Arc<str>]>,
    /// Metrics of the push looked at last whose name is not kept, because of the bounds.
    pub not_kept: u32,
    /// When the last push was looked at.
    pub sampled_at: SystemTime,
}

impl Catalogue {
    /// For so many clients; at least one.
    pub fn new(clients: usize) -> Self {
        Self::with_bounds(clients, NameBounds::default())
    }

    fn with_bounds(clients: usize, bounds: NameBounds) -> Self {
        let clients = LruCache::sparse(NonZeroUsize::new(clients).unwrap_or(NonZeroUsize::MIN));
        Self(Mutex::new(CatalogueState { sets: NameSets::new(bounds), clients }))
    }

    /// A client's question for a subscription was answered. Another subscription than before begins a new union. A client
    /// that has not pushed is not remembered: whoever asks under invented ids makes nobody forgotten.
    pub fn record_subscription(&self, id: InstanceId, subscription: i32) {
        if let Some(entry) = self.lock().clients.get_mut(&id) {
            entry.set_subscription(subscription);
            entry.pushes = 0;
        }
    }

    /// A push of a client that was subscribed to this, which was checked. Looks at it if it is its turn.
    pub fn record_push(&self, id: InstanceId, subscription: i32, payload: &[u8], at: SystemTime) {
        if !self.count_push(id, subscription) {
            return;
        }
        let sample = PushedNames::from_payload(payload);
        let names: Vec<&str> = sample.names.into_iter().collect();
        let mut state = self.lock();
        let CatalogueState { sets, clients } = &mut *state;
        // It may have been forgotten since.
        let Some(entry) = clients.peek_mut(&id) else { return };
        let (joined, lost) = sets.union(&entry.names, &names);
        (entry.names, entry.not_kept, entry.sampled_at) = (joined, sample.skipped.saturating_add(lost), Some(at));
    }

    /// The client is gone.
    pub fn remove(&self, id: InstanceId) {
        self.lock().clients.pop(&id);
    }

    /// What a client was seen to send; `None` while nothing was.
    pub fn sent_metrics(&self, id: InstanceId) -> Option<SentMetrics> {
        let state = self.lock();
        let entry = state.clients.peek(&id)?;
        Some(SentMetrics { names: entry.names.clone(), not_kept: entry.not_kept, sampled_at: entry.sampled_at? })
    }

    /// Counts a push, and says whether to look at it.
    fn count_push(&self, id: InstanceId, subscription: i32) -> bool {
        let mut state = self.lock();
        let entry =
            state.clients.get_or_insert_mut(id, || CatalogueEntry { subscription, ..CatalogueEntry::default() });
        entry.set_subscription(subscription);
        entry.pushes = entry.pushes.wrapping_add(1);
        is_sampled(entry.pushes)
    }

    fn lock(&self) -> MutexGuard<'_, CatalogueState> {
        // Nothing here is left half done by a panic that could be caught.
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

/// Whether to look at the so-manieth push after a question: often at first, for the first push of a young client may
/// lack what it has no value for yet.
fn is_sampled(nth: u32) -> bool {
    (nth < 16 && nth.is_power_of_two()) || nth.is_multiple_of(16)
}
