//! Events as lines for people.
//!
//! In: events, on the thread that emits them. Out: lines of `tracing`. Bounded: of each kind of trouble (by code, by
//! receiver and cause) at most one line a second, with how many were held back since the line before; text that
//! strangers or guests wrote is cut and cannot break a line. It decides nothing and counts nothing: the metrics are
//! complete, the log is readable. Connections are not here, since the doors know which endings are worth a line.

mod once;
mod sample;
mod words;

use std::sync::Arc;
use std::time::Instant;

use super::{Event, Events, Listening, Payload, Term, Topic};
use crate::plugin::limits::HANDLES_KEPT;
use once::Once;
use sample::{EACH, LASTING, Sampler};
use words::{Line, Who};

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
pub fn listen(events: &Events) -> Listening {
    let log = Log::default();
    events.listen(TOPICS, move |event| log.write(event))
}

#[derive(Debug, Default)]
struct Log {
    sampler: Sampler,
    too_large: Once,
}

impl Log {
    fn write(&self, event: &Event) {
        match &event.payload {
            Payload::SubscriptionAnswered { client, id, prefixes, interval } => {
                tracing::debug!(
                    "told {} to push every {interval:?}: {prefixes} prefixes, subscription {id}",
                    Who(client)
                );
            }
            Payload::PushRefused { .. } => self.refused(&event.payload),
            Payload::ClientGone { client, reason } => tracing::debug!("{} is gone: {reason:?}", Who(client)),
            Payload::LedgerMoved { slot, to, pushes, reason, .. } => self.lost(slot, *to, *pushes, reason.as_deref()),
            Payload::EgressRequest { slot, authority, status, size, duration } => {
                let authority = Line(authority);
                tracing::debug!(plugin = %slot, "request to {authority}: {status}, {size} bytes sent, {duration:?}");
            }
            _ => self.write_receiver(&event.payload),
        }
    }

    fn write_receiver(&self, payload: &Payload) {
        match payload {
            Payload::BatchEnd { slot, pushes, outcome, reason, .. } => {
                self.not_taken(slot, *pushes, outcome, reason.as_deref());
            }
            Payload::PluginPhase { slot, generation, phase, reason } if reason.is_empty() => {
                tracing::info!(plugin = %slot, generation, "{phase}");
            }
            Payload::PluginPhase { slot, generation, phase: phase @ ("failed" | "rolled-back"), reason } => {
                tracing::warn!(plugin = %slot, generation, "{phase}: {}", Line(reason));
            }
            Payload::PluginPhase { slot, generation, phase, reason } => {
                tracing::info!(plugin = %slot, generation, "{phase}: {}", Line(reason));
            }
            Payload::PluginCrash { slot, generation, cause, message, will_restart } => {
                let Some(held_back) = self.may_say(Topic::PluginCrash, Some(slot), cause, 1) else { return };
                let then = if *will_restart { "a fresh one takes its place" } else { "it is not started again" };
                let message = Line(message);
                tracing::error!(plugin = %slot, generation, held_back, "an instance broke ({cause}): {message}; {then}");
            }
            Payload::PluginReplaced { slot, generation, handles } => {
                let Some(held_back) = self.may_repeat(Topic::PluginReplaced, slot) else { return };
                tracing::warn!(
                    plugin = %slot, generation, held_back,
                    "an instance kept {handles} handles after its call and a fresh one takes its place; at most \
                     {HANDLES_KEPT} may be kept: let the receiver drop answers, bodies, streams and pollables that it \
                     does not need any more"
                );
            }
            Payload::EgressBusy { slot, cap, unread } => self.busy(slot, *cap, *unread),
            Payload::PluginMisconfigured { slot, reason } => {
                let Some(held_back) = self.may_say(Topic::PluginMisconfigured, Some(slot), "", 1) else { return };
                tracing::warn!(plugin = %slot, held_back, "the receiver says that it is set up wrongly: {}", Line(reason));
            }
            Payload::PluginRejectedPoints { slot, points, reason } => {
                let Some(held_back) = self.may_say(Topic::PluginRejectedPoints, Some(slot), "", *points) else {
                    return;
                };
                tracing::warn!(plugin = %slot, points, held_back, "the sink discarded points: {}", Line(reason));
            }
            _ => {}
        }
    }

