//! Keeps the log readable while many peers misbehave.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EACH: Duration = Duration::from_secs(1);
const AT_MOST: u32 = 10;

/// Lets a few lines a second through and counts the rest.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Complaints {
    /// `Some` when a line may be written, with how many were not since the last.
    pub(crate) fn may_say(&self) -> Option<u64> {
        self.may_say_at(Instant::now())
    }

    fn may_say_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= EACH) {
            state.since = Some(now);
            state.said = 0;
        }
        if state.said >= AT_MOST {
            state.unsaid += 1;
            return None;
        }
        state.said += 1;
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
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
}
