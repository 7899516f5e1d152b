//! How long pushes wait for their receiver, and how much memory this process has.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barnabas::event::{EventData, Events, ListenerGuard, Topic};

use crate::swapping::milliseconds;

/// What is told apart.
const STEP: Duration = Duration::from_micros(100);
/// All that is longer counts as this many steps; the longest is known all the same.
const STEPS: usize = 20_000;

/// Listens to how long the oldest push of each batch had waited when it was leased: no other push of it waited longer.
/// Takes the same memory however long it listens.
pub struct QueueWaits {
    heard: Arc<Mutex<WaitDistribution>>,
    _listening: ListenerGuard,
}

/// How waits are spread.
#[derive(Clone)]
pub struct WaitDistribution {
    counts: Vec<u32>,
    /// Batches.
    pub batches: u64,
    /// The longest.
    pub max: Duration,
}

impl Default for WaitDistribution {
    fn default() -> Self {
        Self { counts: vec![0; STEPS], batches: 0, max: Duration::ZERO }
    }
}

impl QueueWaits {
    /// From now on, of all slots.
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

    /// What was heard since this was last asked.
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

    /// The wait that so many percent of the batches did not exceed, rounded up to a step.
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

/// Bytes of this process in memory, as the system counts them.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
