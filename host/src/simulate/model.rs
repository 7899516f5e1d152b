//! What real clients do with their telemetry, as state machines: when they ask, when they push, what silences them.
//!
//! In: what happened to a client, and when. Out: what it sends next, and when. Bounded by one subscription each. Knows
//! no socket and reads no clock: time is a [`Duration`] since the model's start, and jitter comes from a seed. Every
//! kind was held against recordings of the real client (`tests/traces`); what they are known to do wrong is in here.
//!
//! A driver asks [`Model::next`] what to do and when, sends it, says so with [`Model::sent`], and brings the answer. A
//! model has one connection at a time: a real client that opens a second one behaves no differently.

mod jitter;
mod kind;
mod reaction;
mod selector;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::push::{Codec, InstanceId};
use jitter::Jitter;
use reaction::Reaction;

pub use kind::ClientKind;

/// Why a client whose application closed it says no more.
const CLOSED: &str = "its application closed it";
/// Java cannot do without an id, and waits for ever once it was given none.
const NO_ID: &str = "it was given the nil instance id";
/// Java looks once since KAFKA-19747.
const NOT_OFFERED: &str = "its node did not offer telemetry";

/// A request that a client wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryRequest {
    /// GetTelemetrySubscriptions.
    Get {
        /// [`InstanceId::NIL`] until it was given one.
        instance: InstanceId,
    },
    /// PushTelemetry.
    Push {
        /// The id it was given.
        instance: InstanceId,
        /// Of the subscription that it was told last.
        subscription_id: i32,
        /// Its last words.
        terminating: bool,
    },
}

