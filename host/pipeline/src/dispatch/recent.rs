//! A sample of the pushes of the last minutes, to try candidates on what real clients send.
//!
//! In: payloads on their way to the slots. Out: the newest of them. Bounded: in pushes, in bytes and in age; off by
//! default. Never: waits; a push that arrives while another is being recorded, or soon after it, is not recorded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::decode::Payload;

/// The shortest time between two recorded pushes of the same software.
const MIN_SPACING: Duration = Duration::from_secs(1);

/// How many pushes are kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentConfig {
    /// The most pushes that are kept; 0 keeps none.
    pub max_pushes: usize,
    /// Older pushes are removed.
    pub max_age: Duration,
}

impl Default for RecentConfig {
    /// Off.
    fn default() -> Self {
        Self { max_pushes: 0, max_age: Duration::from_mins(10) }
    }
}

/// Handle to the recorded pushes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RecentStore(Arc<RecentInner>);

#[derive(Debug, Default)]
struct RecentInner {
    config: RecentConfig,
    ring: Mutex<RecentRing>,
}

#[derive(Debug, Default)]
struct RecentRing {
    pushes: VecDeque<Arc<Payload>>,
    bytes: usize,
    /// The number of pushes recorded since the start.
    recorded: u64,
}

impl RecentStore {
    /// The most decompressed bytes that are kept.
    pub const MAX_BYTES: usize = 4 << 20;

    /// Empty.
    pub fn new(config: RecentConfig) -> Self {
        Self(Arc::new(RecentInner { config, ring: Mutex::default() }))
    }

    /// Records a push, unless one of the same software was recorded just before.
    pub fn record(&self, payload: &Arc<Payload>) {
        if self.0.config.max_pushes == 0 || payload.bytes().len() > Self::MAX_BYTES {
            return;
        }
        let Ok(mut ring) = self.0.ring.try_lock() else { return };
        let software = &payload.client().software_name;
        let too_close = |known: &&Arc<Payload>| {
            known.client().software_name == *software && age(known, payload.received_at()) < MIN_SPACING
        };
        if ring.pushes.iter().rev().find(too_close).is_none() {
            ring.push(payload.clone(), self.0.config);
        }
    }

    /// The newest first, without those that are too old.
    pub fn newest(&self) -> Vec<Arc<Payload>> {
        let mut ring = self.lock();
        ring.expire(self.0.config.max_age, SystemTime::now());
        ring.pushes.iter().rev().cloned().collect()
    }

    /// How many were recorded since the start, and how many are not too old: if neither number changed, neither did the
    /// pushes.
    pub fn counts(&self) -> (u64, usize) {
        let current = self.newest().len();
        (self.lock().recorded, current)
    }

    fn lock(&self) -> MutexGuard<'_, RecentRing> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentRing {
    fn push(&mut self, payload: Arc<Payload>, config: RecentConfig) {
        self.expire(config.max_age, payload.received_at());
        self.bytes += payload.bytes().len();
        self.pushes.push_back(payload);
        self.recorded += 1;
        while self.pushes.len() > config.max_pushes || self.bytes > RecentStore::MAX_BYTES {
            self.forget_oldest();
        }
    }

    fn expire(&mut self, age_limit: Duration, now: SystemTime) {
        while self.pushes.front().is_some_and(|oldest| age(oldest, now) > age_limit) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.pushes.pop_front() {
            self.bytes -= oldest.bytes().len();
        }
    }
}

fn age(payload: &Payload, now: SystemTime) -> Duration {
    now.duration_since(payload.received_at()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::support::push_at;

    fn recent(keep: usize) -> RecentStore {
        RecentStore::new(RecentConfig { max_pushes: keep, max_age: Duration::from_secs(60) })
    }

    fn note(recent: &RecentStore, software: &str, at: SystemTime) {
        recent.record(&Arc::new(push_at(software, at)));
    }

    fn seconds_ago(seconds: u64) -> SystemTime {
        SystemTime::now() - Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_off_by_default() {
        let recent = RecentStore::default();
        note(&recent, "java", seconds_ago(0));
        assert!(recent.newest().is_empty());
    }

    #[test]
    fn it_keeps_one_push_a_second_of_each_software_the_newest_first() {
        let recent = recent(10);
        for at in [10, 10, 9, 8] {
            note(&recent, "java", seconds_ago(at));
            note(&recent, "librdkafka", seconds_ago(at));
        }
        let newest = recent.newest();
        assert!((4..=6).contains(&newest.len()), "{}", newest.len());
        assert!(newest.first().unwrap().received_at() > newest.last().unwrap().received_at());
    }

    #[test]
    fn it_is_bounded_in_pushes_and_in_age() {
        let recent = recent(2);
        for at in [90, 50, 40, 30] {
            note(&recent, "java", seconds_ago(at));
        }
        assert_eq!(recent.newest().len(), 2);
        note(&recent, "java", seconds_ago(70));
        let old = RecentStore::new(RecentConfig { max_pushes: 9, max_age: Duration::from_secs(1) });
        note(&old, "java", seconds_ago(30));
        assert!(old.newest().is_empty());
        assert_eq!(old.counts(), (1, 0));
    }
}
