//! Whether a candidate is worse than the serving generation, by the scores of both over the same period. A pure
//! function: it uses neither a clock nor a queue.
//!
//! Failures of both generations are not attributed to the candidate: a sink that is down does not cause a rollback.

use super::policy::RolloutPolicy;
use barnabas_base::messages::count_noun;

/// What one generation did during the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Score {
    /// Number of settled batches.
    pub batches: u64,
    /// Number of these in which not every push was delivered.
    pub failed_batches: u64,
    /// Number of settled pushes.
    pub pushes: u64,
    /// Number of these that were not delivered: dropped, or to be redelivered.
    pub failed: u64,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutFinding {
    /// No decision yet.
    Wait,
    /// The candidate is not worse.
    Sound,
    /// The candidate is worse; the message says by how much.
    Worse(String),
    /// The time is over without a decision; the message says why.
    Inconclusive(String),
}

/// Fewer failed batches than this are not significant.
const MIN_FAILED_BATCHES: u64 = 3;
/// Significance levels: the probability with which a candidate that is not worse is rejected by one comparison. Lower
/// in the middle of a step, where there are many comparisons, than once there are enough batches.
const EARLY_SIGNIFICANCE: f64 = 1e-5;
const FINAL_SIGNIFICANCE: f64 = 1e-2;
/// If both generations fail a larger share of their pushes than this, the sink is at fault and nothing can be
/// concluded.
const BOTH_FAILING_RATE: f64 = 0.5;

