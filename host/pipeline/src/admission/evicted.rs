//! Clients that were evicted because the table was full, until receivers are notified that they are gone.
//!
//! In: what the table evicts. Out: the same, once, unless the client came back meanwhile. Unestablished clients are not
//! kept: no receiver has seen them. Bounded: if too many wait, the oldest is dropped and counted.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::instance::ClientInstance;
use super::reputation::Reputation;
use barnabas_base::InstanceId;

/// The most clients that wait for their notification: as many as a table of the default size holds.
const MAX_WAITING: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

pub(super) struct Evicted {
    waiting: LruCache<InstanceId, ClientInstance>,
    dropped: u64,
}

impl Evicted {
    pub(super) fn new() -> Self {
        Self { waiting: LruCache::sparse(MAX_WAITING), dropped: 0 }
    }

    /// Clients whose departure receivers will never be notified of, since the start.
    pub(super) fn dropped_count(&self) -> u64 {
        self.dropped
    }

    pub(super) fn add(&mut self, instance: ClientInstance, reputation: Reputation) {
        if reputation == Reputation::Unestablished || instance.is_gone_reported() {
            return;
        }
        let dropped = self.waiting.push(instance.id, instance);
        self.dropped += u64::from(dropped.is_some());
    }

    /// The client came back before the notification, so it is not gone. Returns its reputation.
    pub(super) fn reinstate(&mut self, id: InstanceId) -> Reputation {
        if self.waiting.pop(&id).is_some() { Reputation::Established } else { Reputation::Unestablished }
    }

    /// Moves the clients that were evicted first to `gone`, at most `limit`. Returns whether there may be more.
    pub(super) fn drain_into(&mut self, limit: usize, gone: &mut Vec<ClientInstance>) -> bool {
        for _ in 0..limit {
            let Some((_, instance)) = self.waiting.pop_lru() else { return false };
            gone.push(instance);
        }
        true
    }
}
