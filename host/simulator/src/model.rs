//! State machines of the telemetry of real clients: when they request subscriptions, when they push, and which errors stop
//! them for good ("silence" them).
//!
//! In: events of a client with their times. Out: the next request and its time. Bounded by one subscription per model.
//! Never uses a socket or a clock: time is a [`Duration`] since the start of the model, and jitter comes from a seed. Every
//! kind is verified against recordings of the real client (`tests/traces`), including its known bugs.
//!
//! A driver gets the next request and its time from [`Model::next`], sends it, reports that with [`Model::sent`], and
//! passes the response. A model has one connection at a time: a real client that opens a second one behaves the same.

mod jitter;
mod kind;
mod reaction;
mod selector;

#[cfg(test)]
mod tests;

use std::time::Duration;

use barnabas_base::{Codec, InstanceId};
use jitter::Jitter;
use reaction::Reaction;

pub use kind::ClientKind;

/// Reason of a client that was closed by its application.
const CLOSED: &str = "its application closed it";
/// Java does not handle the nil id, and waits forever after receiving it.
const NO_ID: &str = "it received the nil client instance id";
/// Since KAFKA-19747, Java checks only once whether the node offers telemetry.
const NOT_OFFERED: &str = "its node did not offer telemetry";

/// A request that a client wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryRequest {
    /// GetTelemetrySubscriptions.
    Get {
        /// [`InstanceId::NIL`] until the client has received an id.
        instance: InstanceId,
    },
    /// PushTelemetry.
    Push {
        /// The id that the client received.
        instance: InstanceId,
        /// Of the current subscription.
        subscription_id: i32,
        /// Whether this is the last push before the client closes.
        terminating: bool,
    },
}

