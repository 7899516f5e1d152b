//! The rate rule: how soon a client may send its next GetTelemetrySubscriptions and its next push.
//!
//! In: a client's interval and the elapsed time. Out: whether the request is allowed. It always is for a well-behaved
//! client: Java waits 0.5 to 1.5 intervals after GetTelemetrySubscriptions for its first push, librdkafka 0.8 to 1.2,
//! both then one interval between pushes, and both request their subscription immediately after an error that tells
//! them to, or on a new connection.

use std::time::Duration;

/// Long enough ago for every interval.
const NEVER: u32 = u32::MAX;

/// The times of one client's requests, in milliseconds before the latest one; 49 days count as never. In the initial
/// state the first GetTelemetrySubscriptions and the first push are allowed.
#[derive(Debug)]
pub(super) struct RateRule {
    /// Since the latest allowed GetTelemetrySubscriptions or push.
    last: u32,
    last_push: u32,
    last_early_get: u32,
    /// GetTelemetrySubscriptions was answered since the last push: the next push is allowed at any time.
    get_answered: bool,
    /// The next GetTelemetrySubscriptions may come early.
    early_get_allowed: bool,
}

impl Default for RateRule {
    fn default() -> Self {
        Self { last: NEVER, last_push: NEVER, last_early_get: NEVER, get_answered: false, early_get_allowed: false }
    }
}

impl RateRule {
    /// A request arrives `milliseconds` after the previous one.
    pub(super) fn advance(&mut self, milliseconds: u64) {
        let more = u32::try_from(milliseconds).unwrap_or(NEVER);
        for age in [&mut self.last, &mut self.last_push, &mut self.last_early_get] {
            *age = age.saturating_add(more);
        }
    }

    /// Whether GetTelemetrySubscriptions is allowed now. One that is allowed early counts like any other, so that the
    /// next push is judged by it (Apache Kafka's broker throttles that push for half of all Java clients).
    pub(super) fn allow_get(&mut self, interval: Duration) -> bool {
        let due = has_elapsed(self.last, interval);
        // Early requests are allowed only now and then: otherwise wrong pushes and requests in turn would bypass the
        // rule. A client that got its answer waits at least half an interval before it can need another.
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

    /// Whether a push is allowed now.
    pub(super) fn allow_push(&mut self, interval: Duration) -> bool {
        let allowed = self.get_answered || has_elapsed(self.last_push, interval);
        if allowed {
            (self.last, self.last_push, self.get_answered) = (0, 0, false);
        }
        allowed
    }

    /// The client was told to request its subscription again, or has to because its connection was closed.
    pub(super) fn allow_early_get(&mut self) {
        self.early_get_allowed = true;
    }
}

/// Whether `interval` has elapsed, minus the margin by which one request may be faster than the previous one: a
/// twentieth, at most a second.
fn has_elapsed(age: u32, interval: Duration) -> bool {
    let slack = (interval / 20).min(Duration::from_secs(1));
    Duration::from_millis(age.into()) >= interval - slack
}
