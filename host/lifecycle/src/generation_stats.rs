//! The resource usage and messages of a generation's instances: written by its workers, read for its status.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::rollout::Score;
use barnabas_pipeline::dispatch::Settlement;

/// Shared by the workers of one generation.
#[derive(Debug, Default)]
pub struct GenerationStats {
    cpu: AtomicU64,
    memory_peak: AtomicUsize,
    live: AtomicUsize,
    batches: AtomicU64,
    crashes: AtomicU64,
    replaced: AtomicU64,
    rejected_points: AtomicU64,
    not_normalised: AtomicU64,
    settled: Mutex<Score>,
    messages: Mutex<GenerationMessages>,
}

/// Messages for people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GenerationMessages {
    /// The last error.
    pub last_error: Option<LastError>,
    /// The misconfiguration that the receiver reported, until a batch is accepted.
    pub misconfigured: Option<String>,
}

/// An error and its time.
#[derive(Clone, Debug, Serialize)]
pub struct LastError {
    /// The time of the error.
    #[serde(rename = "at_unix_seconds", serialize_with = "barnabas_base::units::unix_seconds")]
    pub at: SystemTime,
    /// The error message.
    pub text: String,
    /// When a batch was accepted for the first time after it.
    #[serde(rename = "recovered_at_unix_seconds", serialize_with = "barnabas_base::units::optional_unix_seconds")]
    pub recovered: Option<SystemTime>,
}

/// The values at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StatsSnapshot {
    /// CPU time of all calls.
    #[serde(rename = "cpu_seconds", serialize_with = "barnabas_base::units::seconds")]
    pub cpu: Duration,
    /// Peak memory of a single instance in bytes.
    pub memory_peak: usize,
    /// Number of started instances.
    pub live: usize,
    /// Number of exported batches.
    pub batches: u64,
    /// Number of instances that failed.
    pub crashes: u64,
    /// Number of instances that were replaced because they retained too many handles.
    pub replaced: u64,
    /// Number of points that a sink accepted and discarded.
    pub rejected_points: u64,
    /// Number of pushes that could not be normalised and were lent unchanged.
    pub not_normalised: u64,
    /// How its batches were settled.
    pub settled: Score,
    /// Messages for people.
    #[serde(flatten)]
    pub messages: GenerationMessages,
}

impl GenerationStats {
    /// Reads all values.
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            cpu: Duration::from_nanos(self.cpu.load(Ordering::Relaxed)),
            memory_peak: self.memory_peak.load(Ordering::Relaxed),
            live: self.live.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            crashes: self.crashes.load(Ordering::Relaxed),
            replaced: self.replaced.load(Ordering::Relaxed),
            rejected_points: self.rejected_points.load(Ordering::Relaxed),
            not_normalised: self.not_normalised.load(Ordering::Relaxed),
            settled: self.score(),
            messages: self.with_messages(|words| words.clone()),
        }
    }

    /// Returns the score of the settled batches.
    pub fn score(&self) -> Score {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record_settled(&self, settled: &Settlement) {
        // The outcome of pushes that are redelivered in smaller batches is not known yet.
        let failed = (settled.dropped + settled.returned).saturating_sub(settled.halved) as u64;
        if settled.delivered as u64 + failed == 0 {
            return;
        }
        let mut score = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        score.batches += 1;
        score.failed_batches += u64::from(failed > 0);
        score.pushes += settled.delivered as u64 + failed;
        score.failed += failed;
    }

    pub(super) fn record_usage(&self, cpu: Duration, memory_peak: usize) {
        self.cpu.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.memory_peak.fetch_max(memory_peak, Ordering::Relaxed);
    }

    pub(super) fn record_batch(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record_crash(&self) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record_replacement(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record_rejected_points(&self, points: u64) {
        self.rejected_points.fetch_add(points, Ordering::Relaxed);
    }

    pub(super) fn record_not_normalised(&self, pushes: usize) {
        self.not_normalised.fetch_add(pushes as u64, Ordering::Relaxed);
    }

    pub(super) fn record_error(&self, text: &str) {
        let error = LastError { at: SystemTime::now(), text: text.to_owned(), recovered: None };
        self.with_messages(|words| words.last_error = Some(error));
    }

    /// Records that a batch was accepted: an earlier error has recovered.
    pub(super) fn record_success(&self) {
        self.with_messages(|words| {
            if let Some(error) = &mut words.last_error {
                error.recovered.get_or_insert_with(SystemTime::now);
            }
        });
    }

    /// Sets the misconfiguration and returns whether it changed.
    pub(super) fn set_misconfigured(&self, reason: Option<&str>) -> bool {
        self.with_messages(|words| {
            let news = words.misconfigured.as_deref() != reason;
            words.misconfigured = reason.map(str::to_owned);
            news
        })
    }

    fn with_messages<T>(&self, edit: impl FnOnce(&mut GenerationMessages) -> T) -> T {
        edit(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts one instance as live for as long as it is held.
pub(super) struct LiveInstanceGuard(std::sync::Arc<GenerationStats>);

impl LiveInstanceGuard {
    pub(super) fn new(stats: &std::sync::Arc<GenerationStats>) -> Self {
        stats.live.fetch_add(1, Ordering::Relaxed);
        Self(stats.clone())
    }
}

impl Drop for LiveInstanceGuard {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_recovered_once_a_batch_is_accepted() {
        let stats = GenerationStats::default();
        let recovered = || stats.snapshot().messages.last_error.unwrap().recovered;
        stats.record_success();
        assert!(stats.snapshot().messages.last_error.is_none());
        stats.record_error("422");
        assert_eq!(recovered(), None);
        stats.record_success();
        let first = recovered().expect("a batch was accepted");
        stats.record_success();
        assert_eq!(recovered(), Some(first), "the first time counts");
        stats.record_error("503");
        assert_eq!(recovered(), None);
    }
}
