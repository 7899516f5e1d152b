//! A slot's lanes and its ledger, under one lock: every way in which a push moves.
//!
//! In: payloads, notices, settled batches. Out: the [`LedgerMoves`], for the events. Bounded: in bytes and pushes,
//! queued and in flight together, and in notices. Never: reads a clock, wakes a worker or emits an event.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::draw::BATCH_NOTICES;
use super::key::lane_of;
use super::lane::{Lane, LaneEntry, LeasedEntries};
use super::ledger::{Ledger, LedgerMoves, PushTally, cause};
use super::verdict::{BatchJudge, PushVerdict, Slowdown};
use super::{Outcome, Settlement, SlotConfig};
use crate::decode::Payload;
use crate::event::LedgerTerm;
use crate::push::DepartedClient;

/// The most notices waiting in a slot; beyond it the oldest are dropped.
pub(super) const MAX_NOTICES: usize = 65_536;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) lanes: Vec<Lane>,
    pub(super) ledger: Ledger,
    pub(super) serving: bool,
    pub(super) closed: bool,
    /// The number of drains in progress: while there is one, nothing lingers.
    pub(super) drains: usize,
    /// Those in the lanes, not in batches.
    pub(super) notices: usize,
    seq: u64,
    /// The number of consecutive failures of the sink, and the time of the last.
    failures: u32,
    failed_at: Option<Instant>,
    /// When the receiver last accepted a push.
    delivered_at: Option<Instant>,
    random_state: u64,
}

/// Whether a lane has something to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    Empty,
    SchedulableLane,
    /// Leased, or waiting after a failure.
    Blocked,
}

/// What a batch is leased to, and when.
pub(super) struct Lease {
    pub(super) generation: u64,
    /// It is a candidate on trial.
    pub(super) trial: bool,
    pub(super) at: Instant,
}