    fn refused(&self, payload: &Payload) {
        let Payload::PushRefused { way_in, client, code, reason, subscribing } = payload else { return };
        if *code == "too_large" {
            return self.too_large(payload);
        }
        let Some(held_back) = self.may_say(Topic::PushRefused, None, code, 1) else { return };
        let (way_in, who, reason) = (way_in.as_str(), Who(client), Line(reason));
        let what = if *subscribing { "question for a subscription" } else { "push" };
        // Part of every healthy client's life: the subscription changed, or it came early.
        if matches!(*code, "unknown_subscription" | "throttled") {
            tracing::debug!(way_in, code, held_back, "{what} of {who} refused: {reason}");
        } else {
            tracing::warn!(way_in, code, held_back, "{what} of {who} refused: {reason}");
        }
    }

    /// Once for each client instance: it does not get smaller by itself, and many clients push on.
    fn too_large(&self, payload: &Payload) {
        let Payload::PushRefused { way_in, client, code, reason, .. } = payload else { return };
        if client.instance_id.is_some_and(|id| self.too_large.was_said(id)) {
            return;
        }
        let Some(held_back) = self.may_say(Topic::PushRefused, None, code, 1) else { return };
        if let Some(id) = client.instance_id {
            self.too_large.say(id);
        }
        let (way_in, who, reason) = (way_in.as_str(), Who(client), Line(reason));
        tracing::warn!(
            way_in,
            code,
            held_back,
            "push of {who} refused: {reason}; ask it for fewer metrics by a narrower subscription, or raise \
             `limits.push-bytes` or `limits.decompressed-bytes`"
        );
    }

    fn lost(&self, slot: &Arc<str>, to: Term, pushes: usize, reason: Option<&str>) {
        let (what, cause) = match to {
            Term::DeadLettered(cause) => ("given up as dead letters", cause),
            Term::Shed(cause) => ("let go", cause),
            Term::Queued | Term::InFlight | Term::Delivered => return,
        };
        let Some(held_back) = self.may_say(Topic::LedgerMoved, Some(slot), cause, pushes as u64) else { return };
        let why = reason.map(|reason| format!(": {}", Line(reason))).unwrap_or_default();
        tracing::warn!(plugin = %slot, cause, pushes, held_back, "pushes were {what}{why}");
    }

    fn busy(&self, slot: &Arc<str>, cap: usize, unread: usize) {
        let Some(held_back) = self.may_repeat(Topic::EgressBusy, slot) else { return };
        let (why, remedy) = match unread {
            0 => ("their destinations do not answer".to_owned(), "see to the destinations"),
            unread => (
                format!("the receiver does not finish {unread} of them, which are answered"),
                "let it read each answer to its end, or drop it",
            ),
        };
        tracing::warn!(
            plugin = %slot, held_back,
            "{cap} requests are under way, as many as `limits.requests` allows, and another one was refused: {why}; \
             {remedy}, or raise `limits.requests` in the plugin's manifest"
        );
    }

    /// Halving and partial answers are ordinary work, and a broken instance is told by its crash.
    fn not_taken(&self, slot: &Arc<str>, pushes: usize, outcome: &'static str, reason: Option<&str>) {
        if !matches!(outcome, "unavailable" | "other") {
            return;
        }
        let Some(held_back) = self.may_say(Topic::BatchEnd, Some(slot), outcome, 1) else { return };
        let why = Line(reason.unwrap_or("it gave no reason"));
        tracing::warn!(
            plugin = %slot, outcome, pushes, held_back,
            "a batch was not taken and will be offered again: {why}"
        );
    }

    fn may_say(&self, topic: Topic, slot: Option<&Arc<str>>, cause: &'static str, weight: u64) -> Option<u64> {
        self.sampler.may_say((topic, slot.cloned(), cause), weight, Instant::now(), EACH)
    }

    /// Of what goes on until somebody changes something.
    fn may_repeat(&self, topic: Topic, slot: &Arc<str>) -> Option<u64> {
        self.sampler.may_say((topic, Some(slot.clone()), ""), 1, Instant::now(), LASTING)
    }
}

#[cfg(test)]
mod tests;
