//! Pushes that are too large to be read and are refused by their listener.
//!
//! In: the sender and the size, as far as the listener knows them. Out: nothing, because the listener's response is
//! already decided. They count like pushes that were read: otherwise they would bypass every quota, and a client that
//! sends nothing else would expire while it is active.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::quota::RequestCost;
use super::{Admission, Refusal};
use crate::push::{Client, ConnectionId};

impl Admission {
    /// Charges a push of `len` bytes that was refused as too large, records the refusal, and renews its client's TTL.
    /// An unknown client is inserted as for any push, if its quota allows; without an instance id (or with a reserved
    /// one) only connection and source are charged. A push that is over quota is recorded as such.
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
            // Over quota or not, the response is the same.
            let _ = state.charge(&request, cost);
            return;
        };
        // Nothing shows that it was known before, so it is charged as new.
        let new = RequestCost { new_clients: u64::from(state.table.find(id).is_none()), ..RequestCost::default() };
        if state.charge(&request, new).is_err() {
            return;
        }
        if let Ok(mut locked) = self.resolve_client(state, &mut request, Some(id), cost) {
            locked.instance().record_early_refusal(true, &Refusal::TooLarge(String::new()));
        }
    }
}
