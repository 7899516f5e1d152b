//! What admission and the catalogue know of clients, together.

use std::time::SystemTime;

use super::Reception;
use crate::clients::{self, Description, Filter, List};
use crate::decode::Payload;
use crate::push::InstanceId;

impl Reception {
    /// The clients that are meant, those heard of last first.
    pub fn clients(&self, filter: &Filter) -> List {
        clients::list(&self.admission, &self.catalogue, filter, SystemTime::now())
    }

    /// Everything about one client; `None` if it is not known (any more).
    pub fn client(&self, id: InstanceId) -> Option<Description> {
        clients::describe(&self.admission, &self.catalogue, id, SystemTime::now())
    }

    /// Only subscribed clients have an interval, and only those are known to admission.
    pub(super) fn look_at(&self, payload: &Payload, subscription: Option<i32>) {
        if let (Some(id), Some(_)) = (payload.client().instance_id, payload.push_interval()) {
            let subscription = subscription.unwrap_or_default();
            self.catalogue.pushed(id, subscription, payload.bytes(), payload.received_at());
        }
    }
}
