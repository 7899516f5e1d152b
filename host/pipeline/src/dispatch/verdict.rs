//! From an outcome to the verdict on each push in the batch: a function of both, of the history of the push, and of the
//! time. Accesses no queue and no clock.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{History, LaneEntry};
use super::ledger::cause;
use super::queue::Lease;
use super::{Fault, Outcome, SlotConfig};

/// The longest wait that a sink can ask for.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// What becomes of one push or notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushVerdict {
    /// A receiver accepted it.
    Delivered,
    /// Dropped, with the cause.
    Drop(&'static str),
    /// Offered again.
    Return,
    /// Offered again without a wait, in a batch of half the size, to find the push at fault.
    Halved,
}

/// How the lanes are slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slowdown {
    /// The sink works: the count of failures is reset.
    Reset,
    /// The outcome says nothing about the sink.
    Unchanged,
    /// The whole batch failed: wait according to the slot's consecutive failures, at least this long.
    WholeBatch(Duration),
    /// A part of it is to be retried: wait according to the attempts of that part, at least this long.
    PartOfBatch(Duration),
}

enum JudgedOutcome {
    Taken,
    /// Too large, or rejected as a whole: the cause with which a single push is dropped.
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
    Faulted(Fault),
}

/// The outcome of one batch, ready to judge its entries.
pub(super) struct BatchJudge<'a> {
    pub(super) config: &'a SlotConfig,
    pub(super) generation: u64,
    pub(super) now: Instant,
    /// The batch was leased to a candidate on trial: what it does not accept is not lost but offered to the serving
    /// generation.
    trial: bool,
    outcome: JudgedOutcome,
    pushes: usize,
    notices: usize,
    /// The numbers of the two halves of the batch, if it is halved.
    halves: [u64; 2],
    /// When the receiver last accepted a push of this slot, before this batch.
    pub(super) delivered_at: Option<Instant>,
}

impl<'a> BatchJudge<'a> {
    pub(super) fn new(
        outcome: &Outcome,
        (pushes, notices): (usize, usize),
        config: &'a SlotConfig,
        lease: &Lease,
        halves: [u64; 2],
        now: Instant,
    ) -> Self {
        let Lease { generation, trial, .. } = *lease;
        let (ruling, taken_at) = (JudgedOutcome::from_outcome(outcome, pushes), None);
        Self { config, generation, now, trial, outcome: ruling, pushes, notices, halves, delivered_at: taken_at }
    }

    pub(super) fn slowdown(&self) -> Slowdown {
        match &self.outcome {
            // A candidate's failure says nothing about the sink, and must not slow the serving generation down.
            _ if self.trial => Slowdown::Unchanged,
            JudgedOutcome::Partial { retry, retry_after, .. } if !retry.is_empty() => {
                Slowdown::PartOfBatch(*retry_after)
            }
            JudgedOutcome::Taken | JudgedOutcome::Partial { .. } => Slowdown::Reset,
            JudgedOutcome::Halved(_) | JudgedOutcome::Faulted(_) => Slowdown::Unchanged,
            JudgedOutcome::Unavailable { retry_after } => Slowdown::WholeBatch(*retry_after),
            JudgedOutcome::Unexplained(_) => Slowdown::WholeBatch(Duration::ZERO),
        }
    }

    /// Judges the push at `index` of the batch.
    pub(super) fn push<T>(&self, index: usize, entry: &mut LaneEntry<T>) -> PushVerdict {
        let verdict = self.by_outcome(index, entry);
        self.spare_on_trial(verdict, entry)
    }

    /// Only the serving generation drops pushes: what a candidate did not accept starts afresh there. A candidate does
    /// halve batches, because one push at fault must not count against it as a whole batch.
    fn spare_on_trial<T>(&self, verdict: PushVerdict, entry: &mut LaneEntry<T>) -> PushVerdict {
        match verdict {
            PushVerdict::Drop(_) | PushVerdict::Return if self.trial => {
                entry.history = History::declined();
                PushVerdict::Return
            }
            verdict => verdict,
        }
    }

    fn by_outcome<T>(&self, index: usize, entry: &mut LaneEntry<T>) -> PushVerdict {
        entry.history.attempts += 1;
        match &self.outcome {
            JudgedOutcome::Taken => PushVerdict::Delivered,
            JudgedOutcome::Partial { rejected, .. } if rejected.contains(&index) => PushVerdict::Drop(cause::REJECTED),
            JudgedOutcome::Partial { retry, .. } if !retry.contains(&index) => PushVerdict::Delivered,
            JudgedOutcome::Halved(cause) => self.halve(index, &mut entry.history, cause),
            _ => self.retry_or_drop(index, entry),
        }
    }

