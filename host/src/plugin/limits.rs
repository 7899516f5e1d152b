//! What one instance may use, and the limiter that keeps it within its memory.

use std::time::Duration;

use serde::Serialize;
use wasmtime::ResourceLimiter;

/// Most bytes a guest may hand to one host call; the host allocates them.
pub const MAX_HOST_CALL_BYTES: usize = 16 << 20;
/// Most handles (requests, streams, pollables, …) a guest may hold at once.
pub const MAX_HANDLES: usize = 1_024;
/// Most handles that an instance may keep from one call to the next. One that keeps more forgets them, and would break in
/// a later call that needs some; it is replaced before.
pub const MAX_RETAINED_HANDLES: usize = MAX_HANDLES / 2;
/// Most bytes of random a guest may ask for in one call.
pub const MAX_RANDOM_BYTES: u64 = 64 * 1024;
/// Most bytes of one set of HTTP headers, as kept in memory.
pub const MAX_HEADER_BYTES: usize = 128 * 1024;
/// Core instances, memories and tables of one component.
const MAX_CORE_ITEMS: usize = 64;

/// Limits of one instance. The same for all instances of a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceLimits {
    /// Bytes of all its memories and tables together.
    pub memory: usize,
    /// CPU time of one `export-metrics`; waiting is free.
    pub cpu: Duration,
    /// Wall time of one `export-metrics`, waiting included.
    pub deadline: Duration,
    /// Wall and CPU time to instantiate and `start`.
    pub start: Duration,
    /// Wall and CPU time of `stop`.
    pub stop: Duration,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu: Duration::from_secs(1),
            deadline: Duration::from_secs(30),
            start: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}

/// Counts every memory and table of a Store together (`StoreLimits` of wasmtime looks at each alone).
#[derive(Clone, Debug)]
pub struct MemoryLimiter {
    limit: usize,
    current: usize,
    peak: usize,
    /// What the last permitted growth added, to be taken back should it fail.
    last_growth: usize,
    denied: bool,
}

impl MemoryLimiter {
    /// With nothing used yet.
    pub fn new(limit: usize) -> Self {
        Self { limit, current: 0, peak: 0, last_growth: 0, denied: false }
    }

    /// The most bytes there ever were.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Whether growth was refused since this was last asked.
    pub fn take_denied(&mut self) -> bool {
        std::mem::take(&mut self.denied)
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let growth = desired.saturating_sub(current);
        let total = self.current.saturating_add(growth);
        if total > self.limit {
            self.denied = true;
            return false;
        }
        (self.current, self.last_growth) = (total, growth);
        self.peak = self.peak.max(total);
        true
    }

    fn undo(&mut self) {
        self.current = self.current.saturating_sub(std::mem::take(&mut self.last_growth));
        self.denied = true;
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_CORE_ITEMS
    }
    fn memories(&self) -> usize {
        MAX_CORE_ITEMS
    }
    fn tables(&self) -> usize {
        MAX_CORE_ITEMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_limit_obeyed() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 24, None).unwrap());
        assert!(limiter.table_growing(0, 2, None).unwrap(), "16 bytes make it full");
        assert_eq!((limiter.peak(), limiter.take_denied()), (100, false));
    }

    #[test]
    fn memory_limit_violated() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap(), "a second memory counts with the first");
        assert!(!limiter.table_growing(0, 6, None).unwrap(), "and so does a table");
        assert_eq!((limiter.peak(), limiter.take_denied()), (60, true));
        assert!(!limiter.take_denied(), "asked once");
    }

    #[test]
    fn failed_growth_is_not_counted() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("the system has none")).unwrap();
        assert!(limiter.memory_growing(60, 90, None).unwrap());
    }
}
