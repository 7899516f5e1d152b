//! OpenTelemetry metrics v1 on the wire: messages as prost structs, validation without building structs, normalisation,
//! and merging pushes into one request with added labels.
//!
//! The host and the receivers share this crate. It does not depend on Kafka, does no I/O and starts no threads.

pub mod merge;
pub mod message;
pub mod normalise;
pub mod walk;
mod wire;

#[cfg(test)]
mod arbitrary;
