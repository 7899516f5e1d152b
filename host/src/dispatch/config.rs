//! What a slot is told: how much it may hold, how it batches, how it retries, which pushes it wants.

use std::time::Duration;

use super::Wants;

/// Settings of a slot. All but `lanes` may change while it is open.
#[derive(Clone, Debug)]
pub struct SlotConfig {
    /// Into how many lanes clients are hashed: the most batches that can be out at once. At least 1.
    pub lanes: usize,
    /// Most decompressed bytes held, queued and in flight together.
    pub max_bytes: usize,
    /// Most pushes held, queued and in flight together.
    pub max_pushes: usize,
    /// Most pushes in a batch. At least 1.
    pub batch_pushes: usize,
    /// Most decompressed bytes in a batch; a larger push goes alone.
    pub batch_bytes: usize,
    /// How long the oldest push may wait for a batch to fill.
    pub linger: Duration,
    /// Unexplained failures of one push before its batch is halved, and before it becomes a dead letter when it failed
    /// alone and others were taken meanwhile.
    pub max_unexplained_failures: u32,
    /// A push that fails at this age becomes a dead letter.
    pub max_age: Duration,
    /// How long lanes wait after a failure.
    pub backoff: Backoff,
    /// Which pushes.
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

/// Exponential, with jitter over the whole range above `min`, so that several hosts do not return in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait, and the least.
    pub min: Duration,
    /// The greatest wait that this host chooses by itself.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(200), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after `failures` in a row (from 1); `dice` is uniform in 0..1.
    pub(super) fn wait(&self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let ceiling = self.min.saturating_mul(doubled).min(self.max).max(self.min);
        self.min + (ceiling - self.min).mul_f64(random.clamp(0.0, 1.0))
    }
}