impl Queue {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes: std::iter::repeat_with(Lane::default).take(lanes.max(1)).collect(),
            ledger: Ledger::default(),
            serving: true,
            closed: false,
            drains: 0,
            notices: 0,
            seq: 0,
            failures: 0,
            failed_at: None,
            delivered_at: None,
            random_state: RandomState::new().hash_one(0),
        }
    }

    pub(super) fn lane(&mut self, number: usize) -> &mut Lane {
        self.lanes.get_mut(number).expect("lane numbers come from this slot and its lanes never change")
    }

    /// Queues a push or sheds it, and sheds the pushes that have to make space for it.
    pub(super) fn offer(&mut self, hash: u64, payload: Arc<Payload>, config: &SlotConfig, now: Instant) -> LedgerMoves {
        let mut moves = LedgerMoves::default();
        let bytes = payload.bytes().len();
        let term = if !self.serving {
            LedgerTerm::Shed(cause::NO_RECEIVER)
        } else if !self.make_room(bytes as u64, config, &mut moves) {
            LedgerTerm::Shed(cause::QUEUE_FULL)
        } else {
            let entry = LaneEntry::new(self.next_seq(), now, payload);
            let lane = lane_of(hash, self.lanes.len());
            self.lane(lane).push_back(entry);
            LedgerTerm::Queued
        };
        moves.add(None, term, bytes);
        self.ledger.apply(&moves);
        moves
    }

    /// The state of the lane of a hash, for [`Queue::should_wake`] after something was put into it.
    pub(super) fn lane_state(&self, hash: u64, now: Instant) -> LaneState {
        match self.lanes.get(lane_of(hash, self.lanes.len())) {
            Some(lane) if lane.leased => LaneState::Blocked,
            // Before the wait: the entries that waited may have been shed, and then no worker has a timer for the lane.
            Some(lane) if lane.is_empty() => LaneState::Empty,
            Some(lane) if lane.waits_until(now).is_some() => LaneState::Blocked,
            _ => LaneState::SchedulableLane,
        }
    }

    /// Whether an idle worker should look again now that something was put into a lane which was in this state. It has
    /// no timer for a lane that was empty, and a full batch need not linger; a lane that is blocked wakes a worker by
    /// itself when it becomes free.
    pub(super) fn should_wake(&self, before: LaneState, config: &SlotConfig) -> bool {
        let Ledger { queued, .. } = self.ledger;
        let full = queued.pushes >= config.batch_pushes as u64
            || queued.bytes >= config.batch_bytes as u64
            || self.notices >= BATCH_NOTICES;
        before == LaneState::Empty || (before == LaneState::SchedulableLane && full)
    }

    /// Queues a notice, behind the pushes of its client.
    pub(super) fn notice(&mut self, hash: u64, departed: DepartedClient, now: Instant) {
        let never_took_any =
            self.ledger.accepted == self.ledger.shed.get(cause::NO_RECEIVER).copied().unwrap_or_default();
        if self.closed || (!self.serving && never_took_any) {
            // No receiver has seen any client.
            return;
        }
        while self.notices >= MAX_NOTICES && self.drop_oldest_notice().is_some() {}
        let entry = LaneEntry::new(self.next_seq(), now, departed);
        let lane = lane_of(hash, self.lanes.len());
        self.lane(lane).notices.push_back(entry);
        self.notices += 1;
    }

    /// Closes for good: queued pushes are shed, pushes in flight may still be settled.
    pub(super) fn close(&mut self) -> LedgerMoves {
        self.closed = true;
        self.notices = 0;
        let mut moves = LedgerMoves::default();
        for lane in &mut self.lanes {
            lane.notices.clear();
            while let Some(entry) = lane.pop() {
                moves.add(Some(LedgerTerm::Queued), LedgerTerm::Shed(cause::REMOVED), entry.bytes());
            }
        }
        self.ledger.apply(&moves);
        moves
    }

    /// Accounts for what was drawn.
    pub(super) fn record_lease(&mut self, entries: &mut [LeasedEntries]) -> LedgerMoves {
        let mut moves = LedgerMoves::default();
        for lane in entries {
            self.notices -= lane.notices.len();
            lane.notices.iter_mut().for_each(|entry| entry.history.offered = true);
            for entry in &mut lane.pushes {
                let bytes = entry.bytes();
                moves.add(Some(LedgerTerm::Queued), LedgerTerm::InFlight, bytes);
                if std::mem::replace(&mut entry.history.offered, true) {
                    self.ledger.redelivered.add(PushTally { pushes: 1, bytes: bytes as u64 });
                }
            }
        }
        self.ledger.apply(&moves);
        moves
    }

    /// Returns a batch that was not settled: the receiver may or may not have seen it.
    pub(super) fn return_unsettled(&mut self, entries: Vec<LeasedEntries>) -> LedgerMoves {
        let mut moves = LedgerMoves::default();
        for LeasedEntries { lane, pushes, notices } in entries {
            self.return_to(lane, pushes, notices, None, &mut moves);
        }
        self.ledger.apply(&moves);
        moves
    }

    /// Settles a batch: each push moves to the term that the outcome determines.
    pub(super) fn settle(
        &mut self,
        entries: Vec<LeasedEntries>,
        lease: &Lease,
        outcome: &Outcome,
        config: &SlotConfig,
        now: Instant,
    ) -> (LedgerMoves, Settlement) {
        let size =
            entries.iter().fold((0, 0), |(pushes, notices), h| (pushes + h.pushes.len(), notices + h.notices.len()));
        let first = self.next_seq() * 2;
        let halves = [first, first + 1];
        let mut judge = BatchJudge::new(outcome, size, config, lease, halves, now);
        judge.delivered_at = self.delivered_at;
        let mut moves = LedgerMoves::default();
        let mut returned: Vec<LeasedEntries> = Vec::with_capacity(entries.len());
        let (mut index, mut halved) = (0, 0);
        for lane in entries {
            returned.push(self.judge_lane(&judge, lane, &mut index, &mut halved, &mut moves));
        }
        let attempts =
            returned.iter().flat_map(|held| &held.pushes).map(|entry| entry.history.attempts).max().unwrap_or(1);
        // A search for the push at fault does not wait: it is bounded by the size of the batch.
        let wait = if halved > 0 { None } else { self.retry_delay(&judge, lease, attempts) };
        for LeasedEntries { lane, pushes, notices } in returned {
            self.return_to(lane, pushes, notices, wait.map(|wait| now + wait), &mut moves);
        }
        self.ledger.apply(&moves);
        let settled = Settlement::new(&moves, halved, wait.unwrap_or_default());
        if settled.delivered > 0 {
            self.delivered_at = Some(now);
        }
        (moves, settled)
    }

    /// Judges the entries of one lane, and returns those that are to be offered again.
    fn judge_lane(
        &mut self,
        judge: &BatchJudge<'_>,
        lane: LeasedEntries,
        index: &mut usize,
        halved: &mut usize,
        moves: &mut LedgerMoves,
    ) -> LeasedEntries {
        let mut returned = LeasedEntries { lane: lane.lane, pushes: Vec::new(), notices: Vec::new() };
        for mut entry in lane.pushes {
            match judge.push(*index, &mut entry) {
                PushVerdict::Delivered => moves.add(Some(LedgerTerm::InFlight), LedgerTerm::Delivered, entry.bytes()),
                PushVerdict::Drop(cause) => {
                    moves.add(Some(LedgerTerm::InFlight), LedgerTerm::Dropped(cause), entry.bytes())
                }
                PushVerdict::Return => returned.pushes.push(entry),
                PushVerdict::Halved => {
                    *halved += 1;
                    returned.pushes.push(entry);
                }
            }
            *index += 1;
        }
        for mut entry in lane.notices {
            // A notice stays behind the pushes of its client, even if the receiver has already seen it.
            let pushes_left =
                returned.pushes.iter().any(|push| push.body.client().instance_id == entry.body.client.instance_id);
            match judge.notice(&mut entry) {
                PushVerdict::Delivered if pushes_left => returned.notices.push(entry),
                PushVerdict::Delivered => {}
                PushVerdict::Drop(_) => self.ledger.notices_dropped += 1,
                PushVerdict::Return | PushVerdict::Halved => returned.notices.push(entry),
            }
        }
        returned
    }

    /// Frees a lane and returns entries to its front; a closed slot sheds them instead.
    fn return_to(
        &mut self,
        number: usize,
        pushes: Vec<LaneEntry<Arc<Payload>>>,
        notices: Vec<LaneEntry<DepartedClient>>,
        wait_until: Option<Instant>,
        moves: &mut LedgerMoves,
    ) {
        let closed = self.closed;
        let term = if closed { LedgerTerm::Shed(cause::REMOVED) } else { LedgerTerm::Queued };
        pushes.iter().for_each(|entry| moves.add(Some(LedgerTerm::InFlight), term, entry.bytes()));
        let comes_back = !(pushes.is_empty() && notices.is_empty());
        let count = notices.len();
        let lane = self.lane(number);
        lane.leased = false;
        if !closed {
            lane.wait_until = wait_until.filter(|_| comes_back);
            lane.put_back(pushes, notices);
            self.notices += count;
        }
    }

    /// How long the returned entries have to wait.
    fn retry_delay(&mut self, judge: &BatchJudge<'_>, lease: &Lease, attempts: u32) -> Option<Duration> {
        let backoff = judge.config.backoff;
        match judge.slowdown() {
            Slowdown::Unchanged => None,
            Slowdown::Reset => {
                (self.failures, self.failed_at) = (0, None);
                None
            }
            Slowdown::PartOfBatch(least) => Some(backoff.wait(attempts, self.random()).max(least)),
            Slowdown::WholeBatch(least) => {
                // Batches that were in flight together and failed together count as one failure.
                if self.failed_at.is_none_or(|known| known <= lease.at) {
                    self.failures = self.failures.saturating_add(1);
                    self.failed_at = Some(judge.now);
                }
                Some(backoff.wait(self.failures, self.random()).max(least))
            }
        }
    }

    /// Ends every wait: the next generation starts without a delay.
    pub(super) fn retry_now(&mut self) {
        (self.failures, self.failed_at) = (0, None);
        self.lanes.iter_mut().for_each(|lane| lane.wait_until = None);
    }

    /// Sheds the oldest pushes until a push of that size fits. Returns false if it cannot fit, and then sheds nothing.
    fn make_room(&mut self, bytes: u64, config: &SlotConfig, moves: &mut LedgerMoves) -> bool {
        let fits = |held: PushTally| {
            held.pushes < config.max_pushes as u64 && held.bytes.saturating_add(bytes) <= config.max_bytes as u64
        };
        let mut held = self.ledger.held();
        if !fits(self.ledger.in_flight) {
            return false;
        }
        while !fits(held) {
            let Some(shed) = self.pop_oldest() else { return false };
            held.pushes -= 1;
            held.bytes -= shed as u64;
            moves.add(Some(LedgerTerm::Queued), LedgerTerm::Shed(cause::QUEUE_FULL), shed);
        }
        true
    }

    fn pop_oldest(&mut self) -> Option<usize> {
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.pushes.is_empty());
        let lane = lanes.min_by_key(|lane| lane.pushes.front().map(|entry| entry.seq))?;
        lane.pop().map(|entry| entry.bytes())
    }

    fn drop_oldest_notice(&mut self) -> Option<()> {
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.notices.is_empty());
        let lane = lanes.min_by_key(|lane| lane.notices.front().map(|entry| entry.seq))?;
        lane.notices.pop_front()?;
        self.notices -= 1;
        self.ledger.notices_dropped += 1;
        Some(())
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Uniform in 0..1 (splitmix64): jitter needs no cryptographic randomness.
    fn random(&mut self) -> f64 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random_state ^ (self.random_state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether nothing is left that a worker could still deliver.
    pub(super) fn is_idle(&self) -> bool {
        self.ledger.held().pushes == 0
            && !self.lanes.iter().any(|lane| lane.leased)
            && (self.notices == 0 || !self.serving)
    }
}
