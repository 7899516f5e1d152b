//! From a checked payload to the queue of each receiver that wants it, and from there in batches to its workers.
//!
//! In: [`Payload`]. Out: [`LeasedBatch`], which only this module can create and which is settled exactly once. Bounded:
//! every queue, in bytes and in pushes. Never: waits for a receiver. Every push is in exactly one term of each slot's
//! ledger.

mod batch;
mod config;
mod draw;
mod holder;
mod key;
mod lane;
pub mod ledger;
mod outcome;
mod queue;
pub(crate) mod recent;
mod slot;
mod verdict;
mod wants;

#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

pub use batch::{Delivery, LeasedBatch, Settlement};
pub use config::{Backoff, SlotConfig};
pub use holder::{LaneSet, LeaseHolder};
pub use ledger::{Ledger, PushTally};
pub use outcome::{Fault, Outcome};
pub use recent::{RecentConfig, RecentStore};
pub use slot::{Slot, SlotSnapshot};
pub use wants::Wants;

use crate::decode::Payload;
use crate::event::Events;
use crate::intake::Receipt;
use crate::push::DepartedClient;

/// Handle to all slots. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch(Arc<DispatchInner>);

struct DispatchInner {
    /// Replaced as a whole, so that a push iterates over the slots without holding the lock.
    slots: RwLock<Arc<[Slot]>>,
    recent: RecentStore,
    events: Events,
}

/// A slot with that name exists already.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot `{0}` is already open: close it first, or use another name")]
pub struct SlotAlreadyOpen(pub Arc<str>);

impl Dispatch {
    /// Without slots.
    pub fn new(events: Events) -> Self {
        Self::with_recent(RecentStore::default(), events)
    }

    /// Without slots; a sample of the pushes is stored for trials.
    pub fn with_recent(recent: RecentStore, events: Events) -> Self {
        Self(Arc::new(DispatchInner { slots: RwLock::default(), recent, events }))
    }

    /// The pushes that are stored for trials.
    pub fn recent(&self) -> &RecentStore {
        &self.0.recent
    }

    /// Opens a slot: from now on it is offered every push that it wants.
    pub fn open(&self, name: &str, config: SlotConfig) -> Result<Slot, SlotAlreadyOpen> {
        let mut slots = self.0.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.iter().find(|slot| **slot.name() == *name) {
            return Err(SlotAlreadyOpen(slot.name().clone()));
        }
        let slot = Slot::new(name.into(), config, self.0.events.clone());
        *slots = slots.iter().chain([&slot]).cloned().collect();
        Ok(slot)
    }

    /// Closes a slot: what it has queued is shed (`removed`), what is in flight may still be settled. Returns the slot,
    /// for its final ledger; `None` if there is none with that name.
    pub fn close(&self, name: &str) -> Option<Slot> {
        let closed = {
            let mut slots = self.0.slots.write().unwrap_or_else(PoisonError::into_inner);
            let closed = slots.iter().find(|slot| **slot.name() == *name).cloned()?;
            *slots = slots.iter().filter(|slot| **slot.name() != *name).cloned().collect();
            closed
        };
        closed.close();
        Some(closed)
    }

    /// Closes every slot, whether it was drained or still holds pushes.
    pub fn close_all(&self) {
        let slots = std::mem::take(&mut *self.0.slots.write().unwrap_or_else(PoisonError::into_inner));
        slots.iter().for_each(Slot::close);
    }

    /// The open slots, in the order of opening.
    pub fn slots(&self) -> Arc<[Slot]> {
        self.0.slots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The open slot with that name.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.slots().iter().find(|slot| **slot.name() == *name).cloned()
    }

    /// Whether any slot is open, whatever its health.
    pub fn has_slots(&self) -> bool {
        !self.slots().is_empty()
    }

    /// Puts a push into the queue of each slot that wants it, or counts it there as shed. Never waits.
    pub fn dispatch(&self, payload: Payload) -> Receipt {
        let slots = self.slots();
        // All slots that want the push are known before the first is offered it: a reservation in each of them would go
        // here.
        let wanting: Vec<&Slot> = slots.iter().filter(|slot| slot.wants(&payload)).collect();
        let payload = Arc::new(payload);
        self.0.recent.record(&payload);
        match wanting.into_iter().filter(|slot| slot.offer(payload.clone())).count() {
            0 => Receipt::Unwanted,
            taken => Receipt::Accepted(taken),
        }
    }

    /// Notifies each slot that wants the client's pushes that there will be no more of them.
    pub fn notify_gone(&self, departed: DepartedClient) {
        self.slots().iter().for_each(|slot| slot.notify_gone(departed.clone()));
    }
}
