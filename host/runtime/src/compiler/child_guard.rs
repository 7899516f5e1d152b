//! Kills a child on a timeout or a cancellation.
//!
//! A process id belongs to the child until it is reaped, and may be reused after that. So killing and reaping exclude
//! each other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Why a child was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// It exceeded its wall time.
    Timeout,
    /// Its result is no longer needed.
    Cancelled,
}

/// Guards at most one child, once.
#[derive(Default)]
pub(crate) struct ChildGuard {
    state: Mutex<GuardState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
enum GuardState {
    #[default]
    Empty,
    Attached(Pid),
    /// The child exited by itself.
    Exited,
    Killed(KillReason),
}

impl ChildGuard {
    /// Kills the attached child, or the one that is attached later.
    pub(crate) fn kill(&self, why: KillReason) {
        let mut state = self.state();
        match *state {
            GuardState::Exited | GuardState::Killed(_) => return,
            GuardState::Attached(child) => kill_group(child),
            GuardState::Empty => {}
        }
        *state = GuardState::Killed(why);
        self.changed.notify_all();
    }

    /// Attaches a child that was not reaped yet.
    pub(super) fn attach(&self, child: Pid) {
        let mut state = self.state();
        match *state {
            GuardState::Empty => *state = GuardState::Attached(child),
            _ => kill_group(child),
        }
    }

    /// Waits until the child has exited, and kills it after `timeout`.
    pub(super) fn kill_after(&self, timeout: Duration) {
        let running = |state: &mut GuardState| matches!(state, GuardState::Attached(_));
        drop(self.changed.wait_timeout_while(self.state(), timeout, running));
        self.kill(KillReason::Timeout);
    }

    /// Detaches the child; call it when the child has exited and before it is reaped. Kills what the child may have
    /// started. Returns why the child was killed, if it was.
    pub(super) fn detach(&self) -> Option<KillReason> {
        let mut state = self.state();
        match *state {
            GuardState::Killed(why) => return Some(why),
            GuardState::Attached(child) => kill_group(child),
            GuardState::Empty | GuardState::Exited => {}
        }
        *state = GuardState::Exited;
        self.changed.notify_all();
        None
    }

    fn state(&self) -> MutexGuard<'_, GuardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills the child and its process group, which it leads.
fn kill_group(child: Pid) {
    if let Err(error) = kill_process_group(child, Signal::KILL) {
        tracing::debug!("cannot kill the compiler process {child:?}: {error}");
    }
}
