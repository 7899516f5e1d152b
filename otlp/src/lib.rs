//! OpenTelemetry metrics v1 on the wire: messages as prost structs, a check that builds none of them, and the
//! concatenation of pushes into one request with labels added.
//!
//! Host and guests share it. It knows nothing of Kafka, does no I/O and starts no thread.

pub mod merge;
pub mod message;
pub mod normalise;
pub mod walk;
mod wire;

#[cfg(test)]
mod arbitrary;
