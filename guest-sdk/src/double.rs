//! The native test double of the generated bindings. It has the same names and types, so that the rest of the crate
//! compiles and behaves the same natively and in a component. A test provides the input through
//! [`testing`](crate::testing), which also records the output, separately for each thread.

/// The interface `batches` of the contract.
pub(crate) mod batches {
    pub(crate) use crate::testing::HostBatch as Batch;

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Temporality {
        None,
        Cumulative,
        Delta,
        Mixed,
    }

    #[derive(Clone, Debug)]
    pub(crate) struct Label {
        pub(crate) attribute: String,
        pub(crate) fact: String,
        pub(crate) when_absent: bool,
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum GoneReason {
        Terminated,
        Disconnected,
        Expired,
    }

    #[derive(Clone, Debug)]
    pub(crate) struct GoneClient {
        pub(crate) client_instance_id: String,
        pub(crate) client_id: Option<String>,
        pub(crate) reason: GoneReason,
        pub(crate) at_unix_nanos: u64,
    }
}

/// The interface `log` of the contract.
pub(crate) mod log {
    use crate::testing::{self, LogLine};

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Level {
        Error,
        Warn,
        Info,
        Debug,
        Trace,
    }

    impl From<Level> for crate::log::Level {
        fn from(level: Level) -> Self {
            match level {
                Level::Error => Self::Error,
                Level::Warn => Self::Warn,
                Level::Info => Self::Info,
                Level::Debug => Self::Debug,
                Level::Trace => Self::Trace,
            }
        }
    }

    /// A test records lines of every level.
    pub(crate) fn enabled(_: Level) -> bool {
        true
    }

    pub(crate) fn write(level: Level, line: &str) {
        testing::record_line(LogLine { level: level.into(), line: line.to_owned() });
    }
}

/// The interface `report` of the contract.
pub(crate) mod report {
    use crate::testing::{self, Report};

    pub(crate) fn misconfigured(reason: &str) {
        testing::record_report(Report::Misconfigured(reason.to_owned()));
    }

    pub(crate) fn rejected_points(points: u64, reason: &str) {
        testing::record_report(Report::RejectedPoints(points, reason.to_owned()));
    }
}

/// The interface `state` of the contract.
pub(crate) mod state {
    use crate::testing::state as double;

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
        double::get(key)
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<u64, StateError> {
        double::change(key, Some(value), |_| true)
    }

    pub(crate) fn compare_and_set(key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, StateError> {
        double::change(key, Some(value), |there| there == expected)
    }

    pub(crate) fn delete(key: &str, expected: Option<u64>) -> Result<(), StateError> {
        double::change(key, None, |there| expected.is_none() || there == expected).map(|_| ())
    }

    pub(crate) fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StateError> {
        double::keys(prefix, after, limit)
    }
}
