//! Pushes that are too long to be read, and refused by their door.
//!
//! In: who sent how much, as far as the door saw it. Out: nothing, for the door's answer is known. They count like the
//! pushes that were read: else they would be the way around every quota, and a client that sends nothing else would be
//! forgotten while it talks.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::quota::RequestCost;
use super::{Admission, Refusal};
use crate::push::{Client, ConnectionId};

impl Admission {
    /// Charges a push of `len` bytes that was refused as too large, notes that, and re-arms its client's TTL. A client
    /// that is not known is made as for any push, if its quota allows it; without an instance id (or with a reserved
    /// one) only connection and source are charged. What is over quota is noted as that.
    pub fn charge_oversized_push(
        &self,
        client: &Arc<Client>,
        connection: ConnectionId,
        len: usize,
        now: Instant,
        wall: SystemTime,
    ) {
        let cost = RequestCost { pushes: 1, push_bytes: len as u64, ..RequestCost::default() };
        let mut state = self.lock();
        let mut request = state.new_request(client, connection, now, wall);
        let Some(id) = client.instance_id.filter(|id| !id.is_reserved()) else {
            // Over quota or not, the answer is the same.
            let _ = state.charge(&request, cost);
            return;
        };
        // Nothing tells that it was known before, so it is charged as new.
        let new = RequestCost { new_clients: u64::from(state.table.find(id).is_none()), ..RequestCost::default() };
        if state.charge(&request, new).is_err() {
            return;
        }
        if let Ok(mut locked) = self.resolve_client(state, &mut request, Some(id), cost) {
            locked.instance().record_early_refusal(true, &Refusal::TooLarge(String::new()));
        }
    }
}
