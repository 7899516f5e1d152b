//! Why an artifact cannot be used, and where that was found.

use serde::{Deserialize, Serialize};

/// What is wrong with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[error("{reason}")]
pub struct ArtifactError {
    /// Where it was found.
    pub stage: ArtifactStage,
    /// One sentence, of which `it` is the artifact.
    pub reason: String,
}

impl ArtifactError {
    pub(in crate::plugin) fn new(stage: ArtifactStage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into() }
    }
}

/// The step from bytes to linked code in which a [`Flaw`] was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactStage {
    /// The artifact is not in the host's store.
    Fetch,
    /// It is not WebAssembly, or does not fit this host.
    Contract,
    /// It cannot be compiled, or not within its limits.
    Compile,
}
