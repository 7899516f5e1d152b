//! Events as lines for people.
//!
//! In: events, on the thread that emits them. Out: lines of `tracing`. Bounded: of each kind of trouble (by code, by
//! receiver and cause) at most one line a second, with how many were held back since the line before; text that
//! strangers or guests wrote is cut and cannot break a line. It decides nothing and counts nothing: the metrics are
//! complete, the log is readable. Connections are not here, since the doors know which endings are worth a line.

mod display;
mod reported;
mod sample;

use std::sync::Arc;
use std::time::Instant;

use super::{Event, EventData, Events, LedgerTerm, ListenerGuard, Topic};
use crate::plugin::limits::HANDLES_KEPT;
use display::{ClientLabel, OneLine};
use reported::ReportedClients;
use sample::{INTERVAL, LASTING_INTERVAL, Sampler};

const TOPICS: &[Topic] = &[
    Topic::SubscriptionAnswered,
    Topic::PushRefused,
    Topic::ClientGone,
    Topic::LedgerMoved,
    Topic::BatchEnd,
    Topic::PluginPhase,
    Topic::PluginCrash,
    Topic::PluginReplaced,
    Topic::PluginMisconfigured,
    Topic::PluginRejectedPoints,
    Topic::EgressRequest,
    Topic::EgressBusy,
];

/// Writes until the returned value is dropped.
pub fn listen(events: &Events) -> ListenerGuard {
    let log = EventLog::default();
    events.listen(TOPICS, move |event| log.write(event))
}

#[derive(Debug, Default)]
struct EventLog {
    sampler: Sampler,
    reported_too_large: ReportedClients,
}

impl EventLog {
    fn write(&self, event: &Event) {
        match &event.data {
            EventData::SubscriptionAnswered { client, id, prefixes, interval } => {
                tracing::debug!(
                    "told {} to push every {interval:?}: {prefixes} prefixes, subscription {id}",
                    ClientLabel(client)
                );
            }
            EventData::PushRefused { .. } => self.log_refused(&event.data),
            EventData::ClientGone { client, reason } => tracing::debug!("{} is gone: {reason:?}", ClientLabel(client)),
            EventData::LedgerMoved { slot, to, pushes, reason, .. } => {
                self.log_lost(slot, *to, *pushes, reason.as_deref())
            }
            EventData::EgressRequest { slot, authority, status, size, duration } => {
                let authority = OneLine(authority);
                tracing::debug!(plugin = %slot, "request to {authority}: {status}, {size} bytes sent, {duration:?}");
            }
            _ => self.write_receiver(&event.data),
        }
    }

    fn write_receiver(&self, payload: &EventData) {
        match payload {
            EventData::BatchEnd { slot, pushes, outcome, reason, .. } => {
                self.log_failed_batch(slot, *pushes, outcome, reason.as_deref());
            }
            EventData::PluginPhase { slot, generation, phase, reason } if reason.is_empty() => {
                tracing::info!(plugin = %slot, generation, "{phase}");
            }
            EventData::PluginPhase { slot, generation, phase: phase @ ("failed" | "rolled-back"), reason } => {
                tracing::warn!(plugin = %slot, generation, "{phase}: {}", OneLine(reason));
            }
            EventData::PluginPhase { slot, generation, phase, reason } => {
                tracing::info!(plugin = %slot, generation, "{phase}: {}", OneLine(reason));
            }
            EventData::PluginCrash { slot, generation, cause, message, will_restart } => {
                let Some(suppressed) = self.admit(Topic::PluginCrash, Some(slot), cause, 1) else { return };
                let then = if *will_restart { "a fresh one takes its place" } else { "it is not started again" };
                let message = OneLine(message);
                tracing::error!(plugin = %slot, generation, suppressed, "an instance broke ({cause}): {message}; {then}");
            }
            EventData::PluginReplaced { slot, generation, handles } => {
                let Some(suppressed) = self.admit_lasting(Topic::PluginReplaced, slot) else { return };
                tracing::warn!(
                    plugin = %slot, generation, suppressed,
                    "an instance kept {handles} handles after its call and a fresh one takes its place; at most \
                     {HANDLES_KEPT} may be kept: let the receiver drop answers, bodies, streams and pollables that it \
                     does not need any more"
                );
            }
            EventData::EgressBusy { slot, cap, unread } => self.log_egress_busy(slot, *cap, *unread),
            EventData::PluginMisconfigured { slot, reason } => {
                let Some(suppressed) = self.admit(Topic::PluginMisconfigured, Some(slot), "", 1) else { return };
                tracing::warn!(plugin = %slot, suppressed, "the receiver says that it is set up wrongly: {}", OneLine(reason));
            }
            EventData::PluginRejectedPoints { slot, points, reason } => {
                let Some(suppressed) = self.admit(Topic::PluginRejectedPoints, Some(slot), "", *points) else {
                    return;
                };
                tracing::warn!(plugin = %slot, points, suppressed, "the sink discarded points: {}", OneLine(reason));
            }
            _ => {}
        }
    }

