//! The rate rules: how soon a client may ask again and push again.
//!
//! In: a client's interval and the time that passed. Out: whether it may. A well-behaved client always may: Java waits
//! 0.5 to 1.5 intervals after a Get for its first push, librdkafka 0.8 to 1.2, both then one interval between pushes, and
//! both ask at once after an error that says so, or on a new connection.

use std::time::Duration;

/// Long enough ago for every interval.
const NEVER: u32 = u32::MAX;

/// What is remembered of one client's requests, as milliseconds before the latest one; 49 days are as good as never.
/// Fresh state lets the first Get and the first push pass.
#[derive(Debug)]
pub(super) struct RateRule {
    /// Since the latest Get or push that was let pass.
    last: u32,
    last_push: u32,
    last_early_get: u32,
    /// A Get was answered since the last push: the next push passes whenever it comes.
    get_answered: bool,
    /// The next Get may come early.
    early_get_allowed: bool,
}

impl Default for RateRule {
    fn default() -> Self {
        Self { last: NEVER, last_push: NEVER, last_early_get: NEVER, get_answered: false, early_get_allowed: false }
    }
}

impl RateRule {
    /// A request comes so many milliseconds after the one before.
    pub(super) fn advance(&mut self, milliseconds: u64) {
        let more = u32::try_from(milliseconds).unwrap_or(NEVER);
        for age in [&mut self.last, &mut self.last_push, &mut self.last_early_get] {
            *age = age.saturating_add(more);
        }
    }

    /// May it ask now? An excused Get counts like any other, so that the push which follows is judged by it (Apache's
    /// broker throttles that push for half of all Java clients).
    pub(super) fn allow_get(&mut self, interval: Duration) -> bool {
        let due = has_elapsed(self.last, interval);
        // An excuse now and then: else wrong pushes and Gets in turn would be a way around the rules. A client that
        // was answered waits half an interval or more before it can need another.
        let early = self.early_get_allowed && has_elapsed(self.last_early_get, interval / 4);
        if !due && !early {
            return false;
        }
        if !due {
            self.last_early_get = 0;
        }
        (self.last, self.get_answered, self.early_get_allowed) = (0, true, false);
        true
    }

    /// May it push now?
    pub(super) fn allow_push(&mut self, interval: Duration) -> bool {
        let allowed = self.get_answered || has_elapsed(self.last_push, interval);
        if allowed {
            (self.last, self.last_push, self.get_answered) = (0, 0, false);
        }
        allowed
    }

    /// The client was told to ask again at once, or has to because its connection is gone.
    pub(super) fn allow_early_get(&mut self) {
        self.early_get_allowed = true;
    }
}

/// Whether `interval` has passed, less what one request may be faster than the one before it: a twentieth, at most a
/// second.
fn has_elapsed(age: u32, interval: Duration) -> bool {
    let slack = (interval / 20).min(Duration::from_secs(1));
    Duration::from_millis(age.into()) >= interval - slack
}
