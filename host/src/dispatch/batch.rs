//! What a worker is lent.

use std::sync::Arc;

use crate::decode::Payload;
use crate::push::Departed;

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
#[derive(Debug)]
pub struct Batch {
    deliveries: Vec<Delivery>,
    gone: Vec<Departed>,
}

impl Batch {
    /// The pushes, those of one client in the order of their arrival.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Clients that are gone.
    pub fn gone(&self) -> &[Departed] {
        &self.gone
    }
}
