//! Barnabas: a host for sandboxed WebAssembly receivers of Kafka client telemetry (KIP-714).
//!
//! Data walks one way through the rooms, declared here in the order in which it meets them:
//!
//! ```text
//! bytes ─▶ listener ─Push─▶ admission ─Admitted─▶ decode ─Payload─▶ dispatch ─Batch─▶ plugin ─▶ guest ─▶ capability
//! ```
//!
//! ARCHITECTURE.md has the map and what each room never does.

pub mod push;

pub mod listener;

pub mod admission;

pub mod decode;

pub mod dispatch;

pub mod contract;
pub mod plugin;

pub mod capability;

pub mod intake;

pub mod admin;
pub mod app;
pub mod config;
pub mod event;
pub mod units;
