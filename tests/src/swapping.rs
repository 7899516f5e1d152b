//! Swaps as one who measures them sees them: versions to swap between, and what every stage took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use barnabas::plugin::Plugins;
use barnabas::plugin::change::{Actor, Change, Ending, Plan, Stage, Step, Wanted};
use barnabas::plugin::digest::Digest;
use bytes::Bytes;

/// A built receiver with a custom section that says `tag`, of at most 100 bytes: the same code under another digest,
/// which no cache knows.
pub fn version(guest: &str, tag: &str) -> Bytes {
    const NAME: &[u8] = b"version";
    let mut bytes = std::fs::read(crate::guests::path(guest)).unwrap();
    let section = [&[NAME.len() as u8], NAME, tag.as_bytes()].concat();
    assert!(section.len() < 128, "its length is one byte");
    bytes.extend([0, section.len() as u8]);
    bytes.extend(section);
    bytes.into()
}

/// The change that swaps to an artifact that was kept, as carefully as the manifest says.
pub fn swap_to(name: &str, digest: Digest) -> Change {
    let wanted = Wanted { digest: Some(digest), ..Wanted::default() };
    Change::Swap(name.into(), wanted, Plan::default())
}

/// A change that is over.
#[derive(Clone, Debug)]
pub struct ChangeResult {
    /// What came of it.
    pub ending: Ending,
    /// From the question to the moment at which the candidate served, on the clock of who asked; `None` if it never
    /// did.
    pub published: Option<Duration>,
    /// From the question to the last word.
    pub took: Duration,
    /// What each stage took, and what was said of it.
    pub stages: BTreeMap<Stage, (Duration, Option<String>)>,
}

impl ChangeResult {
    /// What a stage said of itself.
    pub fn note(&self, stage: Stage) -> Option<&str> {
        self.stages.get(&stage)?.1.as_deref()
    }
}

/// Asks for a change and waits for its end.
pub async fn run_change(plugins: &Plugins, change: Change) -> ChangeResult {
    let (asked, mut published, mut stages) = (Instant::now(), None, BTreeMap::new());
    let mut steps = plugins.change(Actor::Embedder, change).unwrap();
    while let Some(step) = steps.recv().await {
        match step {
            Step::Passed { stage, took, note, .. } => {
                if stage == Stage::Publish {
                    published = Some(asked.elapsed());
                }
                stages.insert(stage, (took, note));
            }
            Step::News { .. } => {}
            Step::Ended(ending) => return ChangeResult { ending, published, took: asked.elapsed(), stages },
        }
    }
    panic!("a change ends with words")
}

/// What the stages of many changes took, by name; as text a table of medians and maxima, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct StageTimes(BTreeMap<(u8, String), Vec<Duration>>);

impl StageTimes {
    /// Those of one change that was published.
    pub fn add(&mut self, swapped: &ChangeResult) {
        for (stage, (took, _)) in &swapped.stages {
            self.put(*stage as u8, stage.as_str(), *took);
        }
        let start = swapped.stages.get(&Stage::Start).map(|(took, _)| *took).unwrap_or_default();
        let published = swapped.published.expect("it was published");
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

/// The middle one; of an even number the greater of the two.
pub fn median<T: PartialOrd + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("no measure is without order"));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// For tables.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
