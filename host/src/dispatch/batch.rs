//! What a worker is lent.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Outcome;
use super::lane::{LaneEntry, LeasedEntries};
use super::ledger::LedgerMoves;
use super::queue::Lease;
use super::slot::SlotShared;
use crate::decode::Payload;
use crate::event::LedgerTerm;
use crate::push::DepartedClient;

/// One push on offer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The push. Shared with other slots that want it.
    pub payload: Arc<Payload>,
    /// 1 the first time it is offered to this slot's receiver.
    pub attempt: u32,
}

/// A batch on loan from one or more lanes of a slot. Settle it with [`Batch::settle`]; one that is dropped unsettled
/// goes back to the front of its lanes.
pub struct LeasedBatch {
    slot: Arc<SlotShared>,
    lease: Lease,
    /// Where it goes back to. Empty once it is settled, and never before.
    entries: Vec<LeasedEntries>,
    deliveries: Arc<[Delivery]>,
    gone: Arc<[DepartedClient]>,
    bytes: usize,
    oldest: Instant,
}

/// What became of the pushes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Taken.
    pub delivered: usize,
    /// Given up.
    pub dropped: usize,
    /// Back in front of their lanes.
    pub returned: usize,
    /// Of those that came back, how many are offered in a smaller batch next: nothing is known of them yet.
    pub halved: usize,
    /// Let go, since the slot is closed.
    pub shed: usize,
    /// How long the lanes of those that came back wait.
    pub wait: Duration,
}

impl Settlement {
    pub(super) fn new(moves: &LedgerMoves, halved: usize, wait: Duration) -> Self {
        Self {
            delivered: moves.count(|to| to == LedgerTerm::Delivered),
            dropped: moves.count(|to| matches!(to, LedgerTerm::Dropped(_))),
            returned: moves.count(|to| to == LedgerTerm::Queued),
            halved,
            shed: moves.count(|to| matches!(to, LedgerTerm::Shed(_))),
            wait,
        }
    }
}

impl LeasedBatch {
    pub(super) fn new(slot: Arc<SlotShared>, lease: Lease, entries: Vec<LeasedEntries>) -> Self {
        let delivery = |entry: &LaneEntry<Arc<Payload>>| Delivery {
            payload: entry.body.clone(),
            attempt: entry.history.attempts + 1,
        };
        let pushes = || entries.iter().flat_map(|lane| &lane.pushes);
        let notices = || entries.iter().flat_map(|lane| &lane.notices);
        let since = pushes().map(|entry| entry.arrived).chain(notices().map(|entry| entry.arrived));
        Self {
            deliveries: pushes().map(delivery).collect(),
            gone: notices().map(|entry| entry.body.clone()).collect(),
            bytes: pushes().map(LaneEntry::bytes).sum(),
            oldest: since.min().unwrap_or(lease.at),
            slot,
            lease,
            entries,
        }
    }

    /// The pushes, those of one client in the order of their arrival.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Clients that are gone; none of the pushes was sent after its client's notice.
    pub fn gone(&self) -> &[DepartedClient] {
        &self.gone
    }

    /// Deliveries and notices as shared memory, for a view that outlives this borrow.
    pub fn shared(&self) -> (Arc<[Delivery]>, Arc<[DepartedClient]>) {
        (self.deliveries.clone(), self.gone.clone())
    }

    /// How many pushes. May be 0: a batch can hold notices alone.
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether it holds no push.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Decompressed bytes of all pushes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Data points of all pushes.
    pub fn points(&self) -> u64 {
        self.deliveries.iter().map(|delivery| u64::from(delivery.payload.points())).sum()
    }

    /// How long the oldest entry had waited when the batch was leased.
    pub fn queue_wait(&self) -> Duration {
        self.lease.at.duration_since(self.oldest)
    }

    /// The generation it was leased to.
    pub fn generation(&self) -> u64 {
        self.lease.generation
    }

    /// Whether it was leased to a candidate on trial ([`Holder::set_on_trial`](super::Holder::set_on_trial)).
    pub fn on_trial(&self) -> bool {
        self.lease.trial
    }

    /// Ends the loan: every push goes to the term of the ledger that the outcome says, and its lanes are free again.
    pub fn settle(mut self, outcome: Outcome) -> Settlement {
        self.slot.settle(mem::take(&mut self.entries), &self.lease, &outcome)
    }
}

impl Drop for LeasedBatch {
    fn drop(&mut self) {
        let entries = mem::take(&mut self.entries);
        if !entries.is_empty() {
            self.slot.return_unsettled(entries);
        }
    }
}

impl fmt::Debug for LeasedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("slot", &self.slot.name())
            .field("generation", &self.lease.generation)
            .field("pushes", &self.deliveries.len())
            .field("bytes", &self.bytes)
            .field("gone", &self.gone.len())
            .finish()
    }
}
