//! Clients that were forgotten for want of room, until receivers are told that they are gone.
//!
//! In: what the table gives up. Out: the same, once, unless its client came back meanwhile. Strangers are not kept: no
//! receiver has heard of them. Bounded: where too many wait the oldest is dropped and counted.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::instance::ClientInstance;
use super::reputation::Reputation;
use crate::push::InstanceId;

/// Clients that wait to be told gone; as many as a table of the customary size holds.
const MAX_WAITING: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

pub(super) struct Evicted {
    waiting: LruCache<InstanceId, ClientInstance>,
    dropped: u64,
}

impl Evicted {
    pub(super) fn new() -> Self {
        Self { waiting: LruCache::sparse(MAX_WAITING), dropped: 0 }
    }

    /// Those of whose going nobody was or will be told, since the start.
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

    /// It came back before anybody was told: it is not gone, and what it is.
    pub(super) fn reinstate(&mut self, id: InstanceId) -> Reputation {
        if self.waiting.pop(&id).is_some() { Reputation::Established } else { Reputation::Unestablished }
    }

    /// Moves those that were forgotten first to `gone`, at most so many. Says whether there may be more.
    pub(super) fn drain_into(&mut self, limit: usize, gone: &mut Vec<ClientInstance>) -> bool {
        for _ in 0..limit {
            let Some((_, instance)) = self.waiting.pop_lru() else { return false };
            gone.push(instance);
        }
        true
    }
}
