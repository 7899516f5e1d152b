//! From an outcome to the fate of each push in the batch: a function of both, of what the push has been through, and of
//! the time. Touches no queue and no clock.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Entry, History};
use super::ledger::cause;
use super::queue::Lease;
use super::{Fault, Outcome, SlotConfig};

/// A sink that asks for more is asked again after this.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// What becomes of one push or notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A receiver took it.
    Done,
    /// Given up, with the cause.
    Dead(&'static str),
    /// Offered again.
    Back,
    /// Offered again without a wait, in a batch of half the size: that finds the push at fault.
    Halved,
}

/// How the lanes are slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It goes well.
    Steady,
    /// Nothing is said about the sink.
    Unchanged,
    /// The whole batch failed: wait by the slot's failures in a row, at least so long.
    Failed(Duration),
    /// A part of it is to be tried again: wait by that part's attempts, at least so long.
    Partly(Duration),
}

enum Ruling {
    Taken,
    /// Too large, or refused as a whole: the cause of the dead letter that a single push becomes.
    Halved(&'static str),
    Partial {
        rejected: HashSet<usize>,
        retry: HashSet<usize>,
        retry_after: Duration,
    },
    Unavailable {
        retry_after: Duration,
    },
    Unexplained(&'static str),
    Broke(Fault),
}

/// The outcome of one batch, ready to judge what was in it.
pub(super) struct Judge<'a> {
    pub(super) config: &'a SlotConfig,
    pub(super) generation: u64,
    pub(super) now: Instant,
    /// The batch was leased to a candidate on trial: what it gives up is not lost but offered to the serving generation.
    trial: bool,
    ruling: Ruling,
    pushes: usize,
    notices: usize,
    /// What the two halves of the batch are called, should it be halved.
    halves: [u64; 2],
    /// When the receiver last took a push of this slot, before this batch.
    pub(super) taken_at: Option<Instant>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        outcome: &Outcome,
        (pushes, notices): (usize, usize),
        config: &'a SlotConfig,
        lease: &Lease,
        halves: [u64; 2],
        now: Instant,
    ) -> Self {
        let Lease { generation, trial, .. } = *lease;
        let (ruling, taken_at) = (Ruling::of(outcome, pushes), None);
        Self { config, generation, now, trial, ruling, pushes, notices, halves, taken_at }
    }

    pub(super) fn pace(&self) -> Pace {
        match &self.ruling {
            // A candidate's failure says nothing of the sink, and must not slow the serving generation down.
            _ if self.trial => Pace::Unchanged,
            Ruling::Partial { retry, retry_after, .. } if !retry.is_empty() => Pace::Partly(*retry_after),
            Ruling::Taken | Ruling::Partial { .. } => Pace::Steady,
            Ruling::Halved(_) | Ruling::Broke(_) => Pace::Unchanged,
            Ruling::Unavailable { retry_after } => Pace::Failed(*retry_after),
            Ruling::Unexplained(_) => Pace::Failed(Duration::ZERO),
        }
    }

    /// Judges the push at `index` of the batch.
    pub(super) fn push<T>(&self, index: usize, entry: &mut Entry<T>) -> Verdict {
        let verdict = self.by_outcome(index, entry);
        self.spared(verdict, entry)
    }

    /// Only the serving generation gives up: what a candidate did not take starts anew there. A candidate halves a
    /// batch by itself, since one push at fault must not count against it as a whole batch.
    fn spared<T>(&self, verdict: Verdict, entry: &mut Entry<T>) -> Verdict {
        match verdict {
            Verdict::Dead(_) | Verdict::Back if self.trial => {
                entry.history = History::declined();
                Verdict::Back
            }
            verdict => verdict,
        }
    }

    fn by_outcome<T>(&self, index: usize, entry: &mut Entry<T>) -> Verdict {
        entry.history.attempts += 1;
        match &self.ruling {
            Ruling::Taken => Verdict::Done,
            Ruling::Partial { rejected, .. } if rejected.contains(&index) => Verdict::Dead(cause::REJECTED),
            Ruling::Partial { retry, .. } if !retry.contains(&index) => Verdict::Done,
            Ruling::Halved(cause) => self.halve(index, &mut entry.history, cause),
            _ => self.again(index, entry),
        }
    }

