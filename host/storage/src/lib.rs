//! What the host keeps on disk: the store (records of the host, state of receivers) and the audit log.
//!
//! In: keys, values and entries. Out: the same after a restart, a full disk or a killed process. Never: what they mean.
// A library that prints panics where nobody reads; this one returns values, emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod audit;
pub mod store;
