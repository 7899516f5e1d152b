//! The rate rules: how soon a client may ask again and push again.
//!
//! In: a client's interval and the time. Out: whether it may. A well-behaved client always may: Java waits 0.5 to 1.5
//! intervals after a Get for its first push, librdkafka 0.8 to 1.2, both then one interval between pushes, and both ask
//! at once after an error that says so, or on a new connection.

use std::time::{Duration, Instant};

/// What is remembered of one client's requests. Fresh state lets the first Get and the first push pass.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last_get: Option<Instant>,
    last_push: Option<Instant>,
    /// A Get was answered since the last push: the next push passes whenever it comes.
    asked: bool,
    /// The next Get may come early.
    excused: bool,
    last_excuse: Option<Instant>,
}

impl Pace {
    /// May it ask now? An excused Get counts like any other, so that the push which follows is judged by it (Apache's
    /// broker throttles that push for half of all Java clients).
    pub(super) fn get(&mut self, now: Instant, interval: Duration) -> bool {
        let due = passed(self.last_get.max(self.last_push), now, interval);
        // An excuse now and then: else wrong pushes and Gets in turn would be a way around the rules. A client that
        // was answered waits half an interval or more before it can need another.
        let excused = self.excused && passed(self.last_excuse, now, interval / 4);
        if !due && !excused {
            return false;
        }
        if !due {
            self.last_excuse = Some(now);
        }
        (self.last_get, self.asked, self.excused) = (Some(now), true, false);
        true
    }

    /// May it push now?
    pub(super) fn push(&mut self, now: Instant, interval: Duration) -> bool {
        let may = self.asked || passed(self.last_push, now, interval);
        if may {
            (self.last_push, self.asked) = (Some(now), false);
        }
        may
    }

    /// The client was told to ask again at once, or has to because its connection is gone.
    pub(super) fn excuse(&mut self) {
        self.excused = true;
    }
}

/// Whether `interval` has passed, less what one request may be faster than the one before it: a twentieth, at most a
/// second.
fn passed(since: Option<Instant>, now: Instant, interval: Duration) -> bool {
    let slack = (interval / 20).min(Duration::from_secs(1));
    since.is_none_or(|since| now.saturating_duration_since(since) >= interval - slack)
}
