//! Keeps the log readable while an error repeats very often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use barnabas_pipeline::event::Topic;

/// The time between two lines of most kinds.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// The time between two lines about a condition that lasts until an operator acts.
pub(super) const LASTING_INTERVAL: Duration = Duration::from_secs(60);

/// A kind of problem: topic, receiver, and a cause from a closed list. So the number of kinds is bounded by the number
/// of receivers that an operator has, times a constant.
pub(super) type LogKind = (Topic, Option<Arc<str>>, &'static str);

/// Allows a line of each kind once per interval, and counts what it suppresses.
#[derive(Debug, Default)]
pub(super) struct Sampler(Mutex<HashMap<LogKind, SampledKind>>);

#[derive(Debug)]
struct SampledKind {
    written_at: Instant,
    suppressed: u64,
}

impl Sampler {
    /// Returns `Some` if a line may be written, with the number suppressed since the previous one. `weight` is what
    /// this event adds to that number.
    pub(super) fn admit(&self, kind: LogKind, weight: u64, now: Instant, every: Duration) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = kinds.get_mut(&kind) else {
            kinds.insert(kind, SampledKind { written_at: now, suppressed: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(state.written_at) < every {
            state.suppressed = state.suppressed.saturating_add(weight);
            return None;
        }
        state.written_at = now;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_second_and_a_count() {
        let (sampler, start) = (Sampler::default(), Instant::now());
        let admit = |cause, at| sampler.admit((Topic::PushRefused, None, cause), 2, at, INTERVAL);
        assert_eq!(admit("too_large", start), Some(0));
        assert_eq!(admit("too_large", start), None);
        assert_eq!(admit("too_large", start + INTERVAL / 2), None);
        assert_eq!(admit("too_large", start + INTERVAL), Some(4));
        assert_eq!(admit("too_large", start + INTERVAL * 2), Some(0));
    }

    #[test]
    fn kinds_do_not_suppress_each_other() {
        let (sampler, now) = (Sampler::default(), Instant::now());
        let slot = |name: &str| Some(Arc::from(name));
        assert_eq!(sampler.admit((Topic::PluginCrash, slot("a"), "trap"), 1, now, INTERVAL), Some(0));
        assert_eq!(sampler.admit((Topic::PluginCrash, slot("b"), "trap"), 1, now, INTERVAL), Some(0));
        assert_eq!(sampler.admit((Topic::PluginCrash, slot("a"), "deadline"), 1, now, INTERVAL), Some(0));
        assert_eq!(sampler.admit((Topic::BatchEnd, slot("a"), "trap"), 1, now, INTERVAL), Some(0));
        assert_eq!(sampler.admit((Topic::PluginCrash, slot("a"), "trap"), 1, now, INTERVAL), None);
    }
}
