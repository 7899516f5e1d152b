//! Who holds the connections of a listener.
//!
//! In: connections as they come, and where their clients are. Out: a [`Place`] for each, which is free again when that is
//! dropped; and whether one source holds more than its share. While more than half of all places are taken no source
//! (IPv6: the first 64 bits) has more than a quarter of them, so nobody alone can shut the others out; while there is
//! room for all it does not matter who holds how many. Bounded by the number of places. Never ends a connection that was
//! let in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::network;

/// No source has more than one in so many of the places, where that counts.
const SHARES: usize = 4;

/// All places of one listener.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max: usize,
    counts: Mutex<ConnectionCounts>,
}

#[derive(Debug, Default)]
struct ConnectionCounts {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    limit: Arc<ConnectionLimit>,
    source: Option<IpAddr>,
}

impl ConnectionLimit {
    /// So many places.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { max: most, counts: Mutex::default() })
    }

    /// Takes a place, of nobody yet. Whether there is one is for whoever asks to see to.
    pub(crate) fn acquire(self: &Arc<Self>) -> ConnectionPlace {
        self.lock().total += 1;
        ConnectionPlace { limit: self.clone(), source: None }
    }

    /// Most places of one source while more than half are taken.
    pub(crate) fn share(&self) -> usize {
        (self.max / SHARES).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// It is of this source, if that may have it. To be asked once.
    pub(crate) fn claim_for(&mut self, source: IpAddr) -> bool {
        let source = network(source);
        let mut taken = self.limit.lock();
        let is_full = taken.total > self.limit.max / 2;
        let held = taken.by_source.get(&source).copied().unwrap_or_default();
        if is_full && held >= self.limit.share() {
            return false;
        }
        taken.by_source.insert(source, held + 1);
        self.source = Some(source);
        true
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut taken = self.limit.lock();
        taken.total -= 1;
        let Some(source) = self.source else { return };
        match taken.by_source.get_mut(&source) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(taken.by_source.remove(&source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many connections of a source that were let in.
    fn connect(slots: &Arc<ConnectionLimit>, source: &str, count: usize) -> Vec<ConnectionPlace> {
        let source = source.parse().expect("an address");
        let mut places: Vec<ConnectionPlace> = (0..count).map(|_| slots.acquire()).collect();
        places.retain_mut(|place| place.claim_for(source));
        places
    }

    fn one_by_one(slots: &Arc<ConnectionLimit>, source: &str, count: usize) -> Vec<ConnectionPlace> {
        (0..count).flat_map(|_| connect(slots, source, 1)).collect()
    }

    #[test]
    fn share_obeyed() {
        let slots = ConnectionLimit::new(20);
        let alone = one_by_one(&slots, "192.0.2.1", 10);
        assert_eq!(alone.len(), 10, "while at most half are taken it does not matter whose they are");
        let others = ["192.0.2.2", "192.0.2.3"].map(|source| one_by_one(&slots, source, 5).len());
        assert_eq!(others, [5, 5]);
    }

    #[test]
    fn share_violated() {
        let slots = ConnectionLimit::new(20);
        let alone = one_by_one(&slots, "2001:db8::1", 50);
        assert_eq!(alone.len(), 10, "no more than half, however often it comes");
        assert_eq!(one_by_one(&slots, "2001:db8::2", 5).len(), 0, "one network is one source");
        let second = one_by_one(&slots, "192.0.2.2", 50);
        assert_eq!(second.len(), 5, "a quarter, from then on");
        drop(alone);
        assert_eq!(one_by_one(&slots, "2001:db8::1", 1).len(), 1, "what ended is free again");
        drop(second);
        assert!(slots.lock().by_source.is_empty() && slots.lock().total == 0, "nobody is remembered");
    }
}
