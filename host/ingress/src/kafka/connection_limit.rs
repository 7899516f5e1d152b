//! The connection limit of a listener, and each source's share of it.
//!
//! In: connections as they are accepted, and the addresses of their clients. Out: a [`ConnectionPlace`] for each, which
//! is released when it is dropped; and whether a source exceeds its share. While more than half of the limit is in use,
//! no source (IPv6: the first 64 bits) may have more than a quarter of it, so that one source alone cannot lock out the
//! others; below that a source may have any number. Bounded by the connection limit. Never closes a connection that was
//! admitted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::network;

/// While the share applies, a source may have one in this many of the places.
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

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    limit: Arc<ConnectionLimit>,
    source: Option<IpAddr>,
}

impl ConnectionLimit {
    /// A limit of this many connections.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { max: most, counts: Mutex::default() })
    }

    /// Acquires a place that counts for no source yet. The caller checks that there is one.
    pub(crate) fn acquire(self: &Arc<Self>) -> ConnectionPlace {
        self.lock().total += 1;
        ConnectionPlace { limit: self.clone(), source: None }
    }

    /// The most places of one source while more than half of them are in use.
    pub(crate) fn share(&self) -> usize {
        (self.max / SHARES).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Assigns the place to this source, unless that exceeds its share. Must be called once only.
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

    /// Opens this many connections from a source; returns the admitted ones.
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
        assert_eq!(alone.len(), 10, "one source may have half of the limit");
        let others = ["192.0.2.2", "192.0.2.3"].map(|source| one_by_one(&slots, source, 5).len());
        assert_eq!(others, [5, 5]);
    }

    #[test]
    fn share_violated() {
        let slots = ConnectionLimit::new(20);
        let alone = one_by_one(&slots, "2001:db8::1", 50);
        assert_eq!(alone.len(), 10, "no more than half, however often it connects");
        assert_eq!(one_by_one(&slots, "2001:db8::2", 5).len(), 0, "one /64 network is one source");
        let second = one_by_one(&slots, "192.0.2.2", 50);
        assert_eq!(second.len(), 5, "a quarter once half of the limit is in use");
        drop(alone);
        assert_eq!(one_by_one(&slots, "2001:db8::1", 1).len(), 1, "a closed connection frees its place");
        drop(second);
        assert!(slots.lock().by_source.is_empty() && slots.lock().total == 0, "no source is kept");
    }
}
