//! The accounts of a slot's pushes: each accepted push is in exactly one term.
//!
//! In: moves between terms, made under the slot's lock. Out: snapshots that balance, and the same moves as events,
//! emitted once the lock is released. Bounded: by the closed list of causes in [`cause`]. Never: holds a push.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::event::{EventData, Events, LedgerTerm, Topic};

/// The causes that this module assigns. For a push that made instances fail, the cause is the name of the fault.
pub mod cause {
    /// Shed: the oldest push was removed to make space for the newest.
    pub const QUEUE_FULL: &str = "queue-full";
    /// Shed: the slot has no receiver that could accept it.
    pub const NO_RECEIVER: &str = "no-receiver";
    /// Shed: the slot was closed.
    pub const REMOVED: &str = "removed";
    /// Dropped: older than the slot's maximum age when it was due to be offered again.
    pub const EXPIRED: &str = "expired";
    /// Dropped: the receiver reports that it is too large even alone.
    pub const TOO_LARGE: &str = "too-large";
    /// Dropped: the receiver reports that it can never be accepted.
    pub const REJECTED: &str = "rejected";
    /// Dropped: too many unexplained failures.
    pub const OTHER: &str = "other";
    /// Every cause of shedding.
    pub const SHED: [&str; 3] = [QUEUE_FULL, NO_RECEIVER, REMOVED];
    /// Every cause of a drop that is not the name of a fault.
    pub const DROPPED: [&str; 4] = [EXPIRED, TOO_LARGE, REJECTED, OTHER];
}

/// A number of pushes, and their decompressed bytes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PushTally {
    /// The number of pushes.
    pub pushes: u64,
    /// Their decompressed bytes together.
    pub bytes: u64,
}

impl PushTally {
    pub(super) fn add(&mut self, other: Self) {
        self.pushes += other.pushes;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        debug_assert!(self.pushes >= other.pushes && self.bytes >= other.bytes, "a term lost more than it had");
        self.pushes = self.pushes.saturating_sub(other.pushes);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// A slot's ledger at one moment: `accepted = delivered + dropped + shed + in flight + queued`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Ledger {
    /// All pushes that were ever handed to the slot.
    pub accepted: PushTally,
    /// Waiting in a lane.
    pub queued: PushTally,
    /// In a batch that is not settled.
    pub in_flight: PushTally,
    /// Accepted by a receiver.
    pub delivered: PushTally,
    /// Dropped, by cause.
    pub dropped: BTreeMap<&'static str, PushTally>,
    /// Shed, by cause.
    pub shed: BTreeMap<&'static str, PushTally>,
    /// Not a term: offered again after an earlier offer.
    pub redelivered: PushTally,
    /// Not a term: notices of departed clients that were dropped, because the queue was full or after failures.
    pub notices_dropped: u64,
}

impl Ledger {
    /// Whether each accepted push is in exactly one term.
    pub fn is_balanced(&self) -> bool {
        let mut terms = self.held();
        terms.add(self.delivered);
        self.dropped.values().chain(self.shed.values()).for_each(|tally| terms.add(*tally));
        terms == self.accepted
    }

    /// What the slot holds in memory: queued and in flight.
    pub fn held(&self) -> PushTally {
        let mut held = self.queued;
        held.add(self.in_flight);
        held
    }

    pub(super) fn apply(&mut self, moves: &LedgerMoves) {
        for LedgerMove { from, to, tally } in &moves.0 {
            match from {
                Some(from) => self.term(*from).subtract(*tally),
                None => self.accepted.add(*tally),
            }
            self.term(*to).add(*tally);
        }
    }

    fn term(&mut self, term: LedgerTerm) -> &mut PushTally {
        match term {
            LedgerTerm::Queued => &mut self.queued,
            LedgerTerm::InFlight => &mut self.in_flight,
            LedgerTerm::Delivered => &mut self.delivered,
            LedgerTerm::Dropped(cause) => self.dropped.entry(cause).or_default(),
            LedgerTerm::Shed(cause) => self.shed.entry(cause).or_default(),
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted = {} delivered + {} in flight + {} queued",
            self.accepted.pushes, self.delivered.pushes, self.in_flight.pushes, self.queued.pushes
        )?;
        let dropped = self.dropped.iter().map(|(cause, tally)| (tally, "dropped", cause));
        let shed = self.shed.iter().map(|(cause, tally)| (tally, "shed", cause));
        dropped.chain(shed).try_for_each(|(tally, term, cause)| write!(f, " + {} {term} ({cause})", tally.pushes))
    }
}

#[derive(Debug)]
struct LedgerMove {
    from: Option<LedgerTerm>,
    to: LedgerTerm,
    tally: PushTally,
}

/// The moves of one operation, where moves between the same terms are added up.
#[derive(Debug, Default)]
pub(super) struct LedgerMoves(Vec<LedgerMove>);

impl LedgerMoves {
    /// Moves one push between terms; `from` is `None` for a push that just arrived.
    pub(super) fn add(&mut self, from: Option<LedgerTerm>, to: LedgerTerm, bytes: usize) {
        let tally = PushTally { pushes: 1, bytes: bytes as u64 };
        match self.0.iter_mut().find(|known| known.from == from && known.to == to) {
            Some(known) => known.tally.add(tally),
            None => self.0.push(LedgerMove { from, to, tally }),
        }
    }

    /// The number of pushes that move to terms which `wanted` selects.
    pub(super) fn count(&self, wanted: impl Fn(LedgerTerm) -> bool) -> usize {
        self.0.iter().filter(|known| wanted(known.to)).map(|known| known.tally.pushes as usize).sum()
    }

    /// Emits the moves as events, with the reason of the outcome that caused them. Must not be called under a lock,
    /// because listeners run here.
    pub(super) fn emit(self, events: &Events, slot: &Arc<str>, reason: Option<&str>) {
        for LedgerMove { from, to, tally } in self.0 {
            events.emit(Topic::LedgerMoved, || EventData::LedgerMoved {
                slot: slot.clone(),
                from,
                to,
                pushes: tally.pushes as usize,
                size: tally.bytes as usize,
                reason: reason.map(str::to_owned),
            });
        }
    }
}
