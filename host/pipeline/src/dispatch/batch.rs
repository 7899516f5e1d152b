//! The batch that is leased to a worker.

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

/// One push of a batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The push. Shared with other slots that want it.
    pub payload: Arc<Payload>,
    /// 1 the first time it is offered to this slot's receiver.
    pub attempt: u32,
}

/// A batch leased from one or more lanes of a slot. Settle it with [`LeasedBatch::settle`]; a batch that is dropped
/// unsettled returns to the front of its lanes.
pub struct LeasedBatch {
    slot: Arc<SlotShared>,
    lease: Lease,
    /// The entries, by lane. Empty once the batch is settled, and never before.
    entries: Vec<LeasedEntries>,
    deliveries: Arc<[Delivery]>,
    gone: Arc<[DepartedClient]>,
    bytes: usize,
    oldest: Instant,
}

/// What became of the pushes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Accepted by the receiver.
    pub delivered: usize,
    /// Dropped.
    pub dropped: usize,
    /// Returned to the front of their lanes.
    pub returned: usize,
    /// Of the returned pushes, those offered next in a smaller batch, without a verdict on them so far.
    pub halved: usize,
    /// Shed, because the slot is closed.
    pub shed: usize,
    /// How long the lanes of the returned pushes wait.
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

    /// The number of pushes. May be 0: a batch can contain notices alone.
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether it contains no push.
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

    /// The generation it is leased to.
    pub fn generation(&self) -> u64 {
        self.lease.generation
    }

    /// Whether it is leased to a candidate on trial ([`LeaseHolder::set_on_trial`](super::LeaseHolder::set_on_trial)).
    pub fn on_trial(&self) -> bool {
        self.lease.trial
    }

    /// Ends the lease: every push moves to the term of the ledger that the outcome determines, and its lanes are free
    /// again.
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
