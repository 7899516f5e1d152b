//! The lifecycle of plugins: manifests, generations, workers, swaps and rollouts.
//!
//! In: manifests, changes that operators ask for, and batches leased from slots. Out: batches settled, and the status of
//! each plugin. One change of a plugin at a time. Never: a listener's socket.
// A library that prints panics where nobody reads; this one returns values, emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod batch_mirror;
pub mod change;
pub mod effective_manifest;
pub mod generation;
pub mod generation_stats;
pub mod manifest;
mod offering;
pub mod registry;
pub mod rollout;
pub mod status;
mod worker;

pub use manifest::Manifest;
pub use offering::NOT_OFFERED;
pub use registry::{Plugins, PluginsConfig};
pub use status::{PluginState, PluginStatus, ServingGeneration};
