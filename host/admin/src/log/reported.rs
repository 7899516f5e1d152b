//! Remembers for which clients something was logged already.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use barnabas_base::InstanceId;

/// The most client instances that are remembered; for one that was evicted a line may be repeated.
const MAX_REMEMBERED: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not zero");

#[derive(Debug)]
pub(super) struct ReportedClients(Mutex<LruCache<InstanceId, ()>>);

impl Default for ReportedClients {
    fn default() -> Self {
        Self(Mutex::new(LruCache::sparse(MAX_REMEMBERED)))
    }
}

impl ReportedClients {
    pub(super) fn contains(&self, id: InstanceId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).is_some()
    }

    pub(super) fn insert(&self, id: InstanceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_reported_once_and_the_memory_is_bounded() {
        let (once, id) = (ReportedClients::default(), |n: u32| InstanceId::from_bytes(u128::from(n).to_be_bytes()));
        assert!(!once.contains(id(1)));
        once.insert(id(1));
        assert!(once.contains(id(1)) && !once.contains(id(2)));
        (2..=1_025).for_each(|n| once.insert(id(n)));
        assert!(!once.contains(id(1)) && once.contains(id(2)));
    }
}
