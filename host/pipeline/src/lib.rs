//! The path of a push from a listener to the queues of the receivers, in the order in which a push meets it:
//!
//! ```text
//! listener ─Push─▶ admission ─Admitted─▶ decode ─Payload─▶ dispatch ─Batch─▶ a worker of a plugin
//! ```
//!
//! In: pushes as a listener received them. Out: batches that workers lease, and events. Every queue is bounded in bytes.
//! Never: a socket, a disk or WebAssembly; Cargo keeps them out.
// A library that prints panics where nobody reads; this one returns values, emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod admission;
pub mod catalogue;
pub mod clients;
pub mod decode;
pub mod dispatch;
pub mod event;
pub mod intake;
pub mod push;
