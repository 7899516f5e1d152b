//! The time, from the host (`wasi:clocks`). `std::time::SystemTime::now` works only on some Wasm targets; this works
//! on all of them, and natively.
//!
//! Moments are [`SystemTime`] everywhere in this crate, and waits are [`Duration`]. OTLP counts nanoseconds since the
//! Unix epoch: [`unix_nanos`] and [`from_unix_nanos`] go from one to the other.

use std::time::{Duration, SystemTime};

/// Nanoseconds since the Unix epoch, as OTLP counts them. 0 for a moment before the epoch; the largest number for one
/// after the year 2554.
pub fn unix_nanos(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The moment that is `nanos` nanoseconds after the Unix epoch.
pub fn from_unix_nanos(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// The wall clock.
#[cfg(target_arch = "wasm32")]
pub fn now() -> SystemTime {
    let now = wasip2::clocks::wall_clock::now();
    SystemTime::UNIX_EPOCH + Duration::new(now.seconds, now.nanoseconds)
}

/// Time since some fixed moment: for measuring.
#[cfg(target_arch = "wasm32")]
pub fn monotonic() -> Duration {
    Duration::from_nanos(wasip2::clocks::monotonic_clock::now())
}

/// Waits. The host's deadline for the call goes on meanwhile.
#[cfg(target_arch = "wasm32")]
pub fn sleep(wait: Duration) {
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    wasip2::clocks::monotonic_clock::subscribe_duration(nanos).block();
}

/// The wall clock.
#[cfg(not(target_arch = "wasm32"))]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Time since some fixed moment: for measuring.
#[cfg(not(target_arch = "wasm32"))]
pub fn monotonic() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Waits. The host's deadline for the call goes on meanwhile.
#[cfg(not(target_arch = "wasm32"))]
pub fn sleep(wait: Duration) {
    std::thread::sleep(wait);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{from_unix_nanos, unix_nanos};

    #[test]
    fn nanoseconds_are_moments_and_back() {
        for nanos in [0, 1, 1_700_000_000_000_000_001, u64::MAX] {
            assert_eq!(unix_nanos(from_unix_nanos(nanos)), nanos);
        }
        assert_eq!(unix_nanos(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(unix_nanos(from_unix_nanos(u64::MAX) + Duration::from_secs(1)), u64::MAX);
    }
}
