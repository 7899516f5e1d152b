//! A receiver tried without Wasm and without a host: what `cargo test` of a plugin runs on.
//!
//! ```
//! use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, log, testing};
//!
//! struct Tally(u64);
//!
//! impl Receiver for Tally {
//!     type Settings = NoSettings;
//!
//!     fn start(_: NoSettings) -> Result<Self, String> {
//!         Ok(Self(0))
//!     }
//!
//!     fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
//!         self.0 += u64::from(batch.len());
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
//! Everything kept here is kept for each thread by itself, so tests that run side by side do not mix.

mod host_batch;
pub mod http;
mod push;
pub mod state;

use std::cell::RefCell;

pub use host_batch::HostBatch;
pub use push::Push;

use crate::log::Level;
use crate::{GoneClient, Receiver, settings};

/// A batch of these pushes. [`lend`](HostBatch::lend) it to the receiver.
pub fn batch(pushes: impl IntoIterator<Item = Push>) -> HostBatch {
    HostBatch { pushes: pushes.into_iter().collect(), gone: Vec::new() }
}

/// A batch without pushes, that says only who is gone.
pub fn gone(clients: impl IntoIterator<Item = GoneClient>) -> HostBatch {
    HostBatch { pushes: Vec::new(), gone: clients.into_iter().collect() }
}

/// Starts a receiver as the host does, from the settings' JSON text.
pub fn start<R: Receiver>(settings: &str) -> Result<R, String> {
    R::start(settings::parse(settings)?)
}

/// A line that the receiver wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub line: String,
}

/// What the receiver reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// By [`report::misconfigured`](crate::report::misconfigured).
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

pub(crate) fn keep_line(line: LogLine) {
    LINES.with_borrow_mut(|lines| lines.push(line));
}

pub(crate) fn keep_report(report: Report) {
    REPORTS.with_borrow_mut(|reports| reports.push(report));
}

#[cfg(test)]
mod tests;
