//! Limits log lines about misbehaving peers, so that the log stays readable.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::budget::network;

const WINDOW: Duration = Duration::from_secs(1);
const LINES_PER_WINDOW: u32 = 10;
/// How long a source is not logged again: health checks repeat the same mistake every few seconds.
const SOURCE_WINDOW: Duration = Duration::from_secs(60);
/// The most sources that are remembered. Beyond it, the source that was logged longest ago may be logged again early.
const MAX_SOURCES: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not 0");

/// Permits a few lines a second and counts the rest.
#[derive(Debug, Default)]
pub struct LogLimiter(Mutex<LogLimiterState>);

#[derive(Debug)]
struct LogLimiterState {
    since: Option<Instant>,
    written: u32,
    suppressed: u64,
    /// When each source was logged last.
    sources: LruCache<IpAddr, Instant>,
}

impl Default for LogLimiterState {
    fn default() -> Self {
        Self { since: None, written: 0, suppressed: 0, sources: LruCache::new(MAX_SOURCES) }
    }
}

impl LogLimiter {
    /// `Some` if a line may be logged, with the number of lines that were suppressed since the last one.
    pub(crate) fn permit(&self) -> Option<u64> {
        self.permit_at(Instant::now())
    }

    /// The same for a mistake that one source repeats: at most one line a minute for each address (IPv6: its first 64
    /// bits).
    pub fn permit_for(&self, source: IpAddr) -> Option<u64> {
        self.permit_for_at(source, Instant::now())
    }

    fn permit_at(&self, now: Instant) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).permit(now)
    }

    fn permit_for_at(&self, source: IpAddr, now: Instant) -> Option<u64> {
        let source = network(source);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mentioned = state.sources.peek(&source);
        if mentioned.is_some_and(|since| now.saturating_duration_since(*since) < SOURCE_WINDOW) {
            state.suppressed += 1;
            return None;
        }
        let suppressed = state.permit(now)?;
        state.sources.put(source, now);
        Some(suppressed)
    }
}

impl LogLimiterState {
    fn permit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written >= LINES_PER_WINDOW {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let limiter = LogLimiter::default();
        let start = Instant::now();
        let written = (0..100).filter(|_| limiter.permit_at(start).is_some()).count();
        assert_eq!(written, LINES_PER_WINDOW as usize);
        assert_eq!(limiter.permit_at(start + WINDOW), Some(90));
        assert_eq!(limiter.permit_at(start + WINDOW), Some(0));
    }

    #[test]
    fn a_source_is_logged_once_a_minute() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        assert_eq!(limiter.permit_for_at(one, start), Some(0));
        assert_eq!(limiter.permit_for_at(one, start + SOURCE_WINDOW / 2), None);
        assert_eq!(limiter.permit_for_at(other, start + SOURCE_WINDOW / 2), Some(1), "other sources are still logged");
        assert_eq!(limiter.permit_for_at(one, start + SOURCE_WINDOW), Some(0));
        // One customer's network has 2^64 addresses.
        let [near, far] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().unwrap());
        assert_eq!(limiter.permit_for_at(near, start), Some(0));
        assert_eq!(limiter.permit_for_at(far, start), None);
    }

    #[test]
    fn the_memory_of_sources_is_bounded() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        for n in 0..2 * MAX_SOURCES.get() as u32 {
            let now = start + WINDOW * (n / LINES_PER_WINDOW);
            limiter.permit_for_at(IpAddr::V4(Ipv4Addr::from_bits(n)), now);
        }
        assert_eq!(limiter.0.lock().unwrap().sources.len(), MAX_SOURCES.get());
    }
}
