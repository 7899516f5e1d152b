//! System tests: the complete host with real peers. One binary, so that the host is linked only once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests say what they expect with a panic"
)]

mod authentication;
mod bad_input;
mod clients;
mod closed_output;
mod commands;
mod compiling;
mod doubles;
mod egress;
mod ephemeral;
mod firewall;
mod fleet_proof;
mod forwarding;
mod guests_js;
mod guests_py;
mod hot_swap;
mod isolation;
mod java;
mod kill_proof;
mod languages;
mod loading;
mod normalising;
mod offering;
mod operating;
mod otlp_listener;
mod prometheus;
mod python;
mod real_clients;
mod recipe;
mod recorded;
mod several_hosts;
mod shutdown;
mod state;
mod subscriptions;
mod swap_proof;
