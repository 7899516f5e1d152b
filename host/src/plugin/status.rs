//! What an operator sees of a plugin.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use super::digest::Digest;
use super::vitals::Reading;
use crate::dispatch::Snapshot;

/// In which part of its life a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Being loaded for the first time.
    Loading,
    /// A generation serves.
    Serving,
    /// No generation serves, and `failure` says why.
    Failed,
    /// Taken back for the end of the host.
    Stopped,
}

/// One plugin at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub file: PathBuf,
    /// Where it stands.
    pub state: State,
    /// Why what the manifest wants does not run.
    pub failure: Option<String>,
    /// What serves.
    pub serving: Option<Serving>,
    /// Its queue and ledger.
    pub queue: Snapshot,
}

/// A generation that serves.
#[derive(Clone, Debug, Serialize)]
pub struct Serving {
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
    /// What they used and said.
    #[serde(flatten)]
    pub vitals: Reading,
    /// Log lines cut, and dropped.
    pub log_losses: (u64, u64),
}