impl Score {
    /// The difference to an earlier score.
    pub fn since(self, before: Self) -> Self {
        Self {
            batches: self.batches.saturating_sub(before.batches),
            failed_batches: self.failed_batches.saturating_sub(before.failed_batches),
            pushes: self.pushes.saturating_sub(before.pushes),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    /// The share of pushes that failed, 0 to 1.
    pub fn rate(self) -> f64 {
        share(self.failed, self.pushes)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Compares a candidate with the serving generation. `over` says that the time for the step is over.
pub fn compare(live: Score, candidate: Score, care: &RolloutPolicy, over: bool) -> RolloutFinding {
    let enough_batches = candidate.batches >= care.batches && live.batches >= care.batches;
    let worse = candidate.rate() - live.rate() > care.budget;
    let chance = if enough_batches { FINAL_SIGNIFICANCE } else { EARLY_SIGNIFICANCE };
    if worse
        && candidate.failed_batches >= MIN_FAILED_BATCHES
        && tail_probability(live, candidate, care.budget) < chance
    {
        return RolloutFinding::Worse(format!(
            "it failed {} of {} ({}), the serving generation {} of {} ({}) in the same time; the budget allows {} more",
            candidate.failed,
            count_noun(candidate.pushes, "push"),
            percent(candidate.rate()),
            live.failed,
            live.pushes,
            percent(live.rate()),
            percent(care.budget),
        ));
    }
    match (enough_batches && !worse && !both_failing(live, candidate), over) {
        (true, _) => RolloutFinding::Sound,
        (false, false) => RolloutFinding::Wait,
        (false, true) => RolloutFinding::Inconclusive(describe_inconclusive(live, candidate, care)),
    }
}

/// Describes why there is no decision.
pub(super) fn describe_inconclusive(live: Score, candidate: Score, care: &RolloutPolicy) -> String {
    if both_failing(live, candidate) {
        return format!(
            "both generations failed most of their pushes ({} and {}), so the candidate cannot be judged; repair the \
             sink, then run `barnabas plugin retry`",
            percent(live.rate()),
            percent(candidate.rate())
        );
    }
    if candidate.batches >= care.batches && live.batches >= care.batches {
        return format!(
            "it failed {} of {} and the serving generation {} of {}, which is too close to call; allow more time \
             (`rollout.step`) or a larger share",
            candidate.failed,
            count_noun(candidate.pushes, "push"),
            live.failed,
            live.pushes
        );
    }
    format!(
        "in {:?} the candidate had {} and the serving generation {}; {} of each are required: allow a larger share, \
         more time (`rollout.step`), or require fewer (`rollout.batches`)",
        care.step,
        count_noun(candidate.batches, "batch"),
        live.batches,
        care.batches
    )
}

fn both_failing(live: Score, candidate: Score) -> bool {
    candidate.rate() > BOTH_FAILING_RATE && live.rate() > BOTH_FAILING_RATE
}

/// The probability that a candidate whose failure rate exceeds that of the serving generation by no more than the
/// budget has at least this many failed batches: the tail of a binomial distribution. Counted in batches, since the
/// pushes of one batch fail together.
fn tail_probability(live: Score, candidate: Score, budget: f64) -> f64 {
    // One failure and one success are added (Laplace smoothing), so that the rate is never 0 or 1.
    let rate = (live.failed_batches as f64 + 1.0) / (live.batches as f64 + 2.0) + budget;
    let (rate, batches) = (rate.min(1.0), candidate.batches);
    let mut term = (1.0 - rate).powf(batches as f64);
    let mut below = 0.0;
    for failed in 0..candidate.failed_batches {
        below += term;
        term *= (batches - failed) as f64 / (failed + 1) as f64 * rate / (1.0 - rate);
    }
    if term.is_finite() { (1.0 - below).max(0.0) } else { 1.0 }
}

fn percent(rate: f64) -> String {
    format!("{:.1}%", rate * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(batches: u64, failed_batches: u64) -> Score {
        Score { batches, failed_batches, pushes: batches * 10, failed: failed_batches * 10 }
    }

    fn care() -> RolloutPolicy {
        RolloutPolicy { batches: 20, budget: 0.05, ..RolloutPolicy::default() }
    }

    fn look(live: Score, candidate: Score) -> RolloutFinding {
        compare(live, candidate, &care(), false)
    }

    #[test]
    fn a_sound_candidate_passes_once_there_is_enough_to_say_so() {
        assert_eq!(look(score(19, 0), score(20, 0)), RolloutFinding::Wait);
        assert_eq!(look(score(20, 0), score(19, 0)), RolloutFinding::Wait);
        assert_eq!(look(score(20, 0), score(20, 0)), RolloutFinding::Sound);
        assert_eq!(look(score(400, 4), score(40, 1)), RolloutFinding::Sound, "within the budget");
    }

    #[test]
    fn a_candidate_that_fails_a_third_is_found_early() {
        assert_eq!(look(score(100, 0), score(4, 2)), RolloutFinding::Wait, "too few to decide");
        assert!(matches!(look(score(100, 0), score(6, 6)), RolloutFinding::Worse(_)));
        let words = look(score(400, 4), score(20, 6));
        let RolloutFinding::Worse(words) = words else { panic!("{words:?}") };
        assert!(words.contains("60 of 200 pushes (30.0%)") && words.contains("40 of 4000 (1.0%)"), "{words}");
    }

    #[test]
    fn a_few_failures_decide_nothing() {
        assert_eq!(look(score(95, 0), score(5, 1)), RolloutFinding::Wait);
        assert_eq!(look(score(361, 0), score(19, 2)), RolloutFinding::Wait);
        assert_eq!(look(score(20, 0), score(20, 2)), RolloutFinding::Wait);
        let over = compare(score(30, 0), score(20, 2), &care(), true);
        assert!(
            matches!(&over, RolloutFinding::Inconclusive(words) if words.contains("too close to call")),
            "{over:?}"
        );
    }

    /// Both fail at the same rate, the serving generation has fifteen times the batches, and they are compared after
    /// each batch of the candidate.
    #[test]
    fn almost_no_sound_candidate_is_found_worse() {
        let mut dice = 1_u64;
        let mut fails = |rate: f64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((dice >> 11) as f64 / (1_u64 << 53) as f64) < rate
        };
        let mut wrongly = 0;
        for life in 0..2_000 {
            let rate = [0.0, 0.005, 0.02, 0.2][life % 4];
            let (mut live, mut candidate) = (score(0, 0), score(0, 0));
            let found = loop {
                let failed = (0..15).filter(|_| fails(rate)).count() as u64;
                live = score(live.batches + 15, live.failed_batches + failed);
                candidate = score(candidate.batches + 1, candidate.failed_batches + u64::from(fails(rate)));
                match compare(live, candidate, &care(), candidate.batches >= 200) {
                    RolloutFinding::Wait => {}
                    found => break found,
                }
            };
            wrongly += u64::from(matches!(found, RolloutFinding::Worse(_)));
        }
        assert!(wrongly <= 10, "{wrongly} of 2000 sound candidates were rolled back");
    }

    #[test]
    fn what_fails_for_both_rolls_nothing_back() {
        assert_eq!(look(score(30, 30), score(30, 30)), RolloutFinding::Wait);
        let over = compare(score(30, 30), score(30, 30), &care(), true);
        assert!(matches!(&over, RolloutFinding::Inconclusive(words) if words.contains("both generations")), "{over:?}");
        assert_eq!(look(score(50, 20), score(25, 10)), RolloutFinding::Sound, "a flaky sink is flaky for both");
        assert_eq!(look(score(50, 50), score(25, 0)), RolloutFinding::Sound, "and a candidate that is better passes");
    }

    #[test]
    fn too_little_traffic_is_inconclusive() {
        let over = compare(score(3, 0), score(2, 0), &care(), true);
        assert!(matches!(&over, RolloutFinding::Inconclusive(words) if words.contains("2 batches")), "{over:?}");
        assert!(matches!(compare(score(100, 0), score(4, 4), &care(), true), RolloutFinding::Inconclusive(_)));
    }

    #[test]
    fn many_pushes_rejected_in_part_count_by_pushes() {
        let partly = Score { batches: 40, failed_batches: 40, pushes: 2_560, failed: 40 };
        assert_eq!(
            look(Score { batches: 40, failed_batches: 0, pushes: 2_560, failed: 0 }, partly),
            RolloutFinding::Sound
        );
    }
}
