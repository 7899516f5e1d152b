//! The guests' own tokio runtime, on threads of lower priority.
//!
//! The listener's runtime never polls a guest, so a guest that spins costs other guests a tick and clients nothing.
//! Bounded by its threads. Ends in the background when the last handle is dropped: a thread that is inside a guest is
//! not waited for longer than that guest's limits.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Under the default of 0, above batch work: guests give way to the request path and to nothing else.
const NICENESS: i32 = 5;
/// The least priority that there is.
const LOWEST_PRIORITY: i32 = 19;
/// Polls between two looks at timers and sockets. Tokio's own 61 would let busy guests, each polled for up to one tick
/// at a time, hold every timer of this runtime for more than half a second.
const POLLS_PER_DRIVER_TURN: u32 = 3;

/// A handle on the runtime. Cheap to clone.
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

    /// For spawning.
    pub fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Drops every task where it waits, as the end of the process would.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.0.end();
    }
}

impl OwnedRuntime {
    /// Dropping a runtime waits for its threads and panics where it may not wait.
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

/// Below whatever priority the host itself was given.
fn lowered_priority(own: i32) -> i32 {
    own.saturating_add(NICENESS).min(LOWEST_PRIORITY)
}

fn renice() {
    // On Linux, process 0 with PRIO_PROCESS is the calling thread.
    let own = rustix::process::getpriority_process(None).unwrap_or(0);
    if let Err(error) = rustix::process::setpriority_process(None, lowered_priority(own)) {
        tracing::debug!("guest threads keep their priority: {error}");
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
