//! Of whom something was said already.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::push::InstanceId;

/// Client instances remembered; of one that is forgotten it may be said again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not zero");

#[derive(Debug)]
pub(super) struct Once(Mutex<LruCache<InstanceId, ()>>);

impl Default for Once {
    fn default() -> Self {
        Self(Mutex::new(LruCache::sparse(REMEMBERED)))
    }
}

impl Once {
    pub(super) fn was_said(&self, id: InstanceId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).is_some()
    }

    pub(super) fn say(&self, id: InstanceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_said_once_and_the_memory_is_bounded() {
        let (once, id) = (Once::default(), |n: u32| InstanceId::from_bytes(u128::from(n).to_be_bytes()));
        assert!(!once.was_said(id(1)));
        once.say(id(1));
        assert!(once.was_said(id(1)) && !once.was_said(id(2)));
        (2..=1_025).for_each(|n| once.say(id(n)));
        assert!(!once.was_said(id(1)) && once.was_said(id(2)));
    }
}
