//! Keeps the log readable while many peers misbehave.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::budget::network;

const EACH: Duration = Duration::from_secs(1);
const AT_MOST: u32 = 10;
/// How long a source that repeats its mistake stays unmentioned: health checks repeat theirs every few seconds.
const EACH_SOURCE: Duration = Duration::from_secs(60);
/// Sources that are remembered. Beyond, the one mentioned longest ago may be mentioned early.
const SOURCES: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not 0");

/// Lets a few lines a second through and counts the rest.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<State>);

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
    /// When each source was mentioned.
    sources: LruCache<IpAddr, Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self { since: None, said: 0, unsaid: 0, sources: LruCache::new(SOURCES) }
    }
}

impl Complaints {
    /// `Some` when a line may be written, with how many were not since the last.
    pub(crate) fn may_say(&self) -> Option<u64> {
        self.may_say_at(Instant::now())
    }

    /// Likewise for a mistake that this source repeats, once a minute for each address (IPv6: its first 64 bits).
    pub(crate) fn may_say_of(&self, source: IpAddr) -> Option<u64> {
        self.may_say_of_at(source, Instant::now())
    }

    fn may_say_at(&self, now: Instant) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).may_say(now)
    }

    fn may_say_of_at(&self, source: IpAddr, now: Instant) -> Option<u64> {
        let source = network(source);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mentioned = state.sources.peek(&source);
        if mentioned.is_some_and(|since| now.saturating_duration_since(*since) < EACH_SOURCE) {
            state.unsaid += 1;
            return None;
        }
        let unsaid = state.may_say(now)?;
        state.sources.put(source, now);
        Some(unsaid)
    }
}

impl State {
    fn may_say(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= EACH) {
            self.since = Some(now);
            self.said = 0;
        }
        if self.said >= AT_MOST {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_flood_is_counted_not_written() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let written = (0..100).filter(|_| complaints.may_say_at(start).is_some()).count();
        assert_eq!(written, AT_MOST as usize);
        assert_eq!(complaints.may_say_at(start + EACH), Some(90));
        assert_eq!(complaints.may_say_at(start + EACH), Some(0));
    }

    #[test]
    fn a_source_is_mentioned_once_a_minute() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        assert_eq!(complaints.may_say_of_at(one, start), Some(0));
        assert_eq!(complaints.may_say_of_at(one, start + EACH_SOURCE / 2), None);
        assert_eq!(complaints.may_say_of_at(other, start + EACH_SOURCE / 2), Some(1), "others are not silenced");
        assert_eq!(complaints.may_say_of_at(one, start + EACH_SOURCE), Some(0));
        // One customer's network has 2^64 addresses.
        let [near, far] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().unwrap());
        assert_eq!(complaints.may_say_of_at(near, start), Some(0));
        assert_eq!(complaints.may_say_of_at(far, start), None);
    }

    #[test]
    fn the_memory_of_sources_is_bounded() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        for n in 0..2 * SOURCES.get() as u32 {
            let now = start + EACH * (n / AT_MOST);
            complaints.may_say_of_at(IpAddr::V4(Ipv4Addr::from_bits(n)), now);
        }
        assert_eq!(complaints.0.lock().unwrap().sources.len(), SOURCES.get());
    }
}
