//! Who leases: the workers of one generation, and which lanes they may lease.

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
    /// These alone: a canary's share.
    Only(BTreeSet<usize>),
    /// Every lane but these: what a canary leaves to the serving generation.
    Except(BTreeSet<usize>),
}

impl LaneSet {
    /// Whether the lane belongs to it.
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

/// A generation's right to lease from a slot, shared by its workers. Made by [`Slot::holder`](super::Slot::holder);
/// several may be open at once: lanes that are in the sets of two go to whoever comes first.
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

/// What a draw needs to know of a holder.
pub(super) struct HolderShare {
    pub(super) lanes: LaneSet,
    pub(super) generation: u64,
    /// A candidate, which gives nothing up.
    pub(super) trial: bool,
    workers: usize,
}

impl HolderShare {
    /// Whether the entry in front of a lane may be leased. What a candidate declined is the serving generation's, in
    /// whichever lane it stands; a serving generation that is paused has no lanes, and takes nothing.
    pub(super) fn may_lease(&self, lane: usize, front: &LaneHead) -> bool {
        if front.declined { !self.trial && !self.lanes.is_empty() } else { self.lanes.contains(lane) }
    }

    /// How many lanes one batch may draw from, so that the other workers find some.
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

    /// The generation it was made for.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Changes which lanes may be leased from now on; batches that are out are not touched.
    pub fn set_lanes(&self, lanes: LaneSet) {
        *self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
        self.0.slot.wake();
    }

    /// Whether it belongs to a candidate that is still on trial. Nothing that a candidate is lent from now on can become
    /// a dead letter: what it does not take is offered to the serving generation, as if it had never been offered.
    pub fn set_on_trial(&self, trial: bool) {
        self.0.trial.store(trial, Ordering::SeqCst);
        self.0.slot.wake();
    }

    /// Ends every lease that waits and every later one with `None`. Batches that are out can still be settled.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.slot.wake();
    }

    /// Whether it was told to stop.
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
