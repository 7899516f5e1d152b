//! What another configuration would mean for the clients that are connected.
//!
//! In: a configuration that is wanted. Out: how many it concerns, and by when they know. Clients are taken from the
//! room in bounded steps and patterns are held against them outside its lock: no client waits for an operator's
//! question. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answers;
use super::instance::Instance;
use super::{Admission, Config};
use crate::push::Client;

/// What a change would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Client instances with an open connection.
    pub clients: usize,
    /// Of those, how many the subscription in question matches.
    pub matching: usize,
    /// Of those with an open connection, how many would be told something else than now.
    pub changed: usize,
    /// Until the last of the changed asks or pushes again, if it is well: Java waits up to one and a half intervals
    /// after its question for a subscription (KIP-714).
    pub by: Duration,
}

/// What of a client the forecast needs.
struct Seen {
    client: Arc<Client>,
    subscription_id: i32,
    interval: Duration,
}

impl Admission {
    /// What would happen if `wanted` were the configuration; `name` is the subscription to count matches of.
    pub fn forecast(&self, wanted: &Config, name: &str) -> Forecast {
        let rule = wanted.subscriptions.iter().find(|rule| rule.name() == name);
        let mut answers = Answers::new(wanted.clone());
        let mut forecast = Forecast::default();
        for seen in self.connected() {
            forecast.clients += 1;
            forecast.matching += usize::from(rule.is_some_and(|rule| rule.matches(&seen.client)));
            if answers.subscription_id(&seen.client) != seen.subscription_id {
                forecast.changed += 1;
                forecast.by = forecast.by.max(seen.interval.mul_f64(1.5));
            }
        }
        forecast
    }

    /// Those with an open connection.
    fn connected(&self) -> Vec<Seen> {
        self.lock().table.recent(usize::MAX).filter_map(Seen::connected).collect()
    }
}

impl Seen {
    fn connected(instance: &Instance) -> Option<Self> {
        let (subscription_id, interval) = (instance.subscription_id, instance.interval);
        let open = !instance.connections.is_empty();
        open.then(|| Self { client: instance.client().clone(), subscription_id, interval })
    }
}
