//! Where clients come from: their authenticated principal, or else their address.
//!
//! In: requests. Out: what their source has used of its quota, and how many instances it holds. Bounded: beyond the cap
//! the least recently active source is evicted; its instances stay, without a source, until their next request.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::lru_list::LruList;
use super::quota::QuotaMeter;
use super::reputation::{PerReputation, Reputation};
use crate::push::Client;

/// The most sources that are remembered.
const MAX_SOURCES: NonZeroUsize = NonZeroUsize::new(4_096).expect("it is not zero");
/// Kafka's principal for unauthenticated clients: they are distinguished by address.
const ANONYMOUS: &str = "User:ANONYMOUS";

/// What clients are grouped by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SourceKey {
    Principal(Arc<str>),
    /// IPv6: the first 64 bits, which one customer is usually assigned.
    Address(IpAddr),
    /// A client of an ingress that knows no address.
    Unknown,
}

impl SourceKey {
    pub(super) fn for_client(client: &Client) -> Self {
        let authenticated = client.principal.as_ref().filter(|principal| &***principal != ANONYMOUS);
        match (authenticated, client.source) {
            (Some(principal), _) => Self::Principal(principal.clone()),
            (None, Some(source)) => Self::Address(network(source.ip())),
            (None, None) => Self::Unknown,
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[derive(Debug)]
pub(super) struct ClientSource {
    /// The number by which its instances refer to it.
    serial: u32,
    pub(super) meter: QuotaMeter,
    /// Its instances, the most recently used first.
    pub(super) lists: PerReputation<LruList>,
    instances: PerReputation<u32>,
}

pub(super) struct ClientSources {
    by_key: LruCache<SourceKey, ClientSource>,
    by_serial: HashMap<u32, SourceKey>,
    /// Sources that hold instances, by their number.
    by_count: PerReputation<BTreeSet<(u32, u32)>>,
    next: u32,
}

impl ClientSources {
    pub(super) fn new() -> Self {
        let by_key = LruCache::sparse(MAX_SOURCES);
        Self { by_key, by_serial: HashMap::new(), by_count: PerReputation::default(), next: 0 }
    }

    /// The source of a request, inserted if it is new. Counts as use.
    pub(super) fn get_or_insert(&mut self, key: &SourceKey) -> u32 {
        if let Some(source) = self.by_key.get(key) {
            return source.serial;
        }
        let serial = self.next_serial();
        let source = ClientSource {
            serial,
            meter: QuotaMeter::default(),
            lists: PerReputation::default(),
            instances: PerReputation::default(),
        };
        if let Some((_, forgotten)) = self.by_key.push(key.clone(), source) {
            self.by_serial.remove(&forgotten.serial);
            for reputation in Reputation::ALL {
                self.by_count.get_mut(reputation).remove(&(*forgotten.instances.get(reputation), forgotten.serial));
            }
        }
        self.by_serial.insert(serial, key.clone());
        serial
    }

    /// Instances may still refer to a source that was evicted, so its serial is not reused before four billion others.
    fn next_serial(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            if !self.by_serial.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    /// `None` if it was evicted. Does not count as use.
    pub(super) fn get_mut(&mut self, serial: u32) -> Option<&mut ClientSource> {
        self.by_key.peek_mut(self.by_serial.get(&serial)?)
    }

    /// Changes the number of its instances of this reputation.
    pub(super) fn adjust_count(&mut self, serial: u32, reputation: Reputation, change: i32) {
        let Some(source) = self.get_mut(serial) else { return };
        let count = source.instances.get_mut(reputation);
        let before = *count;
        let after = before.saturating_add_signed(change);
        *count = after;
        let by_count = self.by_count.get_mut(reputation);
        by_count.remove(&(before, serial));
        if after > 0 {
            by_count.insert((after, serial));
        }
    }

    /// The source with the most instances of this reputation, if that is more than its share of `capacity`.
    pub(super) fn above_its_share(&self, reputation: Reputation, capacity: usize) -> Option<u32> {
        let by_count = self.by_count.get(reputation);
        let (most, serial) = *by_count.last()?;
        let share = capacity / by_count.len();
        (most as usize > share.max(1)).then_some(serial)
    }

    /// The number of instances of remembered sources; panics unless all views agree.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) -> usize {
        assert_eq!(self.by_key.len(), self.by_serial.len());
        let mut sum = 0;
        for reputation in Reputation::ALL {
            let by_count = self.by_count.get(reputation);
            let held = |source: &ClientSource| *source.instances.get(reputation);
            assert_eq!(by_count.len(), self.by_key.iter().filter(|(_, source)| held(source) > 0).count());
            for (key, source) in &self.by_key {
                assert_eq!(self.by_serial.get(&source.serial), Some(key));
                assert!(held(source) == 0 || by_count.contains(&(held(source), source.serial)));
                sum += held(source) as usize;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(source: &str, principal: Option<&str>) -> SourceKey {
        let source = Some(source.parse().expect("an address"));
        SourceKey::for_client(&Client { source, principal: principal.map(Arc::from), ..Client::default() })
    }

    #[test]
    fn a_source_is_a_principal_else_an_address() {
        assert_eq!(from("10.0.0.1:1", Some("User:a")), from("10.0.0.2:1", Some("User:a")));
        assert_eq!(from("10.0.0.1:1", None), from("10.0.0.1:2", Some("User:ANONYMOUS")));
        assert_ne!(from("10.0.0.1:1", None), from("10.0.0.2:1", None));
        assert_eq!(from("[::ffff:10.0.0.1]:1", None), from("10.0.0.1:1", None));
        assert_eq!(from("[2001:db8::1]:1", None), from("[2001:db8::ffff:0:0:1]:1", None), "one /64");
        assert_ne!(from("[2001:db8::1]:1", None), from("[2001:db8:0:1::1]:1", None));
        assert_eq!(SourceKey::for_client(&Client::default()), SourceKey::Unknown);
    }

    #[test]
    fn sources_obeyed_and_violated() {
        let mut sources = ClientSources::new();
        let key = |n: u32| SourceKey::Address(IpAddr::V4(n.into()));
        let first = sources.get_or_insert(&key(0));
        sources.adjust_count(first, Reputation::Unestablished, 1);
        let all = MAX_SOURCES.get() as u32;
        (1..all).for_each(|n| assert_ne!(sources.get_or_insert(&key(n)), first));
        assert_eq!(sources.get_or_insert(&key(0)), first, "the table is full and no source was evicted");
        let second = sources.get_or_insert(&key(1));
        sources.get_or_insert(&key(all));
        assert_eq!(sources.assert_consistent(), 1);
        assert!(sources.get_mut(second).is_some() && sources.get_mut(first).is_some());
        assert_eq!(sources.by_key.len(), MAX_SOURCES.get());
    }
}
