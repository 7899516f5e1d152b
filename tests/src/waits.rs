//! Measures how long pushes wait in the queue, and the memory of this process.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barnabas_pipeline::event::{EventData, Events, ListenerGuard, Topic};

use crate::swapping::milliseconds;

/// Resolution.
const STEP: Duration = Duration::from_micros(100);
/// Longer waits count as this number of steps; the maximum is exact nevertheless.
const STEPS: usize = 20_000;

/// Records how long the oldest push of each batch had waited when it was leased: no other push of the batch waited
/// longer. Its memory does not grow with time.
pub struct QueueWaits {
    heard: Arc<Mutex<WaitDistribution>>,
    _listening: ListenerGuard,
}

/// A distribution of waits.
#[derive(Clone)]
pub struct WaitDistribution {
    counts: Vec<u32>,
    /// Number of batches.
    pub batches: u64,
    /// The longest wait.
    pub max: Duration,
}

impl Default for WaitDistribution {
    fn default() -> Self {
        Self { counts: vec![0; STEPS], batches: 0, max: Duration::ZERO }
    }
}

impl QueueWaits {
    /// Records all slots from now on.
    pub fn start(events: &Events) -> Self {
        let heard = Arc::<Mutex<WaitDistribution>>::default();
        let spread = heard.clone();
        let listening = events.listen(&[Topic::BatchEnd], move |event| {
            if let EventData::BatchEnd { queue_wait, pushes: 1.., .. } = &event.data {
                spread.lock().unwrap().add(*queue_wait);
            }
        });
        Self { heard, _listening: listening }
    }

    /// Returns what was recorded since the last call.
    pub fn drain(&self) -> WaitDistribution {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl WaitDistribution {
    fn add(&mut self, wait: Duration) {
        let step = (wait.as_micros() / STEP.as_micros()) as usize;
        self.counts[step.min(STEPS - 1)] += 1;
        self.batches += 1;
        self.max = self.max.max(wait);
    }

    /// The wait that `percent` of the batches did not exceed, rounded up to a step.
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.batches as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let step = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        STEP.saturating_mul(step.map_or(0, |step| step as u32 + 1)).min(self.max)
    }
}

impl fmt::Display for WaitDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most] = [50.0, 99.9].map(|percent| milliseconds(self.percentile(percent)));
        let (max, batches) = (milliseconds(self.max), self.batches);
        write!(
            f,
            "max {max:.1} ms, p99.9 {most:.1} ms, median {half:.1} ms ({batches} batches, the oldest push of each)"
        )
    }
}

/// Resident memory of this process in bytes.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
