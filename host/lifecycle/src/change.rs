//! Changes that may be requested for a plugin, and the steps that report their progress.
//!
//! Values only: the admin endpoint and the command-line client read and write them as JSON, the registry acts on them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use barnabas_base::digest::Digest;
use barnabas_base::units::{ByteSize, HumanDuration};
use barnabas_runtime::artifact::ArtifactStage;

pub use barnabas_storage::audit::ChangeOutcome;

/// Who requested a change. The audit log has its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The start of the host.
    Start,
    /// A manifest or an artifact file was edited.
    File,
    /// The host received SIGHUP.
    Signal,
    /// The host itself, after a candidate failed.
    Host,
    /// The program that embeds the host.
    Embedder,
    /// A process on this machine, through the admin socket.
    Socket {
        /// User id of the process.
        uid: u32,
        /// Process id, if the system reports it.
        pid: Option<i32>,
    },
    /// A client with the admin token, over TCP.
    Token {
        /// Its address.
        peer: String,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::File => f.write_str("file"),
            Self::Signal => f.write_str("signal"),
            Self::Host => f.write_str("host"),
            Self::Embedder => f.write_str("embedder"),
            Self::Socket { uid, pid: Some(pid) } => write!(f, "uid {uid} (pid {pid})"),
            Self::Socket { uid, pid: None } => write!(f, "uid {uid}"),
            Self::Token { peer } => write!(f, "token from {peer}"),
        }
    }
}

/// A requested change.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginChange {
    /// Loads a new plugin, whose name must be unused.
    Load(Arc<str>, ManifestPatch, RolloutOverride),
    /// Swaps a plugin to another generation.
    Swap(Arc<str>, ManifestPatch, RolloutOverride),
    /// Rolls back to a retained generation. Without a number this is the generation that served before the desired one;
    /// if the desired version was refused, this is the generation that serves. With `true`, a generation that was
    /// refused is allowed as well.
    Rollback(Arc<str>, Option<u64>, bool),
    /// Changes the manifest so that the serving generation is the desired one.
    Keep(Arc<str>),
    /// Tries the manifest's version again, although it failed or was refused, with the same rollout as before except
    /// for what is overridden.
    Retry(Arc<str>, RolloutOverride),
    /// Pauses a plugin: it receives no batches, and pushes wait in its queue.
    Pause(Arc<str>),
    /// Resumes a paused plugin.
    Resume(Arc<str>),
    /// Removes a plugin with its queue; with `true` its stored state as well.
    Remove(Arc<str>, bool),
    /// Aborts the swap in progress; the previous generation stays.
    Abort(Arc<str>),
    /// Makes every plugin match the directory of manifests.
    Reconcile,
}

/// Changes to a plugin's manifest. Whatever is not set here stays as the manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ManifestPatch {
    /// An artifact that was uploaded before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// A complete manifest, as TOML. `digest` above replaces its `artifact` and `digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Settings to add or replace; `null` removes one.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// Limits to set; `null` restores the default.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
    /// Destinations to grant in addition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_http: Vec<String>,
    /// Networks to grant in addition, in which granted destinations may lie.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_addresses: Vec<String>,
    /// Whether a granted destination may be a Kafka or OTLP listener of this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_own_listeners: Option<bool>,
    /// Bytes of state to grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_state: Option<ByteSize>,
    /// Number of keys that the state may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_state_keys: Option<u64>,
}

/// Overrides of the rollout policy for one change. Whatever is not set is as in the manifest's `[rollout]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RolloutOverride {
    /// Whether the candidate first exports a few pushes as a self-test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_test: Option<bool>,
    /// How long it receives copies of real batches; 0 s skips the shadow stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<HumanDuration>,
    /// The share of the lanes that it serves first, in percent; 100 skips the canary stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<f64>,
}

impl RolloutOverride {
    /// The values of `self`, and of `other` where `self` has none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            self_test: self.self_test.or(other.self_test),
            shadow: self.shadow.or(other.shadow),
            canary: self.canary.or(other.canary),
        }
    }
}

