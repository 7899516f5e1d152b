//! Receivers: from a manifest and an artifact to instances that export batches.
//!
//! In: manifests, and batches leased from slots. Out: settled batches. Bounded by each receiver's limits; guests run on
//! a separate runtime, so nothing in here can delay a client. `compile → link → instantiate` are three lifetimes and
//! three types ([`CompiledCode`](compiled_code::CompiledCode), [`Artifact`](artifact::Artifact),
//! [`ReceiverInstance`](instance::ReceiverInstance)), and the cheap one, the instance, is discarded after any failure.

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
