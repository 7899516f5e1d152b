//! Time as payloads have it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970, as OTLP counts them; 0 for a clock that stands before that.
pub(super) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
