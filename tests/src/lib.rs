//! The harness of the system tests and of the demo: real clients, a real sink, and a host that tests start, stop and
//! kill.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness ends the test where it stands when something it needs is not there"
)]

pub mod command;
pub mod doc_page;
pub mod guests;
pub mod host;
pub mod java;
pub mod languages;
pub mod ledger;
pub mod librdkafka;
pub mod load;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod raw;
pub mod security;
pub mod single_batch;
pub mod sink;
pub mod swapping;
pub mod two_hosts;
pub mod vectors;
pub mod waits;

use std::time::Duration;

/// Polls until `ready` returns `Some`, at most for `patience`; otherwise panics with `what`.
pub async fn eventually<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {patience:?} for {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
