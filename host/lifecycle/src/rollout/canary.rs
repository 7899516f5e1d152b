//! The canary stage: the candidate serves a share of the lanes, which is raised in steps. Each step is judged by the
//! scores of both generations in it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::judge::{RolloutFinding, Score, compare, describe_inconclusive};
use super::{RolloutPolicy, RolloutStopped};
use crate::change::{ChangeOutcome, SwapStage};
use barnabas_base::messages::count_noun;
use barnabas_pipeline::dispatch::LaneSet;

/// Interval between two comparisons of the scores.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Interval between two progress messages.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// The two generations of a canary.
pub(crate) trait CanaryPair {
    /// Returns the scores so far of the serving generation and of the candidate.
    fn scores(&self) -> (Score, Score);
    /// Assigns these lanes to the candidate and all others to the serving generation.
    fn set_candidate_lanes(&self, candidates: BTreeSet<usize>);
    /// Reports progress.
    fn report(&self, text: String);
}

/// Selects this share of the lanes, evenly spread; at least one, and never all.
pub(crate) fn candidate_lanes(share: f64, of: usize) -> BTreeSet<usize> {
    let wanted = (of as f64 * share).ceil().max(1.0) as usize;
    let wanted = wanted.min(of.saturating_sub(1)).max(1);
    (0..wanted).map(|n| n * of / wanted).collect()
}

/// The lane sets of the candidate and of the serving generation.
pub(crate) fn split(candidates: BTreeSet<usize>) -> (LaneSet, LaneSet) {
    (LaneSet::Only(candidates.clone()), LaneSet::Except(candidates))
}

/// Runs all steps. Leaves the lanes as in the last step: the caller assigns them to one of the generations.
pub(crate) async fn run(
    pair: &(impl CanaryPair + Sync),
    lane_count: usize,
    care: &RolloutPolicy,
) -> Result<String, RolloutStopped> {
    let mut steps = Vec::new();
    for share in care.canary_shares() {
        let lanes = candidate_lanes(share, lane_count);
        let name = format!("{} of {}", lanes.len(), count_noun(lane_count, "lane"));
        pair.set_candidate_lanes(lanes);
        let (live, candidate) = step(pair, care, &name).await?;
        steps.push(format!(
            "{name}: {} of {} failed, live {} of {}",
            candidate.failed,
            count_noun(candidate.pushes, "push"),
            live.failed,
            live.pushes
        ));
    }
    Ok(steps.join("; "))
}

async fn step(
    pair: &(impl CanaryPair + Sync),
    care: &RolloutPolicy,
    name: &str,
) -> Result<(Score, Score), RolloutStopped> {
    let (begun, first) = (Instant::now(), pair.scores());
    let (mut reported_at, mut last, mut before) = (begun, first, first);
    loop {
        sleep(POLL_INTERVAL).await;
        let now = pair.scores();
        if all_batches_failed(now.0.since(last.0)) {
            // Every batch of the serving generation failed, so the sink is probably down and the scores so far may be
            // due to that. Start over.
            before = now;
        }
        last = now;
        let (live, candidate) = (now.0.since(before.0), now.1.since(before.1));
        let (verdict, reason) = match compare(live, candidate, care, begun.elapsed() >= care.step) {
            RolloutFinding::Sound => return Ok((live, candidate)),
            RolloutFinding::Wait => {
                if reported_at.elapsed() >= REPORT_INTERVAL {
                    reported_at = Instant::now();
                    let (done, failed) = (candidate.batches, candidate.failed);
                    let (wanted, failed) = (count_noun(care.batches, "batch"), count_noun(failed, "push"));
                    pair.report(format!("{name}: {done} of {wanted}, {failed} failed"));
                }
                continue;
            }
            RolloutFinding::Worse(reason) => (ChangeOutcome::RolledBack, reason),
            RolloutFinding::Inconclusive(_) => {
                // With the scores of the whole step, including what was discarded: they explain why there is no result.
                (ChangeOutcome::Inconclusive, describe_inconclusive(now.0.since(first.0), now.1.since(first.1), care))
            }
        };
        return Err(RolloutStopped { stage: SwapStage::Canary, verdict, reason: format!("with {name}, {reason}") });
    }
}

fn all_batches_failed(live: Score) -> bool {
    live.failed_batches > 0 && live.failed_batches == live.batches
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The scores grow with each call: both by `batches`, of which some fail.
    struct FakePair {
        shares: Mutex<Vec<usize>>,
        looks: Mutex<u64>,
        candidate_fails: u64,
        live_fails: u64,
        batches: u64,
    }

    impl FakePair {
        fn new(candidate_fails: u64, live_fails: u64, batches: u64) -> Self {
            Self { shares: Mutex::default(), looks: Mutex::default(), candidate_fails, live_fails, batches }
        }

        async fn run(&self) -> Result<String, RolloutStopped> {
            run(self, 32, &RolloutPolicy { canary: 0.05, ..RolloutPolicy::default() }).await
        }
    }

    impl CanaryPair for FakePair {
        fn scores(&self) -> (Score, Score) {
            let mut looks = self.looks.lock().unwrap();
            let score = |fails: u64| Score {
                batches: *looks * self.batches,
                failed_batches: *looks * fails,
                pushes: *looks * self.batches * 10,
                failed: *looks * fails * 10,
            };
            let scores = (score(self.live_fails), score(self.candidate_fails));
            *looks += 1;
            scores
        }
        fn set_candidate_lanes(&self, candidates: BTreeSet<usize>) {
            self.shares.lock().unwrap().push(candidates.len());
        }
        fn report(&self, _: String) {}
    }

    #[test]
    fn lanes_are_at_least_one_and_never_all() {
        let counts = [0.001, 0.05, 0.2, 0.8, 0.999].map(|share| candidate_lanes(share, 32).len());
        assert_eq!(counts, [1, 2, 7, 26, 31]);
        assert!(candidate_lanes(0.5, 32).iter().all(|lane| *lane < 32));
        assert_eq!(candidate_lanes(0.5, 1).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sound_candidate_is_raised_to_the_last_step() {
        let fake = FakePair::new(0, 0, 10);
        assert!(fake.run().await.is_ok());
        assert_eq!(*fake.shares.lock().unwrap(), [2, 7, 26]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_stopped_in_the_first_step() {
        let fake = FakePair::new(3, 0, 10);
        let stop = fake.run().await.unwrap_err();
        assert_eq!((stop.stage, stop.verdict), (SwapStage::Canary, ChangeOutcome::RolledBack));
        assert_eq!(*fake.shares.lock().unwrap(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_is_down_or_traffic_that_is_missing_rolls_nothing_back() {
        let down = FakePair::new(10, 10, 10).run().await.unwrap_err();
        assert_eq!(down.verdict, ChangeOutcome::Inconclusive);
        let silent = FakePair::new(0, 0, 0).run().await.unwrap_err();
        assert_eq!(silent.verdict, ChangeOutcome::Inconclusive);
    }
}
