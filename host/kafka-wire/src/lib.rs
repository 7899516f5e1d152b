//! Kafka's protocol as bytes: primitive types, the keys and versions of requests, error codes, and the requests that
//! Barnabas answers, with their responses.
//!
//! In: frames without their lengths. Out: requests that borrow from them, and responses as bytes. Bounded by the frame:
//! nothing is allocated because a peer declared a length. Never: a socket, a decision, or the meaning of a request.
// A library that prints panics where nobody reads; this one returns values, emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod alter_configs;
pub mod api;
pub mod api_versions;
pub mod describe_cluster;
pub mod describe_configs;
pub mod find_coordinator;
pub mod frame;
pub mod lazy_array;
pub mod list_resources;
pub mod metadata;
pub mod request;
pub mod sasl;
pub mod telemetry;
pub mod wire;
