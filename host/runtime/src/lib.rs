//! The WebAssembly runtime: from the bytes of an artifact to an instance that takes a batch, and what its guest may ask
//! of the host.
//!
//! In: artifacts, grants, limits, batches. Out: outcomes, requests to granted destinations, lines of log. Each instance
//! has limits of CPU time, wall time, memory and handles. This is the only crate that depends on wasmtime.
// A library that prints panics where nobody reads; this one returns values, emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod artifact;
pub mod artifact_pipeline;
pub mod artifact_store;
pub mod capability;
pub mod code_cache;
pub mod compiled_code;
pub mod compiler;
pub mod contract;
pub mod engine;
pub mod instance;
pub mod limits;
pub mod meter;
pub mod runtime;
pub mod trial;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
