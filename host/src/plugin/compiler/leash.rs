//! What ends a child before its time.
//!
//! A process id belongs to the child until somebody reaps it, and to anybody after that. So who ends it and who reaps
//! it take turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Why it was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Cut {
    /// It took too long.
    Wall,
    /// Nobody waits for it any more.
    Cancelled,
}

/// Holds at most one child, once.
#[derive(Default)]
pub(in crate::plugin) struct Leash {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Empty,
    Holds(Pid),
    /// The child ended by itself.
    Over,
    Cut(Cut),
}

impl Leash {
    /// Kills the child that is held, or the one that will be.
    pub(in crate::plugin) fn cut(&self, why: Cut) {
        let mut state = self.state();
        match *state {
            State::Over | State::Cut(_) => return,
            State::Holds(child) => kill(child),
            State::Empty => {}
        }
        *state = State::Cut(why);
        self.changed.notify_all();
    }

    /// Takes a child that nobody has reaped.
    pub(super) fn hold(&self, child: Pid) {
        let mut state = self.state();
        match *state {
            State::Empty => *state = State::Holds(child),
            _ => kill(child),
        }
    }

    /// Waits until the child is over, at most so long; then cuts.
    pub(super) fn watch(&self, patience: Duration) {
        let running = |state: &mut State| matches!(state, State::Holds(_));
        drop(self.changed.wait_timeout_while(self.state(), patience, running));
        self.cut(Cut::Wall);
    }

    /// To be called when the child has ended and before it is reaped; ends what it may have started. Why it was cut, if
    /// it was.
    pub(super) fn over(&self) -> Option<Cut> {
        let mut state = self.state();
        match *state {
            State::Cut(why) => return Some(why),
            State::Holds(child) => kill(child),
            State::Empty | State::Over => {}
        }
        *state = State::Over;
        self.changed.notify_all();
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With all of its group, which it leads.
fn kill(child: Pid) {
    if let Err(error) = kill_process_group(child, Signal::KILL) {
        tracing::debug!("the process {child:?} that compiles cannot be ended: {error}");
    }
}
