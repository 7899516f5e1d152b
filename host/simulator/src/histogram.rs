//! A histogram of latencies with a fixed size.
//!
//! In: durations, from any task. Out: percentiles, at most 1/32 too high. Bounded: each power of two of microseconds has
//! 32 equal buckets, and values beyond the last bucket (38 hours) are counted in it. Never blocks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Binary logarithm of the number of buckets per power of two.
const FINE: u32 = 5;
/// Number of distinguished powers of two: 2^37 microseconds are 38 hours.
const COARSE: u32 = 37;
const STEPS: usize = ((COARSE - FINE + 1) << FINE) as usize;

/// Counts of durations.
#[derive(Debug)]
pub(super) struct LatencyHistogram {
    counts: Vec<AtomicU64>,
    /// Microseconds.
    longest: AtomicU64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { counts: (0..STEPS).map(|_| AtomicU64::new(0)).collect(), longest: AtomicU64::new(0) }
    }
}

impl LatencyHistogram {
    pub(super) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(step(micros)) {
            count.fetch_add(1, Relaxed);
        }
        self.longest.fetch_max(micros, Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.longest.load(Relaxed))
    }

    /// The duration that this fraction, in permille, did not exceed; zero without values.
    pub(super) fn permille(&self, permille: u64) -> Duration {
        let wanted = (self.count() * permille).div_ceil(1000);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count.load(Relaxed);
            seen >= wanted
        });
        Duration::from_micros(at.map_or(0, end)).min(self.max())
    }
}

/// The bucket of a number of microseconds.
fn step(micros: u64) -> usize {
    let micros = micros.min((1 << COARSE) - 1);
    let shift = micros.max(1 << FINE).ilog2() - FINE;
    ((u64::from(shift) << FINE) + (micros >> shift)) as usize
}

/// The largest value of a bucket, in microseconds.
fn end(step: usize) -> u64 {
    let step = step as u64;
    let shift = (step >> FINE).saturating_sub(1);
    ((step - (shift << FINE) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_bucket_is_at_most_a_thirty_second_too_high() {
        let mut before = 0;
        for micros in (0..10_000).chain((0..37).map(|n| (1 << n) + n)).chain([(1 << COARSE) - 1]) {
            let last = end(step(micros));
            assert!(last >= micros && last <= micros + micros / 32, "{micros} is in the bucket that ends at {last}");
        }
        for step in 0..STEPS {
            assert!(step == 0 || end(step) > before, "buckets are in order");
            before = end(step);
        }
        assert_eq!((step(u64::MAX), before), (STEPS - 1, (1 << COARSE) - 1));
    }

    #[test]
    fn percentiles_are_those_of_the_added_values() {
        let spread = LatencyHistogram::default();
        assert_eq!((spread.permille(500), spread.max()), (Duration::ZERO, Duration::ZERO));
        (1..=1000).for_each(|ms| spread.add(Duration::from_millis(ms)));
        assert_eq!((spread.count(), spread.max()), (1000, Duration::from_secs(1)));
        for permille in [1, 500, 900, 999, 1000] {
            let (exact, given_subscription) = (Duration::from_millis(permille), spread.permille(permille));
            assert!(
                given_subscription >= exact && given_subscription <= exact + exact / 32,
                "{permille}: {given_subscription:?}"
            );
        }
    }
}
