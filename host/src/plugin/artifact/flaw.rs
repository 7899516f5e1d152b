//! Why an artifact cannot be used, and where that was found.

use serde::{Deserialize, Serialize};

use crate::plugin::change::Stage;

/// What is wrong with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[error("{reason}")]
pub struct Flaw {
    /// Where it was found: `Fetch` (it is not kept here), `Compile` (it is no WebAssembly, or cannot be compiled within
    /// limits), `Contract` (it does not fit this host), `Grants` (it imports what is not granted).
    pub stage: Stage,
    /// One sentence, of which `it` is the artifact.
    pub reason: String,
}

impl Flaw {
    pub(in crate::plugin) fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into() }
    }
}
