//! Letting a candidate in: what it is tried on, and by what it is judged.
//!
//! In: a candidate that has started, beside the generation that serves. Out: sound, or a `Stop` that says at which
//! stage and why. Bounded in time by the manifest's `[rollout]`. The order of the stages is the registry's.

pub(crate) mod canary;
mod judge;
mod policy;
pub(crate) mod progress;
pub(crate) mod self_test;
pub(crate) mod shadow;

pub use judge::{RolloutFinding, Score, compare};
pub use policy::RolloutPolicy;
pub use progress::RolloutStatus;

use super::change::{ChangeOutcome, SwapStage};

/// Why a candidate does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloutStopped {
    pub(crate) stage: SwapStage,
    /// Never `Done` or `Unchanged`.
    pub(crate) verdict: ChangeOutcome,
    /// One or two sentences.
    pub(crate) reason: String,
}

impl RolloutStopped {
    pub(crate) fn failed(stage: SwapStage, reason: impl Into<String>) -> Self {
        Self { stage, verdict: ChangeOutcome::Failed, reason: reason.into() }
    }

    /// The host itself broke, in a task of its own.
    pub(crate) fn host_failure(stage: SwapStage) -> Self {
        Self::failed(stage, "the host broke while it was at this stage; see its log")
    }
}
