//! The rollout policy: the manifest's `[rollout]` and `[self-test]`, with the overrides of a command.

use std::time::Duration;

use crate::change::RolloutOverride;
use barnabas_base::units::HumanDuration;
use barnabas_runtime::capability::egress::RecordedResponse;

/// The rollout policy of a manifest, with defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutPolicy {
    /// Whether a candidate first exports a few pushes as a self-test.
    pub self_test: bool,
    /// How long a candidate receives copies of real batches; zero skips the shadow stage.
    pub shadow: Duration,
    /// The share of the lanes in the first step of a canary, above 0 and up to 1; 1 skips the canary stage.
    pub canary: f64,
    /// Maximum duration of one step of a canary.
    pub step: Duration,
    /// Minimum number of batches of each generation by which a step is judged.
    pub batches: u64,
    /// By how much the candidate's share of failed pushes may exceed that of the serving generation, 0 to 1.
    pub budget: f64,
    /// The response to captured requests for which no response of the serving generation was recorded.
    pub reply: RecordedResponse,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            self_test: true,
            shadow: Duration::ZERO,
            canary: 1.0,
            step: Duration::from_mins(2),
            batches: 20,
            budget: 0.05,
            reply: RecordedResponse::default(),
        }
    }
}

impl RolloutPolicy {
    /// Applies an override.
    pub fn with_override(&self, plan: RolloutOverride) -> Self {
        Self {
            self_test: plan.self_test.unwrap_or(self.self_test),
            shadow: plan.shadow.map_or(self.shadow, |span| span.0),
            canary: plan.canary.map_or(self.canary, |percent| percent / 100.0),
            ..self.clone()
        }
    }

    /// The policy as an override in which every value is set.
    pub fn to_override(&self) -> RolloutOverride {
        RolloutOverride {
            self_test: Some(self.self_test),
            shadow: Some(HumanDuration(self.shadow)),
            canary: Some(self.canary * 100.0),
        }
    }

    /// Whether a candidate handles real pushes, or copies of them, before it serves all lanes.
    pub fn has_trial(&self) -> bool {
        !self.shadow.is_zero() || self.canary < 1.0
    }

    /// The policy as flags of a command: `--shadow 6s --canary 25%`.
    pub fn to_flags(&self) -> String {
        let shadow = (!self.shadow.is_zero()).then(|| format!("--shadow {}", HumanDuration(self.shadow)));
        // A share such as 0.07 has no exact binary form, so it is rounded for display.
        let canary = format!("--canary {}%", (self.canary * 1e6).round() / 1e4);
        shadow.into_iter().chain([canary]).collect::<Vec<_>>().join(" ")
    }

    /// The shares of a canary's steps, each four times the previous one; empty if there is no canary stage.
    pub fn canary_shares(&self) -> Vec<f64> {
        std::iter::successors(Some(self.canary), |share| Some(share * 4.0)).take_while(|share| *share < 1.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_command() {
        let care = RolloutPolicy { canary: 0.07, shadow: Duration::from_secs(6), ..RolloutPolicy::default() };
        assert_eq!(care.to_flags(), "--shadow 6s --canary 7%");
        assert_eq!(
            (RolloutPolicy::default().to_flags(), RolloutPolicy::default().has_trial()),
            ("--canary 100%".into(), false)
        );
        assert_eq!(RolloutPolicy::default().with_override(care.to_override()).to_flags(), care.to_flags());
        assert!(care.has_trial());
    }

    #[test]
    fn a_canary_quadruples_and_stays_below_all_lanes() {
        let care = |canary| RolloutPolicy { canary, ..RolloutPolicy::default() };
        assert_eq!(care(0.05).canary_shares(), [0.05, 0.2, 0.8]);
        assert_eq!(care(0.5).canary_shares(), [0.5]);
        assert_eq!(care(1.0).canary_shares(), [0.0; 0]);
    }

    #[test]
    fn an_override_applies_once_and_only_where_it_is_set() {
        let written = RolloutPolicy { shadow: Duration::from_secs(5), ..RolloutPolicy::default() };
        assert_eq!(written.with_override(RolloutOverride::default()), written);
        let plan =
            RolloutOverride { self_test: Some(false), shadow: Some(HumanDuration(Duration::ZERO)), canary: Some(5.0) };
        let care = written.with_override(plan);
        assert_eq!((care.self_test, care.shadow, care.canary), (false, Duration::ZERO, 0.05));
    }
}
