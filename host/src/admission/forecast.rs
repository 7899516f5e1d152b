//! What a change of subscriptions will do, told before it is made.

use std::time::Duration;

use super::SubscriptionRule;
use super::answer::Answers;
use super::instance::Instance;

/// How a change meets the clients that are connected now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// With an open connection.
    pub clients: usize,
    /// Of those, the ones that the subscription matches.
    pub matching: usize,
    /// Of those that are connected, the ones that are told something else than now.
    pub changed: usize,
    /// Until when the last of those has asked again: its push interval.
    pub by: Duration,
}

impl Forecast {
    /// Counts one connected client.
    pub(super) fn count(&mut self, instance: &Instance, rule: Option<&SubscriptionRule>, answers: &mut Answers) {
        self.clients += 1;
        self.matching += usize::from(rule.is_some_and(|rule| instance.is_matched_by(rule)));
        if instance.would_change(answers) {
            self.changed += 1;
            self.by = self.by.max(instance.interval);
        }
    }
}
