//! What an operator sees of a plugin.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use super::change::{ChangeOutcome, SwapStage};
use super::digest::Digest;
use super::effective_manifest::EffectiveManifest;
use super::generation_stats::StatsSnapshot;
use super::rollout::RolloutStatus;
use crate::capability::state::StateUsage;
use crate::dispatch::SlotSnapshot;

/// In which part of its life a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Being loaded for the first time.
    Loading,
    /// A generation serves.
    Serving,
    /// A generation is there, and is given no batches.
    Paused,
    /// No generation serves, and `failure` says why.
    Failed,
    /// Being taken away: it takes no more pushes, and delivers those it has.
    Removing,
    /// Taken back for the end of the host.
    Stopped,
}

/// One plugin at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub file: PathBuf,
    /// Where it stands.
    pub state: PluginState,
    /// Whether the manifest wants that no batches are handed out.
    pub paused: bool,
    /// What the manifest wants.
    pub desired: DesiredState,
    /// Why that does not run, in a sentence.
    pub failure: Option<String>,
    /// The same in its parts.
    pub failed: Option<PluginFailure>,
    /// What serves.
    pub serving: Option<ServingGeneration>,
    /// What served before and can be rolled back to, the newest first.
    pub kept: Vec<RetainedGeneration>,
    /// What was refused last and is not tried again by itself, unless something else came to serve since.
    pub refused: Option<RefusedGeneration>,
    /// A swap under way.
    pub rollout: Option<RolloutStatus>,
    /// What its slot keeps for it, where that is granted.
    pub state_usage: Option<StateUsage>,
    /// Its queue and ledger.
    pub queue: SlotSnapshot,
    /// Under which terms the generation that serves runs. Only where one plugin is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<EffectiveManifest>,
}

/// What a manifest wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DesiredState {
    /// Of the artifact, where it could be found.
    pub digest: Option<Digest>,
    /// Why the manifest, or what it names, cannot be read.
    pub problem: Option<String>,
    /// Whether what serves is what is wanted.
    pub runs: bool,
}

/// Why what is wanted does not run.
#[derive(Clone, Debug, Serialize)]
pub struct PluginFailure {
    /// Where it ended.
    pub stage: SwapStage,
    /// In words.
    pub reason: String,
    /// When.
    #[serde(rename = "at_unix_seconds", serialize_with = "crate::units::unix_seconds")]
    pub at: SystemTime,
}

/// A generation that is kept.
#[derive(Clone, Debug, Serialize)]
pub struct RetainedGeneration {
    /// Its number.
    pub generation: u64,
    /// Of its artifact.
    pub digest: Digest,
    /// When it began to serve.
    #[serde(rename = "since_unix_seconds", serialize_with = "crate::units::unix_seconds")]
    pub since: SystemTime,
    /// Where it was refused since: at which stage and why. A rollback to it needs `force`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A candidate that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedGeneration {
    /// Of its artifact.
    pub digest: Digest,
    /// As what.
    pub verdict: ChangeOutcome,
    /// Where.
    pub stage: SwapStage,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(rename = "at_unix_seconds", serialize_with = "crate::units::unix_seconds")]
    pub at: SystemTime,
}

/// A generation that serves.
#[derive(Clone, Debug, Serialize)]
pub struct ServingGeneration {
    /// Its number in the slot.
    pub generation: u64,
    /// Of the artifact.
    pub digest: Digest,
    /// Version of the contract it speaks.
    pub contract: Option<String>,
    /// Since when.
    #[serde(rename = "since_unix_seconds", serialize_with = "crate::units::unix_seconds")]
    pub since: SystemTime,
    /// How many instances there should be.
    pub instances: usize,
    /// Whether the pushes that they are lent are normalised.
    pub normalised: bool,
    /// What they used and said.
    #[serde(flatten)]
    pub stats: StatsSnapshot,
    /// Outgoing requests of all instances that are under way; `[limits] requests` says how many may be.
    pub requests_under_way: usize,
    /// Log lines cut, and dropped.
    pub log_losses: (u64, u64),
}
