//! A separate tokio runtime for guests, on threads with lower priority.
//!
//! The listeners' runtime never polls a guest, so a guest that spins costs other guests one tick and clients nothing.
//! Bounded in threads. Shuts down in the background when the last handle is dropped: a thread that executes a guest
//! runs no longer than that guest's limits.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Nice value of guest threads: below the request path (0), above batch jobs.
const NICENESS: i32 = 5;
/// The lowest scheduling priority.
const LOWEST_PRIORITY: i32 = 19;
/// Number of polls between two checks of timers and sockets. With tokio's default of 61, busy guests, each polled for
/// up to one tick, could delay every timer of this runtime by more than half a second.
const POLLS_PER_DRIVER_TURN: u32 = 3;

/// A handle to the runtime. Cheap to clone.
#[derive(Clone)]
pub struct GuestRuntime(Arc<OwnedRuntime>);

struct OwnedRuntime {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl GuestRuntime {
    /// Starts `threads` threads (at least one).
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("barnabas-guest")
            .event_interval(POLLS_PER_DRIVER_TURN)
            .global_queue_interval(POLLS_PER_DRIVER_TURN)
            .on_thread_start(renice)
            .enable_all()
            .build()?;
        Ok(Self(Arc::new(OwnedRuntime { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })))
    }

    /// The tokio handle, for spawning.
    pub fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Drops every task, as a kill of the process would.
    #[cfg(any(test, feature = "testing"))]
    pub fn kill(&self) {
        self.0.end();
    }
}

impl OwnedRuntime {
    /// Shuts down in the background: dropping a runtime would wait for its threads, and panics in an async context.
    fn end(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        self.end();
    }
}

/// A priority below the one of the host's own threads.
fn lowered_priority(own: i32) -> i32 {
    own.saturating_add(NICENESS).min(LOWEST_PRIORITY)
}

fn renice() {
    // On Linux, process 0 with PRIO_PROCESS is the calling thread.
    let own = rustix::process::getpriority_process(None).unwrap_or(0);
    if let Err(error) = rustix::process::setpriority_process(None, lowered_priority(own)) {
        tracing::debug!("cannot lower the priority of guest threads: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_run_at_lower_priority_and_the_caller_does_not() {
        let runtime = GuestRuntime::new(1).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        let theirs = runtime.handle().spawn(async { rustix::process::getpriority_process(None).unwrap() });
        let theirs = runtime.handle().block_on(theirs).unwrap();
        assert_eq!(theirs, lowered_priority(own));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }
}
