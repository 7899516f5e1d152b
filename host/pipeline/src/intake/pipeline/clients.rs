//! What admission and the catalogue know of clients, combined.

use std::time::SystemTime;

use super::IntakePipeline;
use crate::clients::{self, ClientDescription, ClientFilter, ClientList};
use crate::decode::Payload;
use barnabas_base::InstanceId;

impl IntakePipeline {
    /// The matching clients, the most recently active first.
    pub fn clients(&self, filter: &ClientFilter) -> ClientList {
        clients::list(&self.admission, &self.catalogue, filter, SystemTime::now())
    }

    /// Everything about one client; `None` if it is not known (any more).
    pub fn client(&self, id: InstanceId) -> Option<ClientDescription> {
        clients::describe(&self.admission, &self.catalogue, id, SystemTime::now())
    }

    /// Only subscribed clients have an interval, and only those are known to admission.
    pub(super) fn sample_metrics(&self, payload: &Payload, subscription: Option<i32>) {
        if let (Some(id), Some(_)) = (payload.client().instance_id, payload.push_interval()) {
            let subscription = subscription.unwrap_or_default();
            self.catalogue.record_push(id, subscription, payload.bytes(), payload.received_at());
        }
    }
}
