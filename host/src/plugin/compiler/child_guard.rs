//! What ends a child before its time.
//!
//! A process id belongs to the child until somebody reaps it, and to anybody after that. So who ends it and who reaps
//! it take turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Why it was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum KillReason {
    /// It took too long.
    Timeout,
    /// Nobody waits for it any more.
    Cancelled,
}

/// Holds at most one child, once.
#[derive(Default)]
pub(in crate::plugin) struct ChildGuard {
    state: Mutex<GuardState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
enum GuardState {
    #[default]
    Empty,
    Attached(Pid),
    /// The child ended by itself.
    Exited,
    Killed(KillReason),
}

impl ChildGuard {
    /// Kills the child that is held, or the one that will be.
    pub(in crate::plugin) fn kill(&self, why: KillReason) {
        let mut state = self.state();
        match *state {
            GuardState::Exited | GuardState::Killed(_) => return,
            GuardState::Attached(child) => kill_group(child),
            GuardState::Empty => {}
        }
        *state = GuardState::Killed(why);
        self.changed.notify_all();
    }

    /// Takes a child that nobody has reaped.
    pub(super) fn attach(&self, child: Pid) {
        let mut state = self.state();
        match *state {
            GuardState::Empty => *state = GuardState::Attached(child),
            _ => kill_group(child),
        }
    }

    /// Waits until the child is over, at most so long; then cuts.
    pub(super) fn kill_after(&self, timeout: Duration) {
        let running = |state: &mut GuardState| matches!(state, GuardState::Attached(_));
        drop(self.changed.wait_timeout_while(self.state(), timeout, running));
        self.kill(KillReason::Timeout);
    }

    /// To be called when the child has ended and before it is reaped; ends what it may have started. Why it was cut, if
    /// it was.
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

/// With all of its group, which it leads.
fn kill_group(child: Pid) {
    if let Err(error) = kill_process_group(child, Signal::KILL) {
        tracing::debug!("the process {child:?} that compiles cannot be ended: {error}");
    }
}
