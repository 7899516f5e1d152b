//! Lease holders: the workers of one generation, and the lanes that they may lease.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::lane::LaneHead;
use super::slot::SlotShared;

/// A set of lanes, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneSet {
    /// Every lane.
    All,
    /// Only these lanes: a canary's share.
    Only(BTreeSet<usize>),
    /// Every lane except these: what a canary leaves to the serving generation.
    Except(BTreeSet<usize>),
}

impl LaneSet {
    /// Whether the lane belongs to the set.
    pub fn contains(&self, lane: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(lanes) => lanes.contains(&lane),
            Self::Except(lanes) => !lanes.contains(&lane),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Only(lanes) if lanes.is_empty())
    }

    fn count(&self, lanes: usize) -> usize {
        (0..lanes).filter(|lane| self.contains(*lane)).count()
    }
}

/// A generation's right to lease from a slot, shared by its workers. Created by [`Slot::holder`](super::Slot::holder).
/// Several may exist at the same time: lanes in the sets of two are leased to whichever asks first.
#[derive(Clone)]
pub struct LeaseHolder(Arc<HolderInner>);

struct HolderInner {
    slot: Arc<SlotShared>,
    generation: u64,
    workers: usize,
    stopped: AtomicBool,
    trial: AtomicBool,
    lanes: Mutex<LaneSet>,
}

/// What a draw needs to know about a holder.
pub(super) struct HolderShare {
    pub(super) lanes: LaneSet,
    pub(super) generation: u64,
    /// It is a candidate on trial, which drops nothing.
    pub(super) trial: bool,
    workers: usize,
}

impl HolderShare {
    /// Whether the entry at the head of a lane may be leased. An entry that a candidate declined belongs to the serving
    /// generation, whatever its lane; a serving generation that is paused has no lanes and leases nothing.
    pub(super) fn may_lease(&self, lane: usize, front: &LaneHead) -> bool {
        if front.declined { !self.trial && !self.lanes.is_empty() } else { self.lanes.contains(lane) }
    }

    /// How many lanes one batch may draw from, so that some are left to the other workers.
    pub(super) fn max_lanes(&self, lanes: usize) -> usize {
        self.lanes.count(lanes).div_ceil(self.workers).max(1)
    }
}

impl LeaseHolder {
    pub(super) fn new(slot: Arc<SlotShared>, generation: u64, workers: usize) -> Self {
        let lanes = Mutex::new(LaneSet::All);
        let (workers, stopped, trial) = (workers.max(1), AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(HolderInner { slot, generation, workers, stopped, trial, lanes }))
    }

    /// The generation it was created for.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Changes which lanes may be leased from now on; batches that are already leased are not affected.
    pub fn set_lanes(&self, lanes: LaneSet) {
        *self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
        self.0.slot.wake();
    }

    /// Sets whether it belongs to a candidate that is still on trial. A push that is leased to a candidate cannot be
    /// dropped: if the candidate does not accept it, it is offered to the serving generation as if it had never been
    /// offered.
    pub fn set_on_trial(&self, trial: bool) {
        self.0.trial.store(trial, Ordering::SeqCst);
        self.0.slot.wake();
    }

    /// Makes every waiting and every later lease return `None`. Batches that are already leased can still be settled.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.slot.wake();
    }

    /// Whether it was stopped.
    pub fn stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    pub(super) fn belongs_to(&self, slot: &Arc<SlotShared>) -> bool {
        Arc::ptr_eq(&self.0.slot, slot)
    }

    pub(super) fn share(&self) -> HolderShare {
        let lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let trial = self.0.trial.load(Ordering::SeqCst);
        HolderShare { lanes, generation: self.0.generation, trial, workers: self.0.workers }
    }
}
