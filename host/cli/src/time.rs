//! Formats points in time.

use std::time::{Duration, SystemTime};

use barnabas_storage::audit::rfc3339;

use super::format::format_seconds;

/// Formats seconds since the Unix epoch as RFC 3339. Values outside of its range stay numbers.
pub(crate) fn format_time(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).ok();
    let at = span.and_then(|span| SystemTime::UNIX_EPOCH.checked_add(span));
    at.map_or_else(|| seconds.to_string(), rfc3339)
}

/// Also says how long ago that is by this machine's clock: `2026-11-22T07:45:00Z, 12.0 s ago`. `now` is in seconds since
/// the Unix epoch.
pub(crate) fn format_time_ago(seconds: f64, now: f64) -> String {
    format!("{}, {} ago", format_time(seconds), format_seconds((now - seconds).max(0.0)))
}

/// Now, in seconds since the Unix epoch.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_rfc3339() {
        assert_eq!(format_time(1_795_333_500.5), "2026-11-22T07:45:00Z");
        assert_eq!(format_time(f64::MAX), f64::MAX.to_string());
        assert_eq!(format_time_ago(1.0, 181.0), "1970-01-01T00:00:01Z, 3 min ago");
        assert_eq!(format_time_ago(2.0, 1.0), "1970-01-01T00:00:02Z, 0 µs ago", "the host's clock is ahead");
    }
}
