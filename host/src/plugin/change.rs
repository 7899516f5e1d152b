//! What may be asked of a plugin by somebody, and the steps in which it is answered.
//!
//! Values only: the admin endpoint and the command read and write them as JSON, the registry acts on them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::artifact::ArtifactStage;
use super::digest::Digest;
use crate::units::{ByteSize, HumanDuration};

pub use crate::audit::ChangeOutcome;

/// Who asks. Its text form stands in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody: the host starts.
    Start,
    /// Somebody who changed a file.
    File,
    /// Somebody who sent SIGHUP.
    Signal,
    /// Nobody: the host itself, after a candidate failed.
    Host,
    /// The program that embeds the host.
    Embedder,
    /// A process on this machine, by the admin socket.
    Socket {
        /// Of the process.
        uid: u32,
        /// Of the process, where the system tells.
        pid: Option<i32>,
    },
    /// Somebody who has the token, by TCP.
    Token {
        /// From where.
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

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginChange {
    /// A plugin of a name that is not taken.
    Load(Arc<str>, ManifestPatch, RolloutOverride),
    /// Another generation of a plugin.
    Swap(Arc<str>, ManifestPatch, RolloutOverride),
    /// A kept generation again. Where none is named it is the one that served before what is wanted now: where a
    /// version that was refused is wanted, that is what serves. With `true` also one that was refused.
    Rollback(Arc<str>, Option<u64>, bool),
    /// What serves is what is wanted from now on.
    Keep(Arc<str>),
    /// What the manifest wants once more, although it failed or was refused; under the rollout that it had then, but for
    /// what the plan says.
    Retry(Arc<str>, RolloutOverride),
    /// No more batches; pushes wait in the queue.
    Pause(Arc<str>),
    /// Batches again.
    Resume(Arc<str>),
    /// Gone, with its queue; with `true` its kept state too.
    Remove(Arc<str>, bool),
    /// The swap that is under way ends, and the old generation stays.
    Abort(Arc<str>),
    /// What the directory of manifests wants, of every plugin.
    Reconcile,
}

/// What a plugin is to be. What is not said stays as the manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ManifestPatch {
    /// An artifact that was handed over before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// A whole manifest, as TOML. Its `artifact` and `digest` give way to `digest` above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Settings to be added or replaced; `null` removes one.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// Limits to be set; `null` is the default again.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
    /// Destinations to be granted beside those that are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_http: Vec<String>,
    /// Networks that granted destinations may lie in, to be granted beside those that are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_addresses: Vec<String>,
    /// Whether a granted destination may be a Kafka or OTLP listener of this very host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_own_listeners: Option<bool>,
    /// How many bytes of state are granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_state: Option<ByteSize>,
    /// How many keys that state may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_state_keys: Option<u64>,
}

/// How carefully. What is not said is as the manifest's `[rollout]` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RolloutOverride {
    /// Whether the candidate is tried on a few pushes before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_test: Option<bool>,
    /// How long it is given copies of real batches; 0 s is not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<HumanDuration>,
    /// The share of the lanes it is given first, in percent; 100 is all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<f64>,
}

impl RolloutOverride {
    /// What this says, and for the rest what the other says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            self_test: self.self_test.or(other.self_test),
            shadow: self.shadow.or(other.shadow),
            canary: self.canary.or(other.canary),
        }
    }
}

/// The stages of a swap, in their order. Before `Publish` the old generation serves, untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwapStage {
    /// The manifest is read, the artifact found and copied.
    Fetch,
    /// It is the one that is wanted.
    Digest,
    /// It is WebAssembly, speaks the contract and imports nothing unknown.
    Contract,
    /// What it imports without a grant is said.
    Grants,
    /// It is compiled, or found compiled.
    Compile,
    /// It starts with its settings.
    Start,
    /// It takes a few recent pushes, nothing leaving the host.
    SelfTest,
    /// It takes copies of real batches, nothing leaving the host.
    Shadow,
    /// It has a share of the lanes.
    Canary,
    /// It has all of them.
    Publish,
    /// The old generation finishes what it holds.
    Drain,
    /// The old generation stops and is freed.
    Retire,
}

impl SwapStage {
    /// Stable name.
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

/// One line of the answer. The last is [`Step::Ended`].
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum ChangeStep {
    /// A stage is passed.
    Passed {
        /// Of which plugin.
        plugin: String,
        /// Of which generation.
        generation: u64,
        /// Which.
        stage: SwapStage,
        /// How long it took.
        #[serde(rename = "took_seconds", with = "crate::units::seconds_number")]
        took: Duration,
        /// What there is to say about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// How it stands in the middle of a long stage.
    News {
        /// Of which plugin.
        plugin: String,
        /// Which.
        stage: SwapStage,
        /// In words.
        text: String,
    },
    /// It is over.
    Ended(PluginChangeResult),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct PluginChangeResult {
    /// Which plugin; empty for all of them.
    pub plugin: String,
    /// In one word.
    pub verdict: ChangeOutcome,
    /// The generation that serves now.
    pub serving: Option<u64>,
    /// Where it ended, unless all stages were passed.
    pub stage: Option<SwapStage>,
    /// One or two sentences: what came of it; after a failure the cause and the remedy.
    pub message: String,
    /// What the candidate is granted and asks for, other than the generation before it: `+ …`, `- …`.
    pub grants: Vec<String>,
}

/// Why nothing was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChangeRefused {
    /// In one word, for machines.
    pub code: ChangeRefusedCode,
    /// One sentence: what, where, and the remedy.
    pub message: String,
}

/// See [`Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeRefusedCode {
    /// No plugin of that name.
    UnknownPlugin,
    /// There is one of that name.
    PluginExists,
    /// No such generation is kept.
    UnknownGeneration,
    /// That generation was refused, and nobody said `force`.
    RefusedGeneration,
    /// Nothing serves that could be kept.
    NothingServes,
    /// Nothing is under way that could be aborted.
    NothingUnderWay,
    /// What was asked cannot be meant.
    Invalid,
    /// The files could not be written.
    Disk,
    /// The host is ending.
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
