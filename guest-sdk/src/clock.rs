//! The time, from the host (`wasi:clocks`). `std::time::SystemTime::now` works only on some Wasm targets; this works
//! on all of them, and natively.

use std::time::{Duration, SystemTime};

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
