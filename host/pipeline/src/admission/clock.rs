//! The clock of admission: milliseconds since its first request, instead of 16 bytes for each time.

use std::time::{Duration, Instant, SystemTime};

#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The time of the first request.
    start: Option<Instant>,
    /// The time of the latest request, by both clocks.
    latest: Option<(u64, SystemTime)>,
}

impl Clock {
    pub(super) fn millis_at(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        u64::try_from(now.saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
    }

    /// As [`Clock::millis_at`]; also remembers the wall time.
    pub(super) fn record_request(&mut self, now: Instant, wall: SystemTime) -> u64 {
        let at = self.millis_at(now);
        self.latest = Some((at, wall));
        at
    }

    /// The wall time of `at`, relative to that of the latest request.
    pub(super) fn wall_time(&self, at: u64) -> SystemTime {
        let (latest, wall) = self.latest.unwrap_or((at, SystemTime::UNIX_EPOCH));
        let later = Duration::from_millis(at.saturating_sub(latest));
        let moment =
            wall.checked_sub(Duration::from_millis(latest.saturating_sub(at))).unwrap_or(SystemTime::UNIX_EPOCH);
        moment.checked_add(later).unwrap_or(moment)
    }
}
