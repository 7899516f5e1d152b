//! Tests of a receiver without Wasm and without a host: test doubles for `cargo test` of a plugin.
//!
//! ```
//! use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, log, testing};
//!
//! struct Tally(u64);
//!
//! impl Receiver for Tally {
//!     type Settings = NoSettings;
//!
//!     fn start(_: NoSettings) -> Result<Self, StartError> {
//!         Ok(Self(0))
//!     }
//!
//!     fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
//!         self.0 += batch.len() as u64;
//!         log::info!("{} pushes", self.0);
//!         Ok(())
//!     }
//! }
//!
//! let mut tally: Tally = testing::start("{}").unwrap();
//! let push = testing::TestPush::gauge("org.apache.kafka.producer.connection.creation.rate", 0.5).client_id("orders");
//! tally.export_metrics(&testing::batch([push]).lend()).unwrap();
//! assert_eq!(testing::log_lines()[0].line, "1 pushes");
//! ```
//!
//! [`run`] does all of this in one call, as the host does: start, one batch, stop.
//!
//! Everything is recorded separately for each thread, so tests that run concurrently do not affect each other.

mod host_batch;
pub mod http;
mod push;
pub mod state;

use std::cell::RefCell;

pub use host_batch::HostBatch;
pub use push::TestPush;

use crate::glue::ReceiverCell;
use crate::log::Level;
use crate::{ExportError, GoneClient, GoneReason, Receiver, StartError, clock, settings};

/// Creates a batch of these pushes. [`lend`](HostBatch::lend) it to the receiver.
pub fn batch(pushes: impl IntoIterator<Item = TestPush>) -> HostBatch {
    HostBatch { pushes: pushes.into_iter().collect(), gone: Vec::new() }
}

/// Creates a batch without pushes that carries only these gone clients.
pub fn gone(clients: impl IntoIterator<Item = GoneClient>) -> HostBatch {
    HostBatch { pushes: Vec::new(), gone: clients.into_iter().collect() }
}

/// Creates a notice of a client that is gone since the Unix epoch and has no client id.
pub fn gone_client(client_instance_id: &str, reason: GoneReason) -> GoneClient {
    let client_instance_id = client_instance_id.to_owned();
    GoneClient { client_instance_id, client_id: None, reason, at: clock::from_unix_nanos(0) }
}

/// Starts a receiver as the host does, from the JSON text of the settings.
pub fn start<R: Receiver>(settings: &str) -> Result<R, StartError> {
    R::start(settings::parse(settings)?)
}

/// Starts a receiver, lends it one batch of these pushes, stops it as the host does, and returns the outcome of the
/// batch. If the outcome is [`ExportError::misconfigured`], it is also recorded in [`reports`].
///
/// # Panics
///
/// It panics if the receiver does not start with these settings.
pub fn run<R: Receiver>(settings: &str, pushes: impl IntoIterator<Item = TestPush>) -> Result<(), ExportError> {
    let receiver = ReceiverCell::<R>::empty();
    receiver.start(settings).expect("the receiver does not start");
    let outcome = receiver.export_metrics(&batch(pushes).lend());
    receiver.stop();
    outcome
}

/// A line that the receiver logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The text.
    pub line: String,
}

/// A report of the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// From [`report::misconfigured`](crate::report::misconfigured), or from [`run`] for an outcome `misconfigured`.
    Misconfigured(String),
    /// From [`report::rejected_points`](crate::report::rejected_points).
    RejectedPoints(u64, String),
}

thread_local! {
    static LINES: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
    static REPORTS: RefCell<Vec<Report>> = const { RefCell::new(Vec::new()) };
}

/// Returns the lines that were logged in this thread since the last call.
pub fn log_lines() -> Vec<LogLine> {
    LINES.take()
}

/// Returns the reports that were made in this thread since the last call.
pub fn reports() -> Vec<Report> {
    REPORTS.take()
}

pub(crate) fn record_line(line: LogLine) {
    LINES.with_borrow_mut(|lines| lines.push(line));
}

pub(crate) fn record_report(report: Report) {
    REPORTS.with_borrow_mut(|reports| reports.push(report));
}

#[cfg(test)]
mod tests;
