//! Receivers: from a manifest and an artifact to instances that take batches.
//!
//! In: manifests, and batches leased from slots. Out: batches settled. Bounded by each receiver's limits; guests run on
//! a runtime of their own, so nothing in here can hold up a client. `compile → link → instantiate` are three lifetimes
//! and three types ([`Code`](code::Code), [`Artifact`](artifact::Artifact), [`Instance`](instance::Instance)), and the
//! cheap one is thrown away on any doubt.

pub mod artifact;
pub mod cache;
pub mod change;
pub mod code;
pub mod compiler;
pub mod depot;
pub mod digest;
pub mod engine;
pub(crate) mod files;
pub mod foundry;
pub mod generation;
pub mod instance;
pub mod limits;
pub mod manifest;
pub mod meter;
pub mod mirror;
mod offering;
pub mod registry;
pub mod rollout;
pub mod runtime;
pub mod status;
pub mod terms;
pub mod trial;
pub mod vitals;
mod worker;

#[cfg(test)]
pub(crate) mod testing;

pub use manifest::Manifest;
pub use offering::NOT_OFFERED;
pub use registry::{Config, Plugins};
pub use status::{Serving, State, Status};
