//! Natively, the host's side of the contract: the same names and shapes as the generated bindings, so that everything
//! above compiles and behaves alike on both sides. What goes in comes from [`testing`](crate::testing); what comes out
//! is kept there for a test to look at, for each thread by itself.

/// `batches` of the contract.
pub(crate) mod batches {
    pub(crate) use crate::testing::HostBatch as Batch;

    /// How the sums and histograms of a push relate to time.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Temporality {
        /// No sum or histogram in it.
        None,
        /// Running totals since a fixed start.
        Cumulative,
        /// Changes since the push before.
        Delta,
        /// Both kinds in one push.
        Mixed,
    }

    /// A context label, to be put among the resource attributes of every push.
    #[derive(Clone, Debug)]
    pub struct Label {
        /// The attribute's key.
        pub attribute: String,
        /// The fact that is its value.
        pub fact: String,
        /// Keep the attribute where the client sent it.
        pub when_absent: bool,
    }

    /// Why a client is gone.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum GoneReason {
        /// It said so.
        Terminated,
        /// Its last connection closed.
        Disconnected,
        /// It was not heard of for long.
        Expired,
    }

    /// A client that is gone: its series are stale.
    #[derive(Clone, Debug)]
    pub struct GoneClient {
        /// As [`Push::client_instance_id`](crate::Push::client_instance_id).
        pub client_instance_id: String,
        /// The client id, where one was known.
        pub client_id: Option<String>,
        /// Why.
        pub reason: GoneReason,
        /// When the host knew, in nanoseconds since the Unix epoch.
        pub at_unix_nanos: u64,
    }
}

/// `log` of the contract.
pub(crate) mod log {
    use crate::testing::{self, LogLine};

    /// How much a line matters.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Level {
        /// Something failed that somebody has to look at.
        Error,
        /// Something is wrong and the receiver goes on.
        Warn,
        /// What an operator wants to know.
        Info,
        /// What the author wants to know.
        Debug,
        /// Every step.
        Trace,
    }

    /// A test keeps every line.
    pub(crate) fn enabled(_: Level) -> bool {
        true
    }

    pub(crate) fn write(level: Level, line: &str) {
        testing::keep_line(LogLine { level, line: line.to_owned() });
    }
}

/// `report` of the contract.
pub(crate) mod report {
    use crate::testing::{self, Report};

    pub(crate) fn misconfigured(reason: &str) {
        testing::keep_report(Report::Misconfigured(reason.to_owned()));
    }

    pub(crate) fn rejected_points(points: u64, reason: &str) {
        testing::keep_report(Report::RejectedPoints(points, reason.to_owned()));
    }
}

/// `state` of the contract.
pub(crate) mod state {
    use crate::testing::state as kept;

    #[derive(Clone, Debug)]
    pub(crate) struct Entry {
        pub(crate) value: Vec<u8>,
        pub(crate) version: u64,
    }

    #[derive(Clone, Debug)]
    pub(crate) enum StateError {
        Conflict(Option<Entry>),
        Full(String),
        InvalidKey(String),
        Unavailable(String),
    }

    pub(crate) fn get(key: &str) -> Result<Option<Entry>, StateError> {
        kept::get(key)
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<u64, StateError> {
        kept::change(key, Some(value), |_| true)
    }

    pub(crate) fn compare_and_set(key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, StateError> {
        kept::change(key, Some(value), |there| there == expected)
    }

    pub(crate) fn delete(key: &str, expected: Option<u64>) -> Result<(), StateError> {
        kept::change(key, None, |there| expected.is_none() || there == expected).map(|_| ())
    }

    pub(crate) fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StateError> {
        Ok(kept::keys(prefix, after, limit))
    }
}
