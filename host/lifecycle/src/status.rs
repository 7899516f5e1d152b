//! The status of a plugin, as operators see it.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use super::change::{ChangeOutcome, SwapStage};
use super::effective_manifest::EffectiveManifest;
use super::generation_stats::StatsSnapshot;
use super::rollout::RolloutStatus;
use barnabas_base::digest::Digest;
use barnabas_pipeline::dispatch::SlotSnapshot;
use barnabas_runtime::capability::state::StateUsage;

/// The state of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It is being loaded for the first time.
    Loading,
    /// A generation serves.
    Serving,
    /// A generation is loaded, but receives no batches.
    Paused,
    /// No generation serves, and `failure` says why.
    Failed,
    /// It is being removed: it accepts no more pushes, and delivers those that are queued.
    Removing,
    /// It was stopped because the host shuts down.
    Stopped,
}

/// The status of one plugin.
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Path of its manifest.
    pub file: PathBuf,
    /// Its state.
    pub state: PluginState,
    /// Whether the manifest pauses it.
    pub paused: bool,
    /// The state that the manifest asks for.
    pub desired: DesiredState,
    /// Why the desired state is not reached, as a sentence.
    pub failure: Option<String>,
    /// The same, in its parts.
    pub failed: Option<PluginFailure>,
    /// The serving generation.
    pub serving: Option<ServingGeneration>,
    /// Retained generations, to which it can be rolled back, newest first.
    pub kept: Vec<RetainedGeneration>,
    /// The candidate that was refused last and is not tried again automatically; absent if another one was published
    /// since.
    pub refused: Option<RefusedGeneration>,
    /// The swap in progress.
    pub rollout: Option<RolloutStatus>,
    /// How much state it stores, if state is granted.
    pub state_usage: Option<StateUsage>,
    /// Its queue and ledger.
    pub queue: SlotSnapshot,
    /// The effective manifest of the serving generation; only in the description of a single plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<EffectiveManifest>,
}

/// The state that a manifest asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DesiredState {
    /// The digest of the artifact, if it was found.
    pub digest: Option<Digest>,
    /// Why the manifest or its artifact cannot be read.
    pub problem: Option<String>,
    /// Whether the desired generation serves.
    pub runs: bool,
}

/// Why the desired generation does not serve.
#[derive(Clone, Debug, Serialize)]
pub struct PluginFailure {
    /// The stage that failed.
    pub stage: SwapStage,
    /// The reason.
    pub reason: String,
    /// The time.
    #[serde(rename = "at_unix_seconds", serialize_with = "barnabas_base::units::unix_seconds")]
    pub at: SystemTime,
}

/// A retained generation.
#[derive(Clone, Debug, Serialize)]
pub struct RetainedGeneration {
    /// Its number.
    pub generation: u64,
    /// The digest of its artifact.
    pub digest: Digest,
    /// When it began to serve.
    #[serde(rename = "since_unix_seconds", serialize_with = "barnabas_base::units::unix_seconds")]
    pub since: SystemTime,
    /// If it was refused since: at which stage and why. A rollback to it needs `force`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A candidate that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedGeneration {
    /// The digest of its artifact.
    pub digest: Digest,
    /// The outcome of its swap.
    pub verdict: ChangeOutcome,
    /// The stage in which it was refused.
    pub stage: SwapStage,
    /// The reason.
    pub reason: String,
    /// The time.
    #[serde(rename = "at_unix_seconds", serialize_with = "barnabas_base::units::unix_seconds")]
    pub at: SystemTime,
}

/// The serving generation.
#[derive(Clone, Debug, Serialize)]
pub struct ServingGeneration {
    /// Its number in the slot.
    pub generation: u64,
    /// The digest of its artifact.
    pub digest: Digest,
    /// Version of the contract that it implements.
    pub contract: Option<String>,
    /// When it began to serve.
    #[serde(rename = "since_unix_seconds", serialize_with = "barnabas_base::units::unix_seconds")]
    pub since: SystemTime,
    /// Number of instances it should have.
    pub instances: usize,
    /// Whether pushes are normalised before the receiver sees them.
    pub normalised: bool,
    /// The resource usage and messages of its instances.
    #[serde(flatten)]
    pub stats: StatsSnapshot,
    /// Number of pending outgoing requests of all instances; `[limits] requests` is the maximum.
    pub requests_under_way: usize,
    /// Numbers of log lines that were truncated and that were dropped.
    pub log_losses: (u64, u64),
}