    /// Judges a notice: it is heard whenever any of the batch was, and never given up for the sake of a push beside it.
    pub(super) fn notice<T>(&self, entry: &mut Entry<T>) -> Verdict {
        entry.history.attempts += 1;
        let verdict = match &self.ruling {
            Ruling::Taken | Ruling::Partial { .. } => Verdict::Done,
            Ruling::Halved(cause) if self.pushes == 0 => Verdict::Dead(cause),
            Ruling::Halved(_) if self.pushes > 1 => Verdict::Halved,
            Ruling::Halved(_) => Verdict::Back,
            Ruling::Unexplained(_) if self.pushes > 0 => self.unless_expired(Verdict::Back, entry),
            _ => self.again(0, entry),
        };
        self.spared(verdict, entry)
    }

    fn halve(&self, index: usize, history: &mut History, cause: &'static str) -> Verdict {
        if self.pushes <= 1 {
            return Verdict::Dead(cause);
        }
        let [first, second] = self.halves;
        history.half = if index < self.pushes.div_ceil(2) { first } else { second };
        Verdict::Halved
    }

    fn again<T>(&self, index: usize, entry: &mut Entry<T>) -> Verdict {
        let verdict = match self.ruling {
            Ruling::Broke(fault) => {
                let faults = entry.history.broke(self.generation);
                // Only one that was alone has itself to blame, and only the second time: the instance may have been
                // about to break anyway.
                let to_blame = faults >= 2 && self.pushes + self.notices == 1;
                if to_blame { Verdict::Dead(fault.name()) } else { Verdict::Back }
            }
            Ruling::Unexplained(cause) => self.unexplained(index, &mut entry.history, cause),
            _ => Verdict::Back,
        };
        self.unless_expired(verdict, entry)
    }

    fn unless_expired<T>(&self, verdict: Verdict, entry: &Entry<T>) -> Verdict {
        let expired = self.now.duration_since(entry.at) >= self.config.max_age;
        if expired && !matches!(verdict, Verdict::Dead(_)) { Verdict::Dead(cause::EXPIRED) } else { verdict }
    }

    fn unexplained(&self, index: usize, history: &mut History, cause: &'static str) -> Verdict {
        history.others += 1;
        let since = *history.failing_since.get_or_insert(self.now);
        if history.others < self.config.max_attempts_other {
            Verdict::Back
        } else if cause != cause::OTHER {
            // The host's own failure: smaller batches would fail alike.
            Verdict::Dead(cause)
        } else if self.pushes <= 1 && self.taken_at.is_none_or(|taken| taken < since) {
            // Nothing was taken since: the sink or the receiver fails altogether, and the push need not be at fault.
            Verdict::Back
        } else {
            self.halve(index, history, cause)
        }
    }
}

impl Ruling {
    fn of(outcome: &Outcome, pushes: usize) -> Self {
        let least = |wait: &Option<Duration>| wait.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        match outcome {
            Outcome::Taken => Self::Taken,
            Outcome::TooLarge => Self::Halved(cause::TOO_LARGE),
            Outcome::Unavailable { retry_after, .. } => Self::Unavailable { retry_after: least(retry_after) },
            Outcome::Partial { rejected, retry, retry_after } => {
                let rejected: HashSet<usize> = rejected.iter().map(|(index, _)| *index as usize).collect();
                let retry: HashSet<usize> = retry.iter().map(|index| *index as usize).collect();
                // A receiver that cannot count is believed in nothing: what it says it took may be anything.
                if rejected.iter().chain(&retry).any(|index| *index >= pushes) {
                    return Self::Unexplained(cause::OTHER);
                }
                let retry = &retry - &rejected;
                Self::Partial { rejected, retry, retry_after: least(retry_after) }
            }
            Outcome::Rejected(_) => Self::Halved(cause::REJECTED),
            Outcome::Other(_) => Self::Unexplained(cause::OTHER),
            // Not the push's doing and not the guest's: no reason to offer it alone.
            Outcome::Broke(Fault::Host, _) => Self::Unexplained(Fault::Host.name()),
            Outcome::Broke(fault, _) => Self::Broke(*fault),
        }
    }
}
