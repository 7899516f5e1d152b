//! Which lanes a worker is given next, and how much of each: a function of the queue, the holder's share and the time.
//!
//! A batch is ready when the lanes it may draw from fill it, when the oldest entry has lingered, or when something in
//! them was offered before. The oldest lane comes first; a batch draws from as many lanes as leaves some to the
//! holder's other workers.

use std::cmp::Reverse;
use std::collections::HashSet;

use tokio::time::Instant;

use super::SlotConfig;
use super::holder::Share;
use super::lane::{Front, Held, Lane};
use super::queue::Queue;
use crate::push::InstanceId;

/// Most notices in one batch.
pub(super) const BATCH_NOTICES: usize = 1_024;

/// What a worker is told that asks for a batch.
pub(super) enum Draw {
    /// Leased, at least one entry.
    Ready(Vec<Held>),
    /// Nothing before that time, unless the slot changes.
    Later(Option<Instant>),
}

impl Queue {
    /// Leases a batch, or says when to ask again.
    pub(super) fn draw(&mut self, config: &SlotConfig, share: &Share, now: Instant) -> Draw {
        let mut next: Option<Instant> = None;
        let mut open: Vec<Open> = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| !lane.leased) {
            let Some(front) = lane.front().filter(|front| share.may_lease(number, front)) else { continue };
            let at_once = front.offered || self.draining > 0;
            let due = lane.waits(now).unwrap_or(if at_once { now } else { front.at + config.linger });
            next = Some(next.map_or(due, |earliest| earliest.min(due)));
            if lane.waits(now).is_none() {
                open.push(Open { rank: rank(&front), number });
            }
        }
        open.sort_unstable();
        open.truncate(share.most(self.lanes.len()));
        if next.is_some_and(|due| due <= now) || self.fills(&open, config) {
            return Draw::Ready(self.take(&open, config, share));
        }
        Draw::Later(next)
    }

    fn fills(&self, open: &[Open], config: &SlotConfig) -> bool {
        let (mut pushes, mut bytes, mut notices) = (0, 0, 0);
        for lane in open.iter().filter_map(|open| self.lanes.get(open.number)) {
            pushes += lane.pushes.len();
            bytes += lane.bytes;
            notices += lane.notices.len();
        }
        pushes >= config.batch_pushes.max(1) || bytes >= config.batch_bytes.max(1) || notices >= BATCH_NOTICES
    }

    fn take(&mut self, open: &[Open], config: &SlotConfig, share: &Share) -> Vec<Held> {
        let mut pick = Pick::new(config, share);
        open.iter().filter_map(|open| pick.draw_lane(open.number, self.lane(open.number))).collect()
    }
}

/// A lane that may be drawn from, and its turn.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    rank: (Reverse<u64>, u64, u64),
    number: usize,
}

/// The oldest lane first; before them the halves of the batch that was halved last, the first half first.
fn rank(front: &Front) -> (Reverse<u64>, u64, u64) {
    (Reverse(front.half / 2), front.half % 2, front.seq)
}

/// A batch in the making.
struct Pick<'a> {
    share: &'a Share,
    max_pushes: usize,
    max_bytes: usize,
    /// Of the first push: see [`History::half`](super::lane::History).
    half: u64,
    pushes: usize,
    bytes: usize,
    notices: usize,
    /// Clients whose notice is in it: a later push of theirs must not come before the receiver knows that.
    gone: HashSet<InstanceId>,
    /// Something is in it that goes alone.
    closed: bool,
}

impl<'a> Pick<'a> {
    fn new(config: &SlotConfig, share: &'a Share) -> Self {
        let (max_pushes, max_bytes) = (config.batch_pushes.max(1), config.batch_bytes);
        let (half, pushes, bytes, notices, closed) = (0, 0, 0, 0, false);
        Self { share, max_pushes, max_bytes, half, pushes, bytes, notices, gone: HashSet::new(), closed }
    }

    fn draw_lane(&mut self, number: usize, lane: &mut Lane) -> Option<Held> {
        let mut held = Held { lane: number, pushes: Vec::new(), notices: Vec::new() };
        while let Some(front) = lane.front().filter(|front| self.share.may_lease(number, front)) {
            let went = if front.notice { self.notice(lane, &mut held) } else { self.push(lane, &mut held) };
            if went.is_none() {
                break;
            }
        }
        if held.pushes.is_empty() && held.notices.is_empty() {
            return None;
        }
        lane.leased = true;
        lane.wait_until = None;
        Some(held)
    }

    fn push(&mut self, lane: &mut Lane, held: &mut Held) -> Option<()> {
        let entry = lane.pushes.front()?;
        let bytes = entry.bytes();
        let half = entry.history.half;
        let alone = entry.history.alone(self.share.generation);
        let after_notice = entry.body.client().instance_id.is_some_and(|id| self.gone.contains(&id));
        let fits = self.pushes < self.max_pushes && self.bytes.saturating_add(bytes) <= self.max_bytes;
        let fits = self.pushes == 0 || (fits && half == self.half);
        if !fits || after_notice || self.refuses(alone) {
            return None;
        }
        (self.half, self.closed) = (half, alone);
        self.pushes += 1;
        self.bytes += bytes;
        held.pushes.push(lane.pop()?);
        Some(())
    }

    fn notice(&mut self, lane: &mut Lane, held: &mut Held) -> Option<()> {
        let alone = lane.notices.front()?.history.alone(self.share.generation);
        if self.notices >= BATCH_NOTICES || self.refuses(alone) {
            return None;
        }
        let entry = lane.notices.pop_front()?;
        self.closed = alone;
        self.notices += 1;
        self.gone.extend(entry.body.client.instance_id);
        held.notices.push(entry);
        Some(())
    }

    fn refuses(&self, alone: bool) -> bool {
        self.closed || (alone && self.pushes + self.notices > 0)
    }
}
