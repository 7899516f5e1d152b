//! Whether a candidate is worse than the generation that serves, by what both did in the same window: a function of two
//! scores. Touches no clock and no queue.
//!
//! What fails for both is not the candidate's doing: a sink that is down rolls nothing back.

use super::care::Care;

/// What one generation did in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Score {
    /// Batches settled.
    pub batches: u64,
    /// Of them, those of which not every push was delivered.
    pub failed_batches: u64,
    /// Pushes settled.
    pub pushes: u64,
    /// Of them, those not delivered: given up, or to be offered again.
    pub failed: u64,
}

/// What the window shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Look again later.
    Wait,
    /// No worse.
    Sound,
    /// Worse, in words.
    Worse(String),
    /// The time is over, and there is too little to say; in words.
    Unclear(String),
}

/// Below this many batches of the candidate nothing is said.
const LEAST: u64 = 5;
/// One-sided, about one false alarm in a thousand looks.
const SIGNIFICANT: f64 = 3.1;
/// Where both fail more than this, the sink is to blame, and there is nothing to learn.
const HOPELESS: f64 = 0.5;

impl Score {
    /// What was added since `before`.
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

    fn batch_rate(self) -> f64 {
        share(self.failed_batches, self.batches)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Compares a candidate with the generation that serves. `over` says that the step may not take longer.
pub fn compare(live: Score, candidate: Score, care: &Care, over: bool) -> Finding {
    let excess = candidate.rate() - live.rate();
    let known = candidate.batches >= care.batches && live.batches >= care.batches;
    let worse = excess > care.budget && candidate.batches >= LEAST;
    if worse && (surprise(live, candidate) >= SIGNIFICANT || (over && known)) {
        return Finding::Worse(format!(
            "it failed {} of {} pushes ({}), the generation that serves {} of {} ({}) in the same time; {} more are \
             within the budget",
            candidate.failed,
            candidate.pushes,
            words(candidate.rate()),
            live.failed,
            live.pushes,
            words(live.rate()),
            words(care.budget),
        ));
    }
    let hopeless = candidate.rate() > HOPELESS && live.rate() > HOPELESS;
    match (known && !worse && !hopeless, over) {
        (true, _) => Finding::Sound,
        (false, false) => Finding::Wait,
        (false, true) => Finding::Unclear(unclear(live, candidate, care, hopeless)),
    }
}

fn unclear(live: Score, candidate: Score, care: &Care, hopeless: bool) -> String {
    if hopeless {
        return format!(
            "both generations failed most of their pushes ({} and {}), so nothing can be said of the candidate; see \
             to the sink, then `retry`",
            words(live.rate()),
            words(candidate.rate())
        );
    }
    format!(
        "in {:?} the candidate had {} batches and the generation that serves {}; {} of each are wanted: give it a \
         greater share, more time (`rollout.step`), or ask for fewer (`rollout.batches`)",
        care.step, candidate.batches, live.batches, care.batches
    )
}

/// How many standard deviations the candidate's failed batches are above what both together would suggest. By batches,
/// since the pushes of one batch fail together.
fn surprise(live: Score, candidate: Score) -> f64 {
    let (n, m) = (candidate.batches as f64, live.batches.max(1) as f64);
    // Half a failure and half a success are added, so that no rate is certain.
    let both = (candidate.failed_batches + live.failed_batches) as f64 + 0.5;
    let pooled = both / (n + m + 1.0);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    (candidate.batch_rate() - live.batch_rate()) / deviation
}

fn words(rate: f64) -> String {
    format!("{:.1}%", rate * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(batches: u64, failed_batches: u64) -> Score {
        Score { batches, failed_batches, pushes: batches * 10, failed: failed_batches * 10 }
    }

    fn care() -> Care {
        Care { batches: 20, budget: 0.05, ..Care::default() }
    }

    fn look(live: Score, candidate: Score) -> Finding {
        compare(live, candidate, &care(), false)
    }

    #[test]
    fn a_sound_candidate_passes_once_there_is_enough_to_say_so() {
        assert_eq!(look(score(19, 0), score(20, 0)), Finding::Wait);
        assert_eq!(look(score(20, 0), score(19, 0)), Finding::Wait);
        assert_eq!(look(score(20, 0), score(20, 0)), Finding::Sound);
        assert_eq!(look(score(400, 4), score(40, 1)), Finding::Sound, "within the budget");
    }

    #[test]
    fn one_that_fails_a_third_is_found_soon() {
        assert_eq!(look(score(100, 0), score(4, 4)), Finding::Wait, "too few to say");
        assert!(matches!(look(score(100, 0), score(8, 3)), Finding::Worse(_)));
        let words = look(score(100, 1), score(20, 6));
        let Finding::Worse(words) = words else { panic!("{words:?}") };
        assert!(words.contains("60 of 200 pushes (30.0%)") && words.contains("10 of 1000 (1.0%)"), "{words}");
    }

    #[test]
    fn a_single_bad_batch_is_no_verdict_until_the_time_is_over() {
        assert_eq!(look(score(20, 0), score(6, 1)), Finding::Wait);
        assert_eq!(look(score(10, 1), score(20, 3)), Finding::Wait);
        assert!(matches!(compare(score(30, 0), score(20, 2), &care(), true), Finding::Worse(_)));
    }

    #[test]
    fn what_fails_for_both_rolls_nothing_back() {
        assert_eq!(look(score(30, 30), score(30, 30)), Finding::Wait);
        let over = compare(score(30, 30), score(30, 30), &care(), true);
        assert!(matches!(&over, Finding::Unclear(words) if words.contains("both generations")), "{over:?}");
        assert_eq!(look(score(50, 20), score(25, 10)), Finding::Sound, "a flaky sink is flaky for both");
        assert_eq!(look(score(50, 50), score(25, 0)), Finding::Sound, "and one that is better passes");
    }

    #[test]
    fn too_little_traffic_is_said() {
        let over = compare(score(3, 0), score(2, 0), &care(), true);
        assert!(matches!(&over, Finding::Unclear(words) if words.contains("2 batches")), "{over:?}");
        assert!(matches!(compare(score(100, 0), score(4, 4), &care(), true), Finding::Unclear(_)));
    }

    #[test]
    fn many_pushes_rejected_in_part_count_by_pushes() {
        let partly = Score { batches: 40, failed_batches: 40, pushes: 2_560, failed: 40 };
        assert_eq!(look(Score { batches: 40, failed_batches: 0, pushes: 2_560, failed: 0 }, partly), Finding::Sound);
    }
}
