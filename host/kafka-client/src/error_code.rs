//! The error code of a broker's response.

use std::fmt;

use barnabas_kafka_wire::api;

/// A code from Kafka's list, never NONE. Text form: `UNKNOWN_SUBSCRIPTION_ID (117)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// The code of a response: an error unless it is 0.
    pub(crate) fn check(code: i16) -> Result<(), Self> {
        if code == api::NONE { Ok(()) } else { Err(Self(code)) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match api::error_name(self.0) {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl std::error::Error for ErrorCode {}
