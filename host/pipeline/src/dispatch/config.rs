//! The configuration of a slot: how much it may hold, how it batches, how it retries, which pushes it wants.

use std::time::Duration;

use super::Wants;

/// Settings of a slot. All but `lanes` may change while it is open.
#[derive(Clone, Debug)]
pub struct SlotConfig {
    /// The number of lanes that clients are hashed to: the most batches that can be leased at the same time. At least
    /// 1.
    pub lanes: usize,
    /// The most decompressed bytes held, queued and in flight together.
    pub max_bytes: usize,
    /// The most pushes held, queued and in flight together.
    pub max_pushes: usize,
    /// The most pushes in a batch. At least 1.
    pub batch_pushes: usize,
    /// The most decompressed bytes in a batch; a larger push is sent alone.
    pub batch_bytes: usize,
    /// How long the oldest push may wait for a batch to fill.
    pub linger: Duration,
    /// The number of unexplained failures of one push after which its batch is halved, and after which it is dropped if
    /// it failed alone while others were accepted.
    pub max_unexplained_failures: u32,
    /// A push that fails at this age is dropped.
    pub max_age: Duration,
    /// How long lanes wait after a failure.
    pub backoff: Backoff,
    /// Which pushes it wants.
    pub wants: Wants,
}

impl Default for SlotConfig {
    fn default() -> Self {
        Self {
            lanes: 32,
            max_bytes: 64 << 20,
            max_pushes: 100_000,
            batch_pushes: 64,
            batch_bytes: 1 << 20,
            linger: Duration::from_millis(100),
            max_unexplained_failures: 5,
            max_age: Duration::from_mins(15),
            backoff: Backoff::default(),
            wants: Wants::default(),
        }
    }
}

/// Exponential, with jitter over the whole range above `min`, so that several hosts do not retry in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first and shortest wait.
    pub min: Duration,
    /// The longest wait that this host chooses by itself.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(200), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after `failures` in a row (from 1); `random` is uniform in 0..1.
    pub(super) fn wait(&self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let ceiling = self.min.saturating_mul(doubled).min(self.max).max(self.min);
        self.min + (ceiling - self.min).mul_f64(random.clamp(0.0, 1.0))
    }
}
