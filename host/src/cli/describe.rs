//! Moments for people.

use std::time::{Duration, SystemTime};

use barnabas::audit::rfc3339;

/// Seconds since the Unix epoch as a moment; such that no clock shows are left as they are.
pub(crate) fn moment(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).ok();
    let at = span.and_then(|span| SystemTime::UNIX_EPOCH.checked_add(span));
    at.map_or_else(|| seconds.to_string(), rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_of_the_calendar() {
        assert_eq!(moment(1_795_333_500.5), "2026-11-22T07:45:00Z");
        assert_eq!(moment(f64::MAX), f64::MAX.to_string());
    }
}
