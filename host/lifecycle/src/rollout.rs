//! The rollout of a candidate: its trials, and how it is judged.
//!
//! In: a candidate that has started, and the serving generation. Out: success, or a `RolloutStopped` that says at which
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

/// Why a candidate was not published.
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

    /// A task of the host panicked.
    pub(crate) fn host_failure(stage: SwapStage) -> Self {
        Self::failed(stage, "internal error: the host's task panicked in this stage; see the host's log")
    }
}
