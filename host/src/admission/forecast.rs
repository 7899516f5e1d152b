//! What another configuration would mean for the clients that are connected.
//!
//! In: a configuration that is wanted. Out: how many it concerns, and by when they know. Clients are taken from the
//! room in bounded steps and patterns are held against them outside its lock: no client waits for an operator's
//! question. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Answers};
use super::instance::Instance;
use super::looking::STEP;
use super::{Admission, Config};
use crate::push::{Client, InstanceId};

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
    client: Client,
    id: InstanceId,
    answer: Arc<Answer>,
}

impl Admission {
    /// What would happen if `wanted` were the configuration; `name` is the subscription to count matches of. A client
    /// that comes or goes meanwhile may be counted or not.
    pub fn forecast(&self, wanted: &Config, name: &str) -> Forecast {
        let rule = wanted.subscriptions.iter().find(|rule| rule.name() == name);
        let answers = Answers::new(wanted.clone(), 0);
        let mut forecast = Forecast::default();
        let mut from = 0;
        while let Some(step) = self.connected(from) {
            for seen in step {
                forecast.clients += 1;
                forecast.matching += usize::from(rule.is_some_and(|rule| rule.matches(&seen.client)));
                if answers.answer(&seen.client).subscription_id(seen.id) != seen.answer.subscription_id(seen.id) {
                    forecast.changed += 1;
                    forecast.by = forecast.by.max(seen.answer.interval.mul_f64(1.5));
                }
            }
            from += STEP;
        }
        forecast
    }

    /// Those with an open connection at these places of the table; `None` past its end.
    fn connected(&self, from: u32) -> Option<Vec<Seen>> {
        let state = self.lock();
        let open = state.table.step(from, STEP)?.filter(|(instance, _)| !instance.first.is_none());
        Some(open.map(|(instance, _)| Seen::of(instance)).collect())
    }
}

impl Seen {
    fn of(instance: &Instance) -> Self {
        Self { client: instance.client(), id: instance.id, answer: instance.answer.clone() }
    }
}