/// A subscription as the client received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSubscription {
    /// The client's id from now on.
    pub instance: InstanceId,
    /// Sent in every push.
    pub subscription_id: i32,
    /// Kafka's ids of compression types, in order of preference.
    pub codecs: Vec<i8>,
    /// Push interval.
    pub interval: Duration,
    /// Prefixes of metric names.
    pub metrics: Vec<String>,
    /// Whether sums have delta temporality.
    pub delta: bool,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Model {
    kind: ClientKind,
    jitter: Jitter,
    subscription: Option<ModelSubscription>,
    link: Option<NodeConnection>,
    /// The next request, and its earliest time.
    step: PlannedRequest,
    due: Duration,
    /// The request in flight.
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
    /// A new client without a connection. The same seed gives the same jitter.
    pub fn new(kind: ClientKind, seed: u64) -> Self {
        Self::with_jitter(kind, Jitter::new(seed))
    }

    fn with_jitter(kind: ClientKind, dice: Jitter) -> Self {
        let (step, due) = (PlannedRequest::Get, Duration::ZERO);
        Self { kind, jitter: dice, subscription: None, link: None, step, due, flight: None, silent: None }
    }

    /// The kind of client.
    pub fn kind(&self) -> ClientKind {
        self.kind
    }

    /// The client has connected, and ApiVersions showed whether the node supports the API keys 71 and 72. Replaces an
    /// earlier connection.
    pub fn connected(&mut self, now: Duration, offers_telemetry: bool) {
        if self.flight.is_some() {
            self.disconnected(now);
        }
        self.catch_up(now);
        self.link = Some(NodeConnection { since: now, offers: offers_telemetry });
        self.catch_up(now);
    }

    /// The next request and its earliest time. `None` if the client is silent, waits for a response, or has no connection
    /// to a node with telemetry support.
    pub fn next(&self) -> Option<(Duration, TelemetryRequest)> {
        let link = self.link.filter(|link| link.offers)?;
        if self.silent.is_some() || self.flight.is_some() {
            return None;
        }
        Some((self.due.max(link.since), self.request()?))
    }

    /// The planned request was sent.
    pub fn sent(&mut self, _now: Duration) {
        if self.next().is_none() {
            return;
        }
        self.flight = Some(self.step);
        if self.step == PlannedRequest::TerminatingPush {
            self.silent = Some(CLOSED);
        }
    }

    /// The response to GetTelemetrySubscriptions: a subscription or an error code.
    pub fn answered_get(&mut self, now: Duration, answer: Result<ModelSubscription, i16>) {
        if self.flight != Some(PlannedRequest::Get) {
            return;
        }
        self.flight = None;
        match answer {
            Ok(given_subscription) => self.apply_subscription(now, given_subscription),
            Err(code) => self.react(now, self.kind.after_get(code)),
        }
    }

    /// The response to PushTelemetry: an error code if the push was refused.
    pub fn answered_push(&mut self, now: Duration, answer: Result<(), i16>) {
        if self.flight != Some(PlannedRequest::Push) {
            return;
        }
        self.flight = None;
        self.react(now, answer.map_or_else(|code| self.kind.after_push(code), |()| Reaction::PushLater));
    }

    /// The connection was lost, possibly with a request in flight.
    pub fn disconnected(&mut self, now: Duration) {
        self.catch_up(now);
        self.link = None;
        if self.step == PlannedRequest::TerminatingPush {
            self.silent = Some(CLOSED);
        } else if self.flight.take().is_some() {
            self.react(now, self.kind.after_loss());
        }
    }

    /// The application closes its client. A terminating push may follow. Java tries to send it, but a producer often exits
    /// before (KAFKA-17731), so a driver may omit it.
    pub fn close(&mut self, now: Duration) {
        self.catch_up(now);
        let has_last_words = match self.kind {
            // Unless a Get is planned. If a push or a Get is in flight, its response is then ignored.
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

    /// The current subscription.
    pub fn subscription(&self) -> Option<&ModelSubscription> {
        self.subscription.as_ref()
    }

    /// Whether the client would send the metric with this full name (including `org.apache.kafka.`).
    pub fn selects(&self, metric: &str) -> bool {
        self.subscription
            .as_ref()
            .is_some_and(|given_subscription| selector::is_selected(&given_subscription.metrics, metric))
    }

    /// Kafka's id of the compression type of the next push. Java 3.7 does not compress; all others use the first accepted
    /// type that they support.
    pub fn codec(&self) -> i8 {
        let offered = self
            .subscription
            .iter()
            .filter(|_| self.kind != ClientKind::Java37)
            .flat_map(|given_subscription| &given_subscription.codecs);
        let none = Codec::None.id();
        // librdkafka skips "none" as well.
        let skips_none = self.kind == ClientKind::Librdkafka;
        let mut known = offered.copied().filter(|id| Codec::from_id(*id).is_some() && !(skips_none && *id == none));
        known.next().unwrap_or(none)
    }

    /// The reason why the client will never push again, if any. A newer Java client stops because of a node without
    /// telemetry only when it has something to send; the model reports it at the next connection, or at the end of this
    /// one.
    pub fn silent(&self) -> Option<&'static str> {
        self.silent
    }

    /// The reason why the client will never push again although it was not closed, if any.
    pub fn fell_silent(&self) -> Option<&'static str> {
        self.silent.filter(|reason| *reason != CLOSED)
    }

    fn request(&self) -> Option<TelemetryRequest> {
        let given_subscription = self.subscription.as_ref();
        Some(match self.step {
            PlannedRequest::Get => TelemetryRequest::Get {
                instance: given_subscription.map_or(InstanceId::NIL, |given_subscription| given_subscription.instance),
            },
            step => {
                let ModelSubscription { instance, subscription_id, .. } = given_subscription?;
                let (instance, subscription_id) = (*instance, *subscription_id);
                TelemetryRequest::Push {
                    instance,
                    subscription_id,
                    terminating: step == PlannedRequest::TerminatingPush,
                }
            }
        })
    }

    fn apply_subscription(&mut self, now: Duration, given_subscription: ModelSubscription) {
        if self.kind.is_java() && given_subscription.instance == InstanceId::NIL {
            self.silent = Some(NO_ID);
            return;
        }
        let nothing = given_subscription.metrics.is_empty();
        self.subscription = Some(given_subscription);
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

    /// The push interval of the subscription, or the fallback of the client.
    fn interval(&self) -> Duration {
        let fallback = self.kind.fallback_interval();
        match &self.subscription {
            Some(given_subscription) if given_subscription.interval.is_zero() && self.kind.is_java() => fallback,
            Some(given_subscription) => given_subscription.interval,
            None => fallback,
        }
    }

    /// Applies the attempts that failed until now because no node offered telemetry.
    fn catch_up(&mut self, now: Duration) {
        let able = self.link.is_some_and(|link| link.offers);
        if able || self.due > now || self.flight.is_some() || self.step == PlannedRequest::TerminatingPush {
            return;
        }
        match (self.kind, self.link) {
            // Sends a Get to the next node, as soon as it is connected.
            (ClientKind::Librdkafka, _) => self.plan(PlannedRequest::Get, now),
            // Java checks whether the node offers telemetry only when it has something to send.
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
