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

mod beyond;
mod known;
mod role;
mod sample;
mod sets;
mod standard;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lru::LruCache;

use crate::push::InstanceId;
use sample::Sample;
use sets::{Bounds, Set, Sets};

pub use known::{Form, Kind, Known, lookup};
pub use role::Role;
pub use standard::{METRICS, Metric};

/// Who sends what. Shared by all threads.
#[derive(Debug)]
pub struct Catalogue(Mutex<State>);

#[derive(Debug)]
struct State {
    sets: Sets,
    clients: LruCache<InstanceId, Entry>,
}

/// What is kept of one client.
#[derive(Debug, Default)]
struct Entry {
    /// The one that it pushed under, or was told of, last.
    subscription: i32,
    /// Since its last answered question.
    pushes: u32,
    names: Set,
    more: u32,
    at: Option<SystemTime>,
}

/// What a client was seen to send since its subscription changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Names in full, sorted, each once.
    pub names: Arc<[Arc<str>]>,
    /// Metrics of the push looked at last whose name is not kept, because of the bounds.
    pub more: u32,
    /// When the last push was looked at.
    pub at: SystemTime,
}

impl Catalogue {
    /// For so many clients; at least one.
    pub fn new(clients: usize) -> Self {
        Self::bounded(clients, Bounds::default())
    }

    fn bounded(clients: usize, bounds: Bounds) -> Self {
        let clients = LruCache::sparse(NonZeroUsize::new(clients).unwrap_or(NonZeroUsize::MIN));
        Self(Mutex::new(State { sets: Sets::new(bounds), clients }))
    }

    /// A client's question for a subscription was answered. Another subscription than before begins a new union. A client
    /// that has not pushed is not remembered: whoever asks under invented ids makes nobody forgotten.
    pub fn asked(&self, id: InstanceId, subscription: i32) {
        if let Some(entry) = self.lock().clients.get_mut(&id) {
            entry.under(subscription);
            entry.pushes = 0;
        }
    }

    /// A push of a client that was subscribed to this, which was checked. Looks at it if it is its turn.
    pub fn pushed(&self, id: InstanceId, subscription: i32, payload: &[u8], at: SystemTime) {
        if !self.is_due(id, subscription) {
            return;
        }
        let sample = Sample::of(payload);
        let names: Vec<&str> = sample.names.into_iter().collect();
        let mut state = self.lock();
        let State { sets, clients } = &mut *state;
        // It may have been forgotten since.
        let Some(entry) = clients.peek_mut(&id) else { return };
        let (joined, lost) = sets.join(&entry.names, &names);
        (entry.names, entry.more, entry.at) = (joined, sample.more.saturating_add(lost), Some(at));
    }

    /// The client is gone.
    pub fn forget(&self, id: InstanceId) {
        self.lock().clients.pop(&id);
    }

    /// What a client was seen to send; `None` while nothing was.
    pub fn seen(&self, id: InstanceId) -> Option<Seen> {
        let state = self.lock();
        let entry = state.clients.peek(&id)?;
        Some(Seen { names: entry.names.clone(), more: entry.more, at: entry.at? })
    }

    /// Counts a push, and says whether to look at it.
    fn is_due(&self, id: InstanceId, subscription: i32) -> bool {
        let mut state = self.lock();
        let entry = state.clients.get_or_insert_mut(id, || Entry { subscription, ..Entry::default() });
        entry.under(subscription);
        entry.pushes = entry.pushes.wrapping_add(1);
        is_due(entry.pushes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here is left half done by a panic that could be caught.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn under(&mut self, subscription: i32) {
        if self.subscription != subscription {
            *self = Self { subscription, ..Self::default() };
        }
    }
}

/// Whether to look at the so-manieth push after a question: often at first, for the first push of a young client may
/// lack what it has no value for yet.
fn is_due(nth: u32) -> bool {
    (nth < 16 && nth.is_power_of_two()) || nth.is_multiple_of(16)
}
