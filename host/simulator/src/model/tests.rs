//! Tests of the models: their behaviour, their conformance to recordings of real clients, and many of them against the
//! real host.

mod behaviour;
mod firewall;
mod replay;
mod support;