/// A subscription, as a client was told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSubscription {
    /// The client's id from now on.
    pub instance: InstanceId,
    /// Goes into every push.
    pub subscription_id: i32,
    /// Kafka's numbers of compression types, in order of preference.
    pub codecs: Vec<i8>,
    /// Between pushes.
    pub interval: Duration,
    /// Prefixes of names.
    pub metrics: Vec<String>,
    /// Sums as changes since the push before.
    pub delta: bool,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Model {
    kind: ClientKind,
    jitter: Jitter,
    subscription: Option<ModelSubscription>,
    link: Option<NodeConnection>,
    /// What it means to send next, and not before when.
    step: PlannedRequest,
    due: Duration,
    /// What was sent and has no answer yet.
    flight: Option<PlannedRequest>,
    silent: Option<&'static str>,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
struct NodeConnection {
    since: Duration,
    offers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlannedRequest {
    Get,
    Push,
    /// The terminating push.
    TerminatingPush,
}

impl Model {
    /// A client that was just made and has no connection. The same seed gives the same jitter.
    pub fn new(kind: ClientKind, seed: u64) -> Self {
        Self::with_jitter(kind, Jitter::new(seed))
    }

    fn with_jitter(kind: ClientKind, dice: Jitter) -> Self {
        let (step, due) = (PlannedRequest::Get, Duration::ZERO);
        Self { kind, jitter: dice, subscription: None, link: None, step, due, flight: None, silent: None }
    }

    /// Which client it is.
    pub fn kind(&self) -> ClientKind {
        self.kind
    }

    /// A connection is up, and ApiVersions said whether keys 71 and 72 are there. One that was up before is gone.
    pub fn connected(&mut self, now: Duration, offers_telemetry: bool) {
        if self.flight.is_some() {
            self.disconnected(now);
        }
        self.catch_up(now);
        self.link = Some(NodeConnection { since: now, offers: offers_telemetry });
        self.catch_up(now);
    }

    /// What it will send and the earliest moment for it. `None`: nothing is planned, since it is silent, or waits for an
    /// answer, or has no connection on which it could.
    pub fn next(&self) -> Option<(Duration, TelemetryRequest)> {
        let link = self.link.filter(|link| link.offers)?;
        if self.silent.is_some() || self.flight.is_some() {
            return None;
        }
        Some((self.due.max(link.since), self.request()?))
    }

    /// What was planned went out.
    pub fn sent(&mut self, _now: Duration) {
        if self.next().is_none() {
            return;
        }
        self.flight = Some(self.step);
        if self.step == PlannedRequest::TerminatingPush {
            self.silent = Some(CLOSED);
        }
    }

    /// A GetTelemetrySubscriptions was answered, with a subscription or an error code.
    pub fn answered_get(&mut self, now: Duration, answer: Result<ModelSubscription, i16>) {
        if self.flight != Some(PlannedRequest::Get) {
            return;
        }
        self.flight = None;
        match answer {
            Ok(told) => self.apply_subscription(now, told),
            Err(code) => self.react(now, self.kind.after_get(code)),
        }
    }

    /// A PushTelemetry was answered, with an error code if it was refused.
    pub fn answered_push(&mut self, now: Duration, answer: Result<(), i16>) {
        if self.flight != Some(PlannedRequest::Push) {
            return;
        }
        self.flight = None;
        self.react(now, answer.map_or_else(|code| self.kind.after_push(code), |()| Reaction::PushLater));
    }

    /// The connection is gone, perhaps with a request in flight.
    pub fn disconnected(&mut self, now: Duration) {
        self.catch_up(now);
        self.link = None;
        if self.step == PlannedRequest::TerminatingPush {
            self.silent = Some(CLOSED);
        } else if self.flight.take().is_some() {
            self.react(now, self.kind.after_loss());
        }
    }

    /// The application closes its client. A terminating push may follow: Java does its best, but a producer is often
    /// gone before it is sent (KAFKA-17731), so a driver may leave it out.
    pub fn close(&mut self, now: Duration) {
        self.catch_up(now);
        let has_last_words = match self.kind {
            // Anything but a Get that is due: also a push or a Get in flight, whose answer is ignored then.
            ClientKind::Java37 | ClientKind::Java39 | ClientKind::Java42 => {
                self.step == PlannedRequest::Push || self.flight.is_some()
            }
            ClientKind::Librdkafka => self.step == PlannedRequest::Push && self.flight.is_none(),
        };
        if has_last_words && self.subscription.is_some() && self.link.is_some() {
            (self.step, self.due, self.flight) = (PlannedRequest::TerminatingPush, now, None);
        } else {
            self.silent.get_or_insert(CLOSED);
        }
    }

    /// What it was told last.
    pub fn subscription(&self) -> Option<&ModelSubscription> {
        self.subscription.as_ref()
    }

    /// Whether it would send a metric of this full name (`org.apache.kafka.` included).
    pub fn selects(&self, metric: &str) -> bool {
        self.subscription.as_ref().is_some_and(|told| selector::is_selected(&told.metrics, metric))
    }

    /// Kafka's number of the compression that its next push has. Java 3.7 compresses nothing; all others take the
    /// first type offered that they know.
    pub fn codec(&self) -> i8 {
        let offered =
            self.subscription.iter().filter(|_| self.kind != ClientKind::Java37).flat_map(|told| &told.codecs);
        let none = Codec::None.id();
        // librdkafka walks on over "none", too.
        let skips_none = self.kind == ClientKind::Librdkafka;
        let mut known = offered.copied().filter(|id| Codec::from_id(*id).is_some() && !(skips_none && *id == none));
        known.next().unwrap_or(none)
    }

    /// Why it will never push again, if so. That its node offers no telemetry ends a newer Java client only when it has
    /// something to send; the model then says so when it is told of the next connection, or of the end of this one.
    pub fn silent(&self) -> Option<&'static str> {
        self.silent
    }

    /// Why it will never push again though nobody closed it, if so.
    pub fn fell_silent(&self) -> Option<&'static str> {
        self.silent.filter(|reason| *reason != CLOSED)
    }

    fn request(&self) -> Option<TelemetryRequest> {
        let told = self.subscription.as_ref();
        Some(match self.step {
            PlannedRequest::Get => {
                TelemetryRequest::Get { instance: told.map_or(InstanceId::NIL, |told| told.instance) }
            }
            step => {
                let ModelSubscription { instance, subscription_id, .. } = told?;
                let (instance, subscription_id) = (*instance, *subscription_id);
                TelemetryRequest::Push {
                    instance,
                    subscription_id,
                    terminating: step == PlannedRequest::TerminatingPush,
                }
            }
        })
    }

    fn apply_subscription(&mut self, now: Duration, told: ModelSubscription) {
        if self.kind.is_java() && told.instance == InstanceId::NIL {
            self.silent = Some(NO_ID);
            return;
        }
        let nothing = told.metrics.is_empty();
        self.subscription = Some(told);
        let interval = self.interval();
        if nothing {
            self.plan(PlannedRequest::Get, now + interval);
        } else {
            let (least, most) = self.kind.jitter();
            let jitter = self.jitter.between(least, most);
            self.plan(PlannedRequest::Push, now + interval.mul_f64(jitter));
        }
    }

    fn react(&mut self, now: Duration, reaction: Reaction) {
        match reaction {
            Reaction::Get(wait) => self.plan(PlannedRequest::Get, now + wait),
            Reaction::GetLater => self.plan(PlannedRequest::Get, now + self.interval()),
            Reaction::PushLater => self.plan(PlannedRequest::Push, now + self.interval()),
            Reaction::Never(reason) => self.silent = Some(reason),
        }
    }

    fn plan(&mut self, step: PlannedRequest, due: Duration) {
        (self.step, self.due) = (step, due);
    }

    /// As told, or what it takes instead.
    fn interval(&self) -> Duration {
        let fallback = self.kind.fallback_interval();
        match &self.subscription {
            Some(told) if told.interval.is_zero() && self.kind.is_java() => fallback,
            Some(told) => told.interval,
            None => fallback,
        }
    }

    /// What it tried in vain until now, for want of a node that offers telemetry.
    fn catch_up(&mut self, now: Duration) {
        let able = self.link.is_some_and(|link| link.offers);
        if able || self.due > now || self.flight.is_some() || self.step == PlannedRequest::TerminatingPush {
            return;
        }
        match (self.kind, self.link) {
            // Asks whatever node comes next, as soon as it does.
            (ClientKind::Librdkafka, _) => self.plan(PlannedRequest::Get, now),
            // Java looks at what the node offers when it has something to send, not before.
            (_, None) => {}
            (ClientKind::Java42, Some(_)) => self.silent = Some(NOT_OFFERED),
            (_, Some(link)) => {
                let every = self.kind.fallback_interval();
                let mut tried = self.due.max(link.since);
                while tried + every <= now {
                    tried += every;
                }
                self.plan(PlannedRequest::Get, tried + every);
            }
        }
    }
}
