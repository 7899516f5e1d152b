//! Why an artifact cannot be used, and where that was found.

use serde::{Deserialize, Serialize};

use crate::plugin::change::Stage;

/// What is wrong with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[error("{reason}")]
pub struct Flaw {
    /// Where it was found: `Fetch` (it is not kept here), `Contract` (it is no WebAssembly, or does not fit this host),
    /// `Compile` (it cannot be compiled, or not within limits).
    pub stage: Stage,
    /// One sentence, of which `it` is the artifact.
    pub reason: String,
}

impl Flaw {
    pub(in crate::plugin) fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into() }
    }
}
