//! Measures a guest call: CPU time summed over the polls of its future, and wall time around it.
//!
//! The future reads the thread's CPU clock before and after each poll; the epoch callback, which runs inside a poll on
//! the same thread, calls [`CallMeter::check`] on every tick. So a guest that waits uses nothing, and one that spins is
//! stopped within a tick of its limit. A panic of the host below the guest ends this call, not the worker.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Shared by the future of a call and the epoch callback of its Store. Only one call runs at a time.
#[derive(Debug)]
pub struct CallMeter {
    created_at: Instant,
    /// CPU time of the completed polls.
    cpu_spent: AtomicU64,
    /// The thread's CPU clock when the current poll began.
    poll_began: AtomicU64,
    cpu_limit: AtomicU64,
    /// In nanoseconds since `born`.
    deadline: AtomicU64,
}

/// Whether a call is within its limits; decides what the epoch callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitCheck {
    /// Yield to other tasks, then continue.
    #[error("within its limits")]
    WithinLimits,
    /// The CPU limit is exceeded.
    #[error("used more CPU time than its limit")]
    CpuLimit,
    /// The wall deadline has passed.
    #[error("took longer than its deadline")]
    Deadline,
}

/// Why a call has no result.
#[derive(Debug)]
pub enum GuestCallError {
    /// The wall deadline passed while the call was waiting.
    Deadline,
    /// An error of wasmtime: a trap, or a host function's error.
    Error(wasmtime::Error),
    /// A host function panicked.
    Panic(String),
}

/// The time that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallUsage {
    /// CPU time.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
}

impl Default for CallMeter {
    /// A meter with no call running.
    fn default() -> Self {
        Self {
            created_at: Instant::now(),
            cpu_spent: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            cpu_limit: AtomicU64::new(u64::MAX),
            deadline: AtomicU64::new(u64::MAX),
        }
    }
}

impl CallMeter {
    /// Runs one call within `cpu` and `wall`. After an `Err` the Store it ran in must be dropped.
    pub async fn run<T>(
        &self,
        cpu: Duration,
        wall: Duration,
        call: impl Future<Output = wasmtime::Result<T>>,
    ) -> (Result<T, GuestCallError>, CallUsage) {
        let began = Instant::now();
        self.cpu_spent.store(0, Ordering::Relaxed);
        self.cpu_limit.store(nanos(cpu), Ordering::Relaxed);
        self.deadline.store(nanos(began.duration_since(self.created_at).saturating_add(wall)), Ordering::Relaxed);
        let metered = MeteredCall { meter: self, call: pin!(call) };
        let result = match tokio::time::timeout(wall, metered).await {
            Ok(result) => result,
            Err(_) => Err(GuestCallError::Deadline),
        };
        let cpu = Duration::from_nanos(self.cpu_spent.load(Ordering::Relaxed));
        (result, CallUsage { cpu, wall: began.elapsed() })
    }

    /// Compares the current call with its limits. Call it from inside a poll.
    pub fn check(&self) -> LimitCheck {
        let in_this_poll = thread_cpu().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        let used = self.cpu_spent.load(Ordering::Relaxed).saturating_add(in_this_poll);
        if used > self.cpu_limit.load(Ordering::Relaxed) {
            LimitCheck::CpuLimit
        } else if nanos(self.created_at.elapsed()) > self.deadline.load(Ordering::Relaxed) {
            LimitCheck::Deadline
        } else {
            LimitCheck::WithinLimits
        }
    }
}

struct MeteredCall<'a, F> {
    meter: &'a CallMeter,
    call: Pin<&'a mut F>,
}

impl<T, F: Future<Output = wasmtime::Result<T>>> Future for MeteredCall<'_, F> {
    type Output = Result<T, GuestCallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let meter = self.meter;
        let began = thread_cpu();
        meter.poll_began.store(began, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| self.call.as_mut().poll(cx)));
        meter.cpu_spent.fetch_add(thread_cpu().saturating_sub(began), Ordering::Relaxed);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(GuestCallError::Error)),
            Err(panic) => Poll::Ready(Err(GuestCallError::Panic(panic_message(panic.as_ref())))),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a message".into())
}

fn thread_cpu() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn waiting_costs_no_cpu_but_has_a_deadline() {
        let meter = CallMeter::default();
        let nap = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(meter.check())
        };
        let (result, _) = meter.run(Duration::from_millis(100), LONG, nap).await;
        assert_eq!(result.unwrap(), LimitCheck::WithinLimits);
        let forever = std::future::pending::<wasmtime::Result<()>>();
        let (result, _) = meter.run(LONG, Duration::from_millis(1), forever).await;
        assert!(matches!(result, Err(GuestCallError::Deadline)));
    }

    #[tokio::test]
    async fn cpu_time_of_all_polls_is_summed() {
        let meter = CallMeter::default();
        let limit = Duration::from_millis(5);
        let spin = async {
            while meter.check() == LimitCheck::WithinLimits {
                tokio::task::yield_now().await;
            }
            Ok(meter.check())
        };
        let (result, usage) = meter.run(limit, LONG, spin).await;
        assert_eq!(result.unwrap(), LimitCheck::CpuLimit);
        assert!(usage.cpu >= limit);
    }

    #[tokio::test]
    async fn a_panic_below_ends_the_call_only() {
        let boom = async { if true { panic!("boom") } else { Ok(()) } };
        let (result, _) = CallMeter::default().run(LONG, LONG, boom).await;
        assert!(matches!(result, Err(GuestCallError::Panic(words)) if words == "boom"));
    }
}
