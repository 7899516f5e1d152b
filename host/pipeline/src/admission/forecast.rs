//! What another configuration would change for the connected clients.
//!
//! In: a proposed configuration. Out: how many clients it affects, and by when they notice. Bounded: clients are read
//! in pages and patterns are matched outside the lock, so that no client waits for an operator's query. It changes
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use super::assignment::{Assignment, Assignments};
use super::instance::ClientInstance;
use super::listing::PAGE;
use super::{Admission, AdmissionConfig};
use crate::push::Client;
use barnabas_base::InstanceId;

/// What a change would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Client instances with an open connection.
    pub clients: usize,
    /// Of those, how many the given subscription matches.
    pub matching: usize,
    /// Of those with an open connection, how many would be assigned something else than now.
    pub changed: usize,
    /// Until the last affected client sends its next request, if it is healthy: Java waits up to one and a half
    /// intervals after GetTelemetrySubscriptions (KIP-714).
    pub settled_within: Duration,
}

/// The facts of a client that the forecast needs.
struct ConnectedClient {
    client: Client,
    id: InstanceId,
    assignment: Arc<Assignment>,
}

impl Admission {
    /// What would happen if `proposed` were the configuration; `name` is the subscription whose matches are counted. A
    /// client that connects or disconnects meanwhile may be counted or not.
    pub fn forecast(&self, proposed: &AdmissionConfig, name: &str) -> Forecast {
        let rule = proposed.subscriptions.iter().find(|rule| rule.name() == name);
        let assignments = Assignments::new(proposed.clone(), 0);
        let mut forecast = Forecast::default();
        let mut from = 0;
        while let Some(page) = self.connected(from) {
            for connected in page {
                forecast.clients += 1;
                forecast.matching += usize::from(rule.is_some_and(|rule| rule.matches(&connected.client)));
                if assignments.assign(&connected.client).subscription_id(connected.id)
                    != connected.assignment.subscription_id(connected.id)
                {
                    forecast.changed += 1;
                    forecast.settled_within = forecast.settled_within.max(connected.assignment.interval.mul_f64(1.5));
                }
            }
            from += PAGE;
        }
        forecast
    }

    /// The clients with an open connection in this page of the table; `None` past its end.
    fn connected(&self, from: u32) -> Option<Vec<ConnectedClient>> {
        let state = self.lock();
        let open = state.table.page(from, PAGE)?.filter(|(instance, _)| !instance.oldest_connection.is_none());
        Some(open.map(|(instance, _)| ConnectedClient::from_instance(instance)).collect())
    }
}

impl ConnectedClient {
    fn from_instance(instance: &ClientInstance) -> Self {
        Self { client: instance.client(), id: instance.id, assignment: instance.assignment.clone() }
    }
}
