//! A receiver tried without Wasm and without a host: what `cargo test` of a plugin runs on.
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
//! let push = testing::Push::gauge("org.apache.kafka.producer.connection.creation.rate", 0.5).client_id("orders");
//! tally.export_metrics(&testing::batch([push]).lend()).unwrap();
//! assert_eq!(testing::log_lines()[0].line, "1 pushes");
//! ```
//!
//! [`run`] does all of it in one call, as the host does: start, one batch, stop.
//!
//! Everything kept here is kept for each thread by itself, so tests that run side by side do not mix.

mod host_batch;
pub mod http;
mod push;
pub mod state;

use std::cell::RefCell;

pub use host_batch::HostBatch;
pub use push::Push;

use crate::glue::Slot;
use crate::log::Level;
use crate::{ExportError, GoneClient, GoneReason, Receiver, StartError, clock, settings};

/// A batch of these pushes. [`lend`](HostBatch::lend) it to the receiver.
pub fn batch(pushes: impl IntoIterator<Item = Push>) -> HostBatch {
    HostBatch { pushes: pushes.into_iter().collect(), gone: Vec::new() }
}

/// A batch without pushes, that says only who is gone.
pub fn gone(clients: impl IntoIterator<Item = GoneClient>) -> HostBatch {
    HostBatch { pushes: Vec::new(), gone: clients.into_iter().collect() }
}

/// A client that is gone since the Unix epoch, without a client id.
pub fn gone_client(client_instance_id: &str, reason: GoneReason) -> GoneClient {
    let client_instance_id = client_instance_id.to_owned();
    GoneClient { client_instance_id, client_id: None, reason, at: clock::from_unix_nanos(0) }
}

/// Starts a receiver as the host does, from the settings' JSON text.
pub fn start<R: Receiver>(settings: &str) -> Result<R, StartError> {
    R::start(settings::parse(settings)?)
}

/// What becomes of one batch of these pushes: starts a receiver, lends the batch to it and stops it, as the host does.
/// [`ExportError::misconfigured`] is among the [`reports`] then.
///
/// # Panics
///
/// Where the receiver does not start with these settings.
pub fn run<R: Receiver>(settings: &str, pushes: impl IntoIterator<Item = Push>) -> Result<(), ExportError> {
    let slot = Slot::<R>::empty();
    slot.start(settings).expect("the receiver does not start");
    let outcome = slot.export_metrics(&batch(pushes).lend());
    slot.stop();
    outcome
}

/// A line that the receiver wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub line: String,
}

/// What the receiver reported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// By [`report::misconfigured`](crate::report::misconfigured), or by [`run`] for an outcome that says so.
    Misconfigured(String),
    /// By [`report::rejected_points`](crate::report::rejected_points).
    RejectedPoints(u64, String),
}

thread_local! {
    static LINES: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
    static REPORTS: RefCell<Vec<Report>> = const { RefCell::new(Vec::new()) };
}

/// The lines written in this thread since the last call.
pub fn log_lines() -> Vec<LogLine> {
    LINES.take()
}

/// The reports made in this thread since the last call.
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
