//! Which lanes a worker is given next, and how much of each: a function of the queue, the holder's share and the time.
//!
//! A batch is ready when the lanes it may draw from fill it, when the oldest entry has lingered, or when one of their
//! entries was offered before. The oldest lane comes first; a batch draws from few enough lanes to leave some to the
//! holder's other workers.

use std::cmp::Reverse;
use std::collections::HashSet;

use tokio::time::Instant;

use super::SlotConfig;
use super::holder::HolderShare;
use super::lane::{Lane, LaneHead, LeasedEntries};
use super::queue::Queue;
use barnabas_base::InstanceId;

/// The most notices in one batch.
pub(super) const BATCH_NOTICES: usize = 1_024;

/// The result of a worker's request for a batch.
pub(super) enum DrawResult {
    /// Leased entries, at least one.
    Ready(Vec<LeasedEntries>),
    /// Nothing is ready before that time, unless the slot changes.
    Later(Option<Instant>),
}

impl Queue {
    /// Leases a batch, or returns when to try again.
    pub(super) fn draw(&mut self, config: &SlotConfig, share: &HolderShare, now: Instant) -> DrawResult {
        let mut next: Option<Instant> = None;
        let mut ready: Vec<ReadyLane> = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| !lane.leased) {
            let Some(front) = lane.head().filter(|front| share.may_lease(number, front)) else { continue };
            let no_linger = front.offered || self.drains > 0;
            let due = lane.waits_until(now).unwrap_or(if no_linger { now } else { front.arrived + config.linger });
            next = Some(next.map_or(due, |earliest| earliest.min(due)));
            if lane.waits_until(now).is_none() {
                ready.push(ReadyLane { rank: rank(&front), number });
            }
        }
        ready.sort_unstable();
        ready.truncate(share.max_lanes(self.lanes.len()));
        if next.is_some_and(|due| due <= now) || self.fills_batch(&ready, config) {
            return DrawResult::Ready(self.build_batch(&ready, config, share));
        }
        DrawResult::Later(next)
    }

    fn fills_batch(&self, ready: &[ReadyLane], config: &SlotConfig) -> bool {
        let (mut pushes, mut bytes, mut notices) = (0, 0, 0);
        for lane in ready.iter().filter_map(|open| self.lanes.get(open.number)) {
            pushes += lane.pushes.len();
            bytes += lane.bytes;
            notices += lane.notices.len();
        }
        pushes >= config.batch_pushes.max(1) || bytes >= config.batch_bytes.max(1) || notices >= BATCH_NOTICES
    }

    fn build_batch(&mut self, ready: &[ReadyLane], config: &SlotConfig, share: &HolderShare) -> Vec<LeasedEntries> {
        let mut builder = BatchBuilder::new(config, share);
        ready.iter().filter_map(|lane| builder.draw_lane(lane.number, self.lane(lane.number))).collect()
    }
}

/// A lane that may be drawn from, and its rank.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ReadyLane {
    rank: (Reverse<u64>, u64, u64),
    number: usize,
}

/// The oldest lane first; before them the halves of the batch that was halved last, the first half first.
fn rank(front: &LaneHead) -> (Reverse<u64>, u64, u64) {
    (Reverse(front.half / 2), front.half % 2, front.seq)
}

/// A batch that is being built.
struct BatchBuilder<'a> {
    share: &'a HolderShare,
    max_pushes: usize,
    max_bytes: usize,
    /// The half of its first push: see [`History::half`](super::lane::History).
    half: u64,
    pushes: usize,
    bytes: usize,
    notices: usize,
    /// Clients whose notice is in it: a later push of theirs must not be sent before the receiver got the notice.
    gone: HashSet<InstanceId>,
    /// It contains an entry that is sent alone.
    closed: bool,
}

impl<'a> BatchBuilder<'a> {
    fn new(config: &SlotConfig, share: &'a HolderShare) -> Self {
        let (max_pushes, max_bytes) = (config.batch_pushes.max(1), config.batch_bytes);
        let (half, pushes, bytes, notices, closed) = (0, 0, 0, 0, false);
        Self { share, max_pushes, max_bytes, half, pushes, bytes, notices, gone: HashSet::new(), closed }
    }

    fn draw_lane(&mut self, number: usize, lane: &mut Lane) -> Option<LeasedEntries> {
        let mut entries = LeasedEntries { lane: number, pushes: Vec::new(), notices: Vec::new() };
        while let Some(front) = lane.head().filter(|front| self.share.may_lease(number, front)) {
            let added =
                if front.notice { self.take_notice(lane, &mut entries) } else { self.take_push(lane, &mut entries) };
            if added.is_none() {
                break;
            }
        }
        if entries.pushes.is_empty() && entries.notices.is_empty() {
            return None;
        }
        lane.leased = true;
        lane.wait_until = None;
        Some(entries)
    }

    fn take_push(&mut self, lane: &mut Lane, entries: &mut LeasedEntries) -> Option<()> {
        let entry = lane.pushes.front()?;
        let bytes = entry.bytes();
        let half = entry.history.half;
        let goes_alone = entry.history.must_go_alone(self.share.generation);
        let after_notice = entry.body.client().instance_id.is_some_and(|id| self.gone.contains(&id));
        let fits = self.pushes < self.max_pushes && self.bytes.saturating_add(bytes) <= self.max_bytes;
        let fits = self.pushes == 0 || (fits && half == self.half);
        if !fits || after_notice || self.is_closed_to(goes_alone) {
            return None;
        }
        (self.half, self.closed) = (half, goes_alone);
        self.pushes += 1;
        self.bytes += bytes;
        entries.pushes.push(lane.pop()?);
        Some(())
    }

    fn take_notice(&mut self, lane: &mut Lane, entries: &mut LeasedEntries) -> Option<()> {
        let goes_alone = lane.notices.front()?.history.must_go_alone(self.share.generation);
        if self.notices >= BATCH_NOTICES || self.is_closed_to(goes_alone) {
            return None;
        }
        let entry = lane.notices.pop_front()?;
        self.closed = goes_alone;
        self.notices += 1;
        self.gone.extend(entry.body.client.instance_id);
        entries.notices.push(entry);
        Some(())
    }

    fn is_closed_to(&self, goes_alone: bool) -> bool {
        self.closed || (goes_alone && self.pushes + self.notices > 0)
    }
}
