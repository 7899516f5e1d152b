//! One lane: the pushes and notices of the clients that hash to it, in order.
//!
//! A lane has at most one unsettled batch. What returns from that batch goes to the front, so that the order per client
//! holds whatever the outcome was.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::decode::Payload;
use crate::push::DepartedClient;

/// A push, or the notice that a client is gone, with its history.
#[derive(Debug)]
pub(super) struct LaneEntry<T> {
    /// Position in the order of arrival at the slot.
    pub(super) seq: u64,
    /// Time of arrival at the slot.
    pub(super) arrived: Instant,
    pub(super) history: History,
    pub(super) body: T,
}

/// The results of earlier offers of an entry.
#[derive(Debug)]
pub(super) struct History {
    /// A receiver may have seen it.
    pub(super) offered: bool,
    /// Offers that were settled; an abandoned offer does not count.
    pub(super) attempts: u32,
    /// The number of unexplained failures, and the time of the first.
    pub(super) unexplained_failures: u32,
    pub(super) failing_since: Option<Instant>,
    /// The number of instances of generation `faults_generation` that failed while they had it.
    faults: u32,
    faults_generation: u64,
    /// The half, of a batch that was too large or rejected as a whole, that it belongs to: twice the number of the
    /// batch, plus one for the second half; 0 is none. Only the entries of one half are offered together, and those of
    /// the batch that was halved last come first, so that the search for the push at fault is a binary search.
    pub(super) half: u64,
    /// A candidate on trial did not accept it: only the serving generation may be offered it.
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

    /// Of an entry that a candidate did not accept: nothing that happened there counts.
    pub(super) fn declined() -> Self {
        Self { offered: true, declined: true, ..Self::new() }
    }

    /// An instance failed. Another generation starts from zero: it may contain the fix.
    pub(super) fn record_fault(&mut self, generation: u64) -> u32 {
        self.faults = self.faults_under(generation) + 1;
        self.faults_generation = generation;
        self.faults
    }

    /// Two instances of this generation failed with it: until it proves harmless, it is sent alone.
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

/// The next entry of a lane.
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
    /// Separate from the pushes, so that the oldest is found without a search; `seq` gives the common order.
    pub(super) notices: VecDeque<LaneEntry<DepartedClient>>,
    /// Of `pushes`.
    pub(super) bytes: usize,
    /// One of its batches is not settled.
    pub(super) leased: bool,
    /// The lane may not be leased before this time.
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

    /// Returns the entries of a batch, ahead of those that arrived since.
    pub(super) fn put_back(&mut self, pushes: Vec<LaneEntry<Arc<Payload>>>, notices: Vec<LaneEntry<DepartedClient>>) {
        for entry in pushes.into_iter().rev() {
            self.bytes += entry.bytes();
            self.pushes.push_front(entry);
        }
        notices.into_iter().rev().for_each(|entry| self.notices.push_front(entry));
    }
}

/// The entries of one lane in a batch.
#[derive(Debug)]
pub(super) struct LeasedEntries {
    pub(super) lane: usize,
    pub(super) pushes: Vec<LaneEntry<Arc<Payload>>>,
    pub(super) notices: Vec<LaneEntry<DepartedClient>>,
}
