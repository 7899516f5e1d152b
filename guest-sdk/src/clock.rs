//! The clocks of the host (`wasi:clocks`). `std::time::SystemTime::now` works only on some Wasm targets; this module
//! works on all of them, and natively.
//!
//! A point in time is a [`SystemTime`] everywhere in this crate, and a length of time is a [`Duration`]. OTLP counts
//! nanoseconds since the Unix epoch; [`unix_nanos`] and [`from_unix_nanos`] convert between the two.

use std::time::{Duration, SystemTime};

/// Nanoseconds since the Unix epoch, as in OTLP. The result is 0 for a time before the epoch, and `u64::MAX` for a time
/// after the year 2554.
pub fn unix_nanos(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The time that is `nanos` nanoseconds after the Unix epoch.
pub fn from_unix_nanos(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// The time of the wall clock.
#[cfg(target_arch = "wasm32")]
pub fn now() -> SystemTime {
    let now = wasip2::clocks::wall_clock::now();
    SystemTime::UNIX_EPOCH + Duration::new(now.seconds, now.nanoseconds)
}

/// The time of the monotonic clock, for measuring durations. It counts from an arbitrary start.
#[cfg(target_arch = "wasm32")]
pub fn monotonic() -> Duration {
    Duration::from_nanos(wasip2::clocks::monotonic_clock::now())
}

/// Waits. The time counts towards the deadline of the call.
#[cfg(target_arch = "wasm32")]
pub fn sleep(wait: Duration) {
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    wasip2::clocks::monotonic_clock::subscribe_duration(nanos).block();
}

/// The time of the wall clock.
#[cfg(not(target_arch = "wasm32"))]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// The time of the monotonic clock, for measuring durations. It counts from an arbitrary start.
#[cfg(not(target_arch = "wasm32"))]
pub fn monotonic() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Waits. The time counts towards the deadline of the call.
#[cfg(not(target_arch = "wasm32"))]
pub fn sleep(wait: Duration) {
    std::thread::sleep(wait);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{from_unix_nanos, unix_nanos};

    #[test]
    fn nanoseconds_round_trip_through_system_time() {
        for nanos in [0, 1, 1_700_000_000_000_000_001, u64::MAX] {
            assert_eq!(unix_nanos(from_unix_nanos(nanos)), nanos);
        }
        assert_eq!(unix_nanos(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(unix_nanos(from_unix_nanos(u64::MAX) + Duration::from_secs(1)), u64::MAX);
    }
}
