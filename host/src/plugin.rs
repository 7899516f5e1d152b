//! Receivers: from a manifest and an artifact to instances that take batches.
//!
//! In: manifests, and batches leased from slots. Out: batches settled. Bounded by each receiver's limits; guests run on
//! a runtime of their own, so nothing in here can hold up a client. `compile → link → instantiate` are three lifetimes
//! and three types ([`Code`](code::Code), [`Artifact`](artifact::Artifact), [`Instance`](instance::Instance)), and the
//! cheap one is thrown away on any doubt.

pub mod artifact;
pub mod artifact_pipeline;
pub mod artifact_store;
pub mod batch_mirror;
pub mod change;
pub mod code_cache;
pub mod compiled_code;
pub mod compiler;
pub mod digest;
pub mod effective_manifest;
pub mod engine;
pub mod generation;
pub mod generation_stats;
pub mod instance;
pub mod limits;
pub mod manifest;
pub mod meter;
mod offering;
pub(crate) mod private_files;
pub mod registry;
pub mod rollout;
pub mod runtime;
pub mod status;
pub mod trial;
mod worker;

#[cfg(test)]
pub(crate) mod testing;

pub use manifest::Manifest;
pub use offering::NOT_OFFERED;
pub use registry::{Plugins, PluginsConfig};
pub use status::{PluginState, PluginStatus, ServingGeneration};
