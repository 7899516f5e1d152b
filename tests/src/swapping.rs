//! Measuring swaps from outside: versions to swap between, and how long each stage took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use barnabas_base::digest::Digest;
use barnabas_lifecycle::Plugins;
use barnabas_lifecycle::change::{
    Actor, ChangeStep, ManifestPatch, PluginChange, PluginChangeResult, RolloutOverride, SwapStage,
};
use bytes::Bytes;

/// A built receiver with a custom section that contains `tag`, of at most 100 bytes: the same code with another digest,
/// which no cache contains.
pub fn version(guest: &str, tag: &str) -> Bytes {
    const NAME: &[u8] = b"version";
    let mut bytes = std::fs::read(crate::guests::path(guest)).unwrap();
    let section = [&[NAME.len() as u8], NAME, tag.as_bytes()].concat();
    assert!(section.len() < 128, "the length must fit in one byte");
    bytes.extend([0, section.len() as u8]);
    bytes.extend(section);
    bytes.into()
}

/// The change that swaps to a stored artifact, with the rollout policy of the manifest.
pub fn swap_to(name: &str, digest: Digest) -> PluginChange {
    let wanted = ManifestPatch { digest: Some(digest), ..ManifestPatch::default() };
    PluginChange::Swap(name.into(), wanted, RolloutOverride::default())
}

/// A completed change.
#[derive(Clone, Debug)]
pub struct ChangeResult {
    /// Its result.
    pub ending: PluginChangeResult,
    /// Time from the request to the moment at which the candidate served, by the caller's clock; `None` if it never
    /// did.
    pub published: Option<Duration>,
    /// Time from the request to the result.
    pub took: Duration,
    /// How long each stage took, and its note.
    pub stages: BTreeMap<SwapStage, (Duration, Option<String>)>,
}

impl ChangeResult {
    /// The note of a stage.
    pub fn note(&self, stage: SwapStage) -> Option<&str> {
        self.stages.get(&stage)?.1.as_deref()
    }
}

/// Requests a change and waits for its result.
pub async fn run_change(plugins: &Plugins, change: PluginChange) -> ChangeResult {
    let (asked, mut published, mut stages) = (Instant::now(), None, BTreeMap::new());
    let mut steps = plugins.begin_change(Actor::Embedder, change).unwrap();
    while let Some(step) = steps.recv().await {
        match step {
            ChangeStep::Passed { stage, took, note, .. } => {
                if stage == SwapStage::Publish {
                    published = Some(asked.elapsed());
                }
                stages.insert(stage, (took, note));
            }
            ChangeStep::News { .. } => {}
            ChangeStep::Ended(ending) => return ChangeResult { ending, published, took: asked.elapsed(), stages },
        }
    }
    panic!("a change always ends with a result")
}

/// Durations of the stages of many changes, by name; displayed as a table of medians and maxima, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct StageTimes(BTreeMap<(u8, String), Vec<Duration>>);

impl StageTimes {
    /// Adds the stages of one change that was published.
    pub fn add(&mut self, swapped: &ChangeResult) {
        for (stage, (took, _)) in &swapped.stages {
            self.put(*stage as u8, stage.as_str(), *took);
        }
        let start = swapped.stages.get(&SwapStage::Start).map(|(took, _)| *took).unwrap_or_default();
        let published = swapped.published.expect("the change was published");
        self.put(u8::MAX - 1, "until it served, less start", published - start);
        self.put(u8::MAX, "until all was done", swapped.took);
    }

    fn put(&mut self, rank: u8, name: &str, took: Duration) {
        self.0.entry((rank, name.to_owned())).or_default().push(took);
    }
}

impl fmt::Display for StageTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<30} {:>10} {:>10}", "ms", "median", "max")?;
        for ((_, name), times) in &self.0 {
            let (median, most) = (median(times.clone()), times.iter().copied().max().unwrap_or_default());
            writeln!(f, "{name:<30} {:>10.2} {:>10.2}", milliseconds(median), milliseconds(most))?;
        }
        Ok(())
    }
}

/// The median; of an even number of values the greater of the two in the middle.
pub fn median<T: PartialOrd + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("measurements are comparable"));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// For tables.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