    fn log_refused(&self, payload: &EventData) {
        let EventData::PushRefused { ingress, client, code, reason, subscribing } = payload else { return };
        if *code == "too_large" {
            return self.log_too_large(payload);
        }
        let Some(suppressed) = self.admit(Topic::PushRefused, None, code, 1) else { return };
        let (ingress, who, reason) = (ingress.as_str(), ClientLabel(client), OneLine(reason));
        let what = if *subscribing { "question for a subscription" } else { "push" };
        // Part of every healthy client's life: the subscription changed, or it came early.
        if matches!(*code, "unknown_subscription" | "throttled") {
            tracing::debug!(ingress, code, suppressed, "{what} of {who} refused: {reason}");
        } else {
            tracing::warn!(ingress, code, suppressed, "{what} of {who} refused: {reason}");
        }
    }

    /// Once for each client instance: it does not get smaller by itself, and many clients push on.
    fn log_too_large(&self, payload: &EventData) {
        let EventData::PushRefused { ingress, client, code, reason, .. } = payload else { return };
        if client.instance_id.is_some_and(|id| self.reported_too_large.contains(id)) {
            return;
        }
        let Some(suppressed) = self.admit(Topic::PushRefused, None, code, 1) else { return };
        if let Some(id) = client.instance_id {
            self.reported_too_large.insert(id);
        }
        let (ingress, who, reason) = (ingress.as_str(), ClientLabel(client), OneLine(reason));
        tracing::warn!(
            ingress,
            code,
            suppressed,
            "push of {who} refused: {reason}; ask it for fewer metrics by a narrower subscription, or raise \
             `limits.push-bytes` or `limits.decompressed-bytes`"
        );
    }

    fn log_lost(&self, slot: &Arc<str>, to: LedgerTerm, pushes: usize, reason: Option<&str>) {
        let (what, cause) = match to {
            LedgerTerm::Dropped(cause) => ("given up as dead letters", cause),
            LedgerTerm::Shed(cause) => ("let go", cause),
            LedgerTerm::Queued | LedgerTerm::InFlight | LedgerTerm::Delivered => return,
        };
        let Some(suppressed) = self.admit(Topic::LedgerMoved, Some(slot), cause, pushes as u64) else { return };
        let why = reason.map(|reason| format!(": {}", OneLine(reason))).unwrap_or_default();
        tracing::warn!(plugin = %slot, cause, pushes, suppressed, "pushes were {what}{why}");
    }

    fn log_egress_busy(&self, slot: &Arc<str>, cap: usize, unread: usize) {
        let Some(suppressed) = self.admit_lasting(Topic::EgressBusy, slot) else { return };
        let (why, remedy) = match unread {
            0 => ("their destinations do not answer".to_owned(), "see to the destinations"),
            unread => (
                format!("the receiver does not finish {unread} of them, which are answered"),
                "let it read each answer to its end, or drop it",
            ),
        };
        tracing::warn!(
            plugin = %slot, suppressed,
            "{cap} requests are under way, as many as `limits.requests` allows, and another one was refused: {why}; \
             {remedy}, or raise `limits.requests` in the plugin's manifest"
        );
    }

    /// Halving and partial answers are ordinary work, and a broken instance is told by its crash.
    fn log_failed_batch(&self, slot: &Arc<str>, pushes: usize, outcome: &'static str, reason: Option<&str>) {
        if !matches!(outcome, "unavailable" | "other") {
            return;
        }
        let Some(suppressed) = self.admit(Topic::BatchEnd, Some(slot), outcome, 1) else { return };
        let why = OneLine(reason.unwrap_or("it gave no reason"));
        tracing::warn!(
            plugin = %slot, outcome, pushes, suppressed,
            "a batch was not taken and will be offered again: {why}"
        );
    }

    fn admit(&self, topic: Topic, slot: Option<&Arc<str>>, cause: &'static str, weight: u64) -> Option<u64> {
        self.sampler.admit((topic, slot.cloned(), cause), weight, Instant::now(), INTERVAL)
    }

    /// Of what goes on until somebody changes something.
    fn admit_lasting(&self, topic: Topic, slot: &Arc<str>) -> Option<u64> {
        self.sampler.admit((topic, Some(slot.clone()), ""), 1, Instant::now(), LASTING_INTERVAL)
    }
}

#[cfg(test)]
mod tests;
