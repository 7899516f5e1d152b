//! The ground floor: small values and helpers that several crates share, and that know none of them.
//!
//! In: bytes and text. Out: identifiers, digests, sizes, durations, addresses, private files, and the sentences of
//! errors. Never: a socket, a clock, Wasm, or a word of Kafka's protocol.
// A library that prints panics where nobody reads; this one returns values, emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod codec;
pub mod digest;
pub mod instance_id;
pub mod messages;
pub mod private_files;
pub mod text;
pub mod units;

pub use codec::Codec;
pub use digest::Digest;
pub use instance_id::InstanceId;
