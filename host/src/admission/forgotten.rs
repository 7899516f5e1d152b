//! Clients that were forgotten for want of room, until receivers are told that they are gone.
//!
//! In: what the table gives up. Out: the same, once, unless its client came back meanwhile. Strangers are not kept: no
//! receiver has heard of them. Bounded: where too many wait the oldest is dropped and counted.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::instance::Instance;
use super::standing::Standing;
use crate::push::InstanceId;

/// Clients that wait to be told gone; as many as a table of the customary size holds.
const WAITING: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

pub(super) struct Forgotten {
    waiting: LruCache<InstanceId, Instance>,
    untold: u64,
}

impl Forgotten {
    pub(super) fn new() -> Self {
        Self { waiting: LruCache::sparse(WAITING), untold: 0 }
    }

    /// Those of whose going nobody was or will be told, since the start.
    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    pub(super) fn keep(&mut self, instance: Instance, standing: Standing) {
        if standing == Standing::Stranger || instance.is_gone() {
            return;
        }
        let dropped = self.waiting.push(instance.id, instance);
        self.untold += u64::from(dropped.is_some());
    }

    /// It came back before anybody was told: it is not gone, and what it is.
    pub(super) fn back(&mut self, id: InstanceId) -> Standing {
        if self.waiting.pop(&id).is_some() { Standing::Proven } else { Standing::Stranger }
    }

    /// Moves those that were forgotten first to `gone`, at most so many. Says whether there may be more.
    pub(super) fn take(&mut self, most: usize, gone: &mut Vec<Instance>) -> bool {
        for _ in 0..most {
            let Some((_, instance)) = self.waiting.pop_lru() else { return false };
            gone.push(instance);
        }
        true
    }
}
