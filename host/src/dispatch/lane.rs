//! One lane: the pushes and notices of the clients that hash to it, in order.
//!
//! A lane has at most one unsettled batch; what comes back from it goes to the front, so order per client holds
//! whatever became of the batch.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::decode::Payload;
use crate::push::DepartedClient;

/// A push, or the notice that a client is gone, with what it has been through.
#[derive(Debug)]
pub(super) struct LaneEntry<T> {
    /// Place in the order of arrival at the slot.
    pub(super) seq: u64,
    /// Arrival at the slot.
    pub(super) arrived: Instant,
    pub(super) history: History,
    pub(super) body: T,
}

/// What earlier offers of an entry came to.
#[derive(Debug)]
pub(super) struct History {
    /// It may have been seen by a receiver.
    pub(super) offered: bool,
    /// Offers that were settled; one that was abandoned does not count.
    pub(super) attempts: u32,
    /// Unexplained failures, and when the first of them was.
    pub(super) unexplained_failures: u32,
    pub(super) failing_since: Option<Instant>,
    /// Instances of generation `broken_by` that broke with it in hand.
    faults: u32,
    faults_generation: u64,
    /// Which half of a batch that was too large or refused as a whole it belongs to: twice the number of the batch, and
    /// one more for the second half; 0 is none. Only the entries of one half are offered together, those of the batch that
    /// was halved last first, so that the search for the push at fault is a binary one.
    pub(super) half: u64,
    /// A candidate on trial did not take it: only the serving generation may be offered it.
    pub(super) declined: bool,
}

impl History {
    fn new() -> Self {
        let (offered, declined, failing_since) = (false, false, None);
        Self {
            offered,
            attempts: 0,
            unexplained_failures: 0,
            failing_since,
            faults: 0,
            faults_generation: 0,
            half: 0,
            declined,
        }
    }

    /// Of an entry that a candidate did not take: nothing that happened there counts.
    pub(super) fn declined() -> Self {
        Self { offered: true, declined: true, ..Self::new() }
    }

    /// An instance broke. Another generation starts from nothing: it may hold the repair.
    pub(super) fn record_fault(&mut self, generation: u64) -> u32 {
        self.faults = self.faults_under(generation) + 1;
        self.faults_generation = generation;
        self.faults
    }

    /// Two instances of this generation broke with it: until it is known to be harmless, nothing shares its fate.
    pub(super) fn must_go_alone(&self, generation: u64) -> bool {
        self.faults_under(generation) >= 2
    }

    fn faults_under(&self, generation: u64) -> u32 {
        if self.faults_generation == generation { self.faults } else { 0 }
    }
}

impl<T> LaneEntry<T> {
    pub(super) fn new(seq: u64, at: Instant, body: T) -> Self {
        Self { seq, arrived: at, history: History::new(), body }
    }
}

impl LaneEntry<Arc<Payload>> {
    pub(super) fn bytes(&self) -> usize {
        self.body.bytes().len()
    }
}

/// What a lane would give next.
pub(super) struct LaneHead {
    pub(super) seq: u64,
    pub(super) arrived: Instant,
    pub(super) offered: bool,
    pub(super) declined: bool,
    pub(super) half: u64,
    pub(super) notice: bool,
}

impl LaneHead {
    fn new<T>(entry: &LaneEntry<T>, notice: bool) -> Self {
        let History { offered, declined, half, .. } = entry.history;
        Self { seq: entry.seq, arrived: entry.arrived, offered, declined, half, notice }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) pushes: VecDeque<LaneEntry<Arc<Payload>>>,
    /// Apart from the pushes so that the oldest is found at once; `seq` keeps the common order.
    pub(super) notices: VecDeque<LaneEntry<DepartedClient>>,
    /// Of `pushes`.
    pub(super) bytes: usize,
    /// A batch of it is not settled.
    pub(super) leased: bool,
    /// Not to be leased before.
    pub(super) wait_until: Option<Instant>,
}

impl Lane {
    pub(super) fn head(&self) -> Option<LaneHead> {
        let push = self.pushes.front().map(|entry| LaneHead::new(entry, false));
        let notice = self.notices.front().map(|entry| LaneHead::new(entry, true));
        push.into_iter().chain(notice).min_by_key(|front| front.seq)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pushes.is_empty() && self.notices.is_empty()
    }

    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.wait_until.filter(|until| *until > now)
    }

    pub(super) fn push_back(&mut self, entry: LaneEntry<Arc<Payload>>) {
        self.bytes += entry.bytes();
        self.pushes.push_back(entry);
    }

    pub(super) fn pop(&mut self) -> Option<LaneEntry<Arc<Payload>>> {
        let entry = self.pushes.pop_front()?;
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Puts back what a batch had drawn, in front of what came since.
    pub(super) fn put_back(&mut self, pushes: Vec<LaneEntry<Arc<Payload>>>, notices: Vec<LaneEntry<DepartedClient>>) {
        for entry in pushes.into_iter().rev() {
            self.bytes += entry.bytes();
            self.pushes.push_front(entry);
        }
        notices.into_iter().rev().for_each(|entry| self.notices.push_front(entry));
    }
}

/// What a batch holds of one lane.
#[derive(Debug)]
pub(super) struct LeasedEntries {
    pub(super) lane: usize,
    pub(super) pushes: Vec<LaneEntry<Arc<Payload>>>,
    pub(super) notices: Vec<LaneEntry<DepartedClient>>,
}
