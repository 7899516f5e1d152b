//! The limits of one instance, and the limiter that enforces its memory limit.

use std::time::Duration;

use serde::Serialize;
use wasmtime::ResourceLimiter;

/// Maximum bytes that a guest may pass to one host call; the host allocates them.
pub const MAX_HOST_CALL_BYTES: usize = 16 << 20;
/// Maximum number of handles (requests, streams, pollables, …) that a guest may hold at a time.
pub const MAX_HANDLES: usize = 1_024;
/// Maximum number of handles that an instance may retain between calls. An instance that retains more leaks them and
/// would fail in a later call that needs some, so it is replaced before that.
pub const MAX_RETAINED_HANDLES: usize = MAX_HANDLES / 2;
/// Maximum random bytes that a guest may request in one call.
pub const MAX_RANDOM_BYTES: u64 = 64 * 1024;
/// Maximum size of one set of HTTP headers in memory, in bytes.
pub const MAX_HEADER_BYTES: usize = 128 * 1024;
/// Maximum number of core instances, of memories and of tables of one component.
const MAX_CORE_ITEMS: usize = 64;

/// The limits of one instance, the same for all instances of a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceLimits {
    /// Total bytes of all its memories and tables.
    pub memory: usize,
    /// CPU time of one `export-metrics`; waiting does not count.
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

/// Limits the total of all memories and tables of a Store (wasmtime's `StoreLimits` limits each one separately).
#[derive(Clone, Debug)]
pub struct MemoryLimiter {
    limit: usize,
    current: usize,
    peak: usize,
    /// Size of the last permitted growth, which is subtracted again if it fails.
    last_growth: usize,
    denied: bool,
}

impl MemoryLimiter {
    /// A limiter with no memory used yet.
    pub fn new(limit: usize) -> Self {
        Self { limit, current: 0, peak: 0, last_growth: 0, denied: false }
    }

    /// Peak memory in bytes.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Whether growth was denied since the last call of this method.
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
        assert!(!limiter.memory_growing(0, 60, None).unwrap(), "a second memory counts as well");
        assert!(!limiter.table_growing(0, 6, None).unwrap(), "and so does a table");
        assert_eq!((limiter.peak(), limiter.take_denied()), (60, true));
        assert!(!limiter.take_denied(), "the flag is reset");
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
