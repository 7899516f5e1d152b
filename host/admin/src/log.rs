//! Writes events to the log.
//!
//! In: events, on the thread that emits them. Out: `tracing` lines. Bounded: for each kind of problem (by code, by
//! receiver and cause) at most one line a second, with the number suppressed since the previous line; text from clients
//! or guests is truncated and cannot break a line. Never: decides or counts anything; the metrics are complete, the log
//! is readable. Connections are not logged here, because the listeners know which of their ends deserve a line.

mod display;
mod reported;
mod sample;

use std::sync::Arc;
use std::time::Instant;

use barnabas_pipeline::event::{Event, EventData, Events, LedgerTerm, ListenerGuard, Topic};
use barnabas_runtime::limits::MAX_RETAINED_HANDLES;
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

/// Writes log lines until the returned guard is dropped.
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
                    "{} subscribed: {prefixes} metric prefixes, push interval {interval:?}, subscription id {id}",
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

    fn write_receiver(&self, data: &EventData) {
        match data {
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
                let then =
                    if *will_restart { "it will be replaced by a fresh instance" } else { "it will not be restarted" };
                let message = OneLine(message);
                tracing::error!(
                    plugin = %slot, generation, suppressed,
                    "an instance failed ({cause}): {message}; {then}"
                );
            }
            EventData::PluginReplaced { slot, generation, handles } => {
                let Some(suppressed) = self.admit_lasting(Topic::PluginReplaced, slot) else { return };
                tracing::warn!(
                    plugin = %slot, generation, suppressed,
                    "an instance held {handles} handles after its call and is replaced by a fresh one; at most \
                     {MAX_RETAINED_HANDLES} are allowed: make the receiver drop responses, bodies, streams and pollables \
                     that it no longer needs"
                );
            }
            EventData::EgressBusy { slot, cap, unread } => self.log_egress_busy(slot, *cap, *unread),
            EventData::PluginMisconfigured { slot, reason } => {
                let Some(suppressed) = self.admit(Topic::PluginMisconfigured, Some(slot), "", 1) else { return };
                let reason = OneLine(reason);
                tracing::warn!(plugin = %slot, suppressed, "the receiver reports that it is misconfigured: {reason}");
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

    fn log_refused(&self, data: &EventData) {
        let EventData::PushRefused { ingress, client, code, reason, subscribing } = data else { return };
        if *code == "too_large" {
            return self.log_too_large(data);
        }
        let Some(suppressed) = self.admit(Topic::PushRefused, None, code, 1) else { return };
        let (ingress, client, reason) = (ingress.as_str(), ClientLabel(client), OneLine(reason));
        let what = if *subscribing { "subscription request" } else { "push" };
        // A healthy client runs into these: its subscription changed, or it sent a request early.
        if matches!(*code, "unknown_subscription" | "throttled") {
            tracing::debug!(ingress, code, suppressed, "{what} of {client} refused: {reason}");
        } else {
            tracing::warn!(ingress, code, suppressed, "{what} of {client} refused: {reason}");
        }
    }

    /// Once for each client instance: its pushes do not get smaller by themselves, and many clients keep sending them.
    fn log_too_large(&self, data: &EventData) {
        let EventData::PushRefused { ingress, client, code, reason, .. } = data else { return };
        if client.instance_id.is_some_and(|id| self.reported_too_large.contains(id)) {
            return;
        }
        let Some(suppressed) = self.admit(Topic::PushRefused, None, code, 1) else { return };
        if let Some(id) = client.instance_id {
            self.reported_too_large.insert(id);
        }
        let (ingress, client, reason) = (ingress.as_str(), ClientLabel(client), OneLine(reason));
        tracing::warn!(
            ingress,
            code,
            suppressed,
            "push of {client} refused: {reason}; request fewer metrics by a narrower subscription, or raise \
             `limits.push-bytes` or `limits.decompressed-bytes`"
        );
    }

    fn log_lost(&self, slot: &Arc<str>, to: LedgerTerm, pushes: usize, reason: Option<&str>) {
        let (what, cause) = match to {
            LedgerTerm::Dropped(cause) => ("dropped", cause),
            LedgerTerm::Shed(cause) => ("shed", cause),
            LedgerTerm::Queued | LedgerTerm::InFlight | LedgerTerm::Delivered => return,
        };
        let Some(suppressed) = self.admit(Topic::LedgerMoved, Some(slot), cause, pushes as u64) else { return };
        let why = reason.map(|reason| format!(": {}", OneLine(reason))).unwrap_or_default();
        tracing::warn!(plugin = %slot, cause, pushes, suppressed, "pushes were {what}{why}");
    }

    fn log_egress_busy(&self, slot: &Arc<str>, cap: usize, unread: usize) {
        let Some(suppressed) = self.admit_lasting(Topic::EgressBusy, slot) else { return };
        let (why, remedy) = match unread {
            0 => ("their destinations do not respond".to_owned(), "check the destinations"),
            unread => (
                format!("{unread} of them have a response that the receiver does not read to its end"),
                "make it read each response to its end, or drop it",
            ),
        };
        tracing::warn!(
            plugin = %slot, suppressed,
            "{cap} requests are in progress, as many as `limits.requests` allows, and another one was refused: {why}; \
             {remedy}, or raise `limits.requests` in the plugin's manifest"
        );
    }

    /// Halving and partial results are normal operation, and a failed instance is logged by its crash.
    fn log_failed_batch(&self, slot: &Arc<str>, pushes: usize, outcome: &'static str, reason: Option<&str>) {
        if !matches!(outcome, "unavailable" | "other") {
            return;
        }
        let Some(suppressed) = self.admit(Topic::BatchEnd, Some(slot), outcome, 1) else { return };
        let why = OneLine(reason.unwrap_or("no reason given"));
        tracing::warn!(
            plugin = %slot, outcome, pushes, suppressed,
            "a batch failed and will be retried: {why}"
        );
    }

    fn admit(&self, topic: Topic, slot: Option<&Arc<str>>, cause: &'static str, weight: u64) -> Option<u64> {
        self.sampler.admit((topic, slot.cloned(), cause), weight, Instant::now(), INTERVAL)
    }

    /// For conditions that last until an operator changes something.
    fn admit_lasting(&self, topic: Topic, slot: &Arc<str>) -> Option<u64> {
        self.sampler.admit((topic, Some(slot.clone()), ""), 1, Instant::now(), LASTING_INTERVAL)
    }
}

#[cfg(test)]
mod tests;