    /// Judges a notice: it is delivered whenever any part of the batch was, and never dropped because of a push next to
    /// it.
    pub(super) fn notice<T>(&self, entry: &mut LaneEntry<T>) -> PushVerdict {
        entry.history.attempts += 1;
        let verdict = match &self.outcome {
            JudgedOutcome::Taken | JudgedOutcome::Partial { .. } => PushVerdict::Delivered,
            JudgedOutcome::Halved(cause) if self.pushes == 0 => PushVerdict::Drop(cause),
            JudgedOutcome::Halved(_) if self.pushes > 1 => PushVerdict::Halved,
            JudgedOutcome::Halved(_) => PushVerdict::Return,
            JudgedOutcome::Unexplained(_) if self.pushes > 0 => self.unless_expired(PushVerdict::Return, entry),
            _ => self.retry_or_drop(0, entry),
        };
        self.spare_on_trial(verdict, entry)
    }

    fn halve(&self, index: usize, history: &mut History, cause: &'static str) -> PushVerdict {
        if self.pushes <= 1 {
            return PushVerdict::Drop(cause);
        }
        let [first, second] = self.halves;
        history.half = if index < self.pushes.div_ceil(2) { first } else { second };
        PushVerdict::Halved
    }

    fn retry_or_drop<T>(&self, index: usize, entry: &mut LaneEntry<T>) -> PushVerdict {
        let verdict = match self.outcome {
            JudgedOutcome::Faulted(fault) => {
                let faults = entry.history.record_fault(self.generation);
                // Only an entry that was alone is at fault, and only the second time: the instance may have been about
                // to fail anyway.
                let to_blame = faults >= 2 && self.pushes + self.notices == 1;
                if to_blame { PushVerdict::Drop(fault.name()) } else { PushVerdict::Return }
            }
            JudgedOutcome::Unexplained(cause) => self.unexplained(index, &mut entry.history, cause),
            _ => PushVerdict::Return,
        };
        self.unless_expired(verdict, entry)
    }

    fn unless_expired<T>(&self, verdict: PushVerdict, entry: &LaneEntry<T>) -> PushVerdict {
        let expired = self.now.duration_since(entry.arrived) >= self.config.max_age;
        if expired && !matches!(verdict, PushVerdict::Drop(_)) { PushVerdict::Drop(cause::EXPIRED) } else { verdict }
    }

    fn unexplained(&self, index: usize, history: &mut History, cause: &'static str) -> PushVerdict {
        history.unexplained_failures += 1;
        let since = *history.failing_since.get_or_insert(self.now);
        if history.unexplained_failures < self.config.max_unexplained_failures {
            PushVerdict::Return
        } else if cause != cause::OTHER {
            // The host itself failed: smaller batches would fail the same way.
            PushVerdict::Drop(cause)
        } else if self.pushes <= 1 && self.delivered_at.is_none_or(|taken| taken < since) {
            // Nothing was accepted since: the sink or the receiver fails for every push, so this one need not be at
            // fault.
            PushVerdict::Return
        } else {
            self.halve(index, history, cause)
        }
    }
}

impl JudgedOutcome {
    fn from_outcome(outcome: &Outcome, pushes: usize) -> Self {
        let least = |wait: &Option<Duration>| wait.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        match outcome {
            Outcome::Taken => Self::Taken,
            Outcome::TooLarge => Self::Halved(cause::TOO_LARGE),
            Outcome::Unavailable { retry_after, .. } => Self::Unavailable { retry_after: least(retry_after) },
            Outcome::Partial { rejected, retry, retry_after } => {
                let rejected: HashSet<usize> = rejected.iter().map(|(index, _)| *index as usize).collect();
                let retry: HashSet<usize> = retry.iter().map(|index| *index as usize).collect();
                // A receiver with a wrong index is not trusted at all: the pushes it reports as accepted may be any.
                if rejected.iter().chain(&retry).any(|index| *index >= pushes) {
                    return Self::Unexplained(cause::OTHER);
                }
                let retry = &retry - &rejected;
                Self::Partial { rejected, retry, retry_after: least(retry_after) }
            }
            Outcome::Rejected(_) => Self::Halved(cause::REJECTED),
            Outcome::Other(_) => Self::Unexplained(cause::OTHER),
            // The failure is neither the push's nor the guest's, so there is no reason to offer it alone.
            Outcome::Faulted(Fault::Host, _) => Self::Unexplained(Fault::Host.name()),
            Outcome::Faulted(fault, _) => Self::Faulted(*fault),
        }
    }
}