/// The stages of a swap, in order. Until `Publish` the previous generation serves, unaffected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwapStage {
    /// The manifest is read, and the artifact is found and copied to the store.
    Fetch,
    /// The artifact has the digest that the manifest names.
    Digest,
    /// The artifact is WebAssembly, implements the contract and imports nothing unknown.
    Contract,
    /// Imports without a grant are reported.
    Grants,
    /// The artifact is compiled, or its code is found in the cache.
    Compile,
    /// The first instance starts with its settings.
    Start,
    /// The candidate exports a few recent pushes, with its requests captured.
    SelfTest,
    /// The candidate exports copies of real batches, with its requests captured.
    Shadow,
    /// The candidate serves a share of the lanes.
    Canary,
    /// The candidate becomes the serving generation.
    Publish,
    /// The previous generation finishes the batches it has leased.
    Drain,
    /// The previous generation stops and is freed.
    Retire,
}

impl SwapStage {
    /// The stable name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Digest => "digest",
            Self::Contract => "contract",
            Self::Grants => "grants",
            Self::Compile => "compile",
            Self::Start => "start",
            Self::SelfTest => "self-test",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Publish => "publish",
            Self::Drain => "drain",
            Self::Retire => "retire",
        }
    }
}

impl From<ArtifactStage> for SwapStage {
    fn from(stage: ArtifactStage) -> Self {
        match stage {
            ArtifactStage::Fetch => Self::Fetch,
            ArtifactStage::Contract => Self::Contract,
            ArtifactStage::Compile => Self::Compile,
        }
    }
}

impl fmt::Display for SwapStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of the response to a change. The last is [`ChangeStep::Ended`].
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum ChangeStep {
    /// A stage was passed.
    Passed {
        /// The name of the plugin.
        plugin: String,
        /// The number of the candidate.
        generation: u64,
        /// The stage.
        stage: SwapStage,
        /// How long it took.
        #[serde(rename = "took_seconds", with = "barnabas_base::units::seconds_number")]
        took: Duration,
        /// A remark about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Progress within a long stage.
    News {
        /// The name of the plugin.
        plugin: String,
        /// The stage.
        stage: SwapStage,
        /// A message for people.
        text: String,
    },
    /// The change is complete.
    Ended(PluginChangeResult),
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct PluginChangeResult {
    /// The name of the plugin; empty for a change of all plugins.
    pub plugin: String,
    /// The outcome in one word.
    pub verdict: ChangeOutcome,
    /// The generation that serves now.
    pub serving: Option<u64>,
    /// The stage in which it failed, unless all stages were passed.
    pub stage: Option<SwapStage>,
    /// One or two sentences: the result; after a failure the cause and the remedy.
    pub message: String,
    /// How grants and grantable imports differ from those of the previous generation: lines `+ …` and `- …`.
    pub grants: Vec<String>,
}

/// Why a change was refused before it began.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChangeRefused {
    /// The error code.
    pub code: ChangeRefusedCode,
    /// One sentence: the problem, its place and the remedy.
    pub message: String,
}

/// The error code of a [`ChangeRefused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeRefusedCode {
    /// There is no plugin of that name.
    UnknownPlugin,
    /// There is already a plugin of that name.
    PluginExists,
    /// No such generation is retained.
    UnknownGeneration,
    /// That generation was refused, and `force` is not set.
    RefusedGeneration,
    /// No generation serves that the manifest could name.
    NothingServes,
    /// No swap is in progress that could be aborted.
    NothingUnderWay,
    /// The request is not valid.
    Invalid,
    /// A file could not be written.
    Disk,
    /// The host is shutting down.
    Ending,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_survive_a_json_round_trip() {
        let steps = [
            ChangeStep::Passed {
                plugin: "sink".into(),
                generation: 3,
                stage: SwapStage::SelfTest,
                took: Duration::from_millis(1_500),
                note: None,
            },
            ChangeStep::Ended(PluginChangeResult {
                plugin: "sink".into(),
                verdict: ChangeOutcome::RolledBack,
                serving: Some(2),
                stage: Some(SwapStage::Canary),
                message: "it failed".into(),
                grants: vec!["+ http localhost:4318".into()],
            }),
        ];
        for step in steps {
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<ChangeStep>(&text).unwrap(), step, "{text}");
        }
    }
}
