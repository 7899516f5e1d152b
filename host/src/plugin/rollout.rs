//! Letting a candidate in: what it is tried on, and by what it is judged.
//!
//! In: a candidate that has started, beside the generation that serves. Out: sound, or a `Stop` that says at which
//! stage and why. Bounded in time by the manifest's `[rollout]`. The order of the stages is the registry's.

pub(crate) mod canary;
mod care;
mod judge;
pub(crate) mod progress;
pub(crate) mod self_test;
pub(crate) mod shadow;

pub use care::Care;
pub use judge::{Finding, Score, compare};
pub use progress::Shown;

use super::change::{ChangeOutcome, Stage};

/// Why a candidate does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) stage: Stage,
    /// Never `Done` or `Unchanged`.
    pub(crate) verdict: ChangeOutcome,
    /// One or two sentences.
    pub(crate) reason: String,
}

impl Stop {
    pub(crate) fn failed(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, verdict: ChangeOutcome::Failed, reason: reason.into() }
    }

    /// The host itself broke, in a task of its own.
    pub(crate) fn broke(stage: Stage) -> Self {
        Self::failed(stage, "the host broke while it was at this stage; see its log")
    }
}
