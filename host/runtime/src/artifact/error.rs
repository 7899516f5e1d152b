//! Why an artifact cannot be used, and in which step that was found.

use serde::{Deserialize, Serialize};

/// Why an artifact cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[error("{reason}")]
pub struct ArtifactError {
    /// The step in which the error was found.
    pub stage: ArtifactStage,
    /// One sentence, in which `it` is the artifact.
    pub reason: String,
}

impl ArtifactError {
    pub(crate) fn new(stage: ArtifactStage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into() }
    }
}

/// The step from bytes to linked code in which a [`ArtifactError`] was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactStage {
    /// The artifact is not in the host's store.
    Fetch,
    /// It is not WebAssembly, or does not implement a contract that this host supports.
    Contract,
    /// It cannot be compiled, or not within the limits of the compiler process.
    Compile,
}
