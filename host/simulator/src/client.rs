//! One simulated client: its model, and the state of its payloads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::clock::unix_nanos;
use super::codec::{ClientFamily, compress};
use super::model::{ClientKind, Model, ModelSubscription, TelemetryRequest};
use super::options::SimulationOptions;
use super::payload::{PayloadRole, Payloads};
use super::rng::SimulationRng;
use super::template::{FillValues, Template};
use barnabas_base::Codec;
use barnabas_kafka_client::TelemetrySubscription;

/// Maximum memory of a client in bytes, in addition to its connection and its subscription.
pub const BYTES_PER_CLIENT: usize = 512;

/// What a client should have got from the broker, but did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnmetExpectation {
    /// A subscription: every request for one was refused.
    Subscription,
    /// An accepted push: the client has a subscription with metrics, but no push was accepted within an interval after
    /// the first one was due.
    AcceptedPush,
}

/// A client of a connection.
#[derive(Debug)]
pub(super) struct SimulatedClient {
    pub(super) model: Model,
    kind: ClientKind,
    number: usize,
    /// For the current subscription.
    template: Option<Arc<Template>>,
    /// Start of its cumulative sums, in nanoseconds since the Unix epoch.
    created_nanos: u64,
    last_push: u64,
    pub(super) pushes: u32,
    /// Whether a Get was refused, and whether one succeeded.
    refused: bool,
    subscribed: bool,
    /// Deadline for an accepted push.
    overdue: Option<Duration>,
    /// Whether its silence has been counted already.
    pub(super) counted: bool,
}

impl SimulatedClient {
    pub(super) fn new(kind: ClientKind, number: usize, seed: u64) -> Self {
        let model = Model::new(kind, SimulationRng::new(seed, number as u64).next());
        let born = unix_nanos();
        Self {
            model,
            kind,
            number,
            template: None,
            created_nanos: born,
            last_push: born,
            pushes: 0,
            refused: false,
            subscribed: false,
            overdue: None,
            counted: false,
        }
    }

    /// The `client.id`.
    pub(super) fn client_id(&self) -> String {
        format!("simulated-{}-{}", self.kind, self.number)
    }

    /// Converts a subscription for the model. The next push uses a new template.
    fn convert_subscription(&mut self, subscription: TelemetrySubscription) -> ModelSubscription {
        self.template = None;
        ModelSubscription {
            instance: subscription.instance_id,
            subscription_id: subscription.id,
            interval: u64::try_from(subscription.push_interval_ms).map(Duration::from_millis).unwrap_or_default(),
            codecs: subscription.codecs,
            metrics: subscription.metrics,
            delta: subscription.delta,
        }
    }

    /// Handles the response to a Get.
    pub(super) fn answered_get(&mut self, now: Duration, answer: Result<TelemetrySubscription, i16>) {
        let answer = answer.map(|subscription| self.convert_subscription(subscription));
        let wanted = answer
            .as_ref()
            .ok()
            .filter(|given_subscription| !given_subscription.metrics.is_empty())
            .map(|given_subscription| given_subscription.interval);
        (self.refused, self.subscribed) = (self.refused || answer.is_err(), self.subscribed || answer.is_ok());
        let given_subscription = answer.is_ok();
        self.model.answered_get(now, answer);
        match (wanted, self.model.next()) {
            // Counts from the first of several subscriptions, unless one without metrics was in between.
            (Some(interval), Some((due, TelemetryRequest::Push { .. }))) => {
                _ = self.overdue.get_or_insert(due + interval)
            }
            _ if given_subscription => self.overdue = None,
            _ => {}
        }
    }

    /// What the client is missing. A silent client expects nothing.
    pub(super) fn unmet(&self, now: Duration) -> Option<UnmetExpectation> {
        let overdue = self.pushes == 0 && self.overdue.is_some_and(|by| now > by);
        match self.model.silent() {
            Some(_) => None,
            None if overdue => Some(UnmetExpectation::AcceptedPush),
            None => (self.refused && !self.subscribed).then_some(UnmetExpectation::Subscription),
        }
    }

    /// The codec and the bytes of the next push.
    pub(super) fn payload(&mut self, options: &SimulationOptions, payloads: &Payloads) -> Result<(Codec, Vec<u8>)> {
        let family = family(self.kind);
        let Some(given_subscription) = self.model.subscription() else { return Ok((Codec::None, Vec::new())) };
        let role = self.role(options);
        let template =
            self.template.get_or_insert_with(|| payloads.template(family, role, given_subscription, &self.model));
        let now = unix_nanos();
        let start = if given_subscription.delta { self.last_push } else { self.created_nanos };
        let bytes = template.fill(&FillValues { start, now, grown: self.pushes });
        self.last_push = now;
        // An empty payload is not compressed, like in librdkafka.
        let codec =
            if bytes.is_empty() { Codec::None } else { choose_codec(self.kind, given_subscription, &options.codecs) };
        Ok((codec, compress(family, codec, &bytes)?))
    }

    /// Half of the clients of each kind are producers.
    fn role(&self, options: &SimulationOptions) -> PayloadRole {
        let turn = self.number.checked_div(options.kinds.len()).unwrap_or_default();
        if turn.is_multiple_of(2) { PayloadRole::Producer } else { PayloadRole::Consumer }
    }
}

fn family(kind: ClientKind) -> ClientFamily {
    if kind == ClientKind::Librdkafka { ClientFamily::Librdkafka } else { ClientFamily::Java }
}

/// The first codec that the broker accepts and the client supports. Java 3.7 never compresses.
fn choose_codec(kind: ClientKind, given_subscription: &ModelSubscription, built_in: &[Codec]) -> Codec {
    let offered = given_subscription.codecs.iter().filter_map(|id| Codec::from_id(*id));
    let mut usable = offered.filter(|codec| built_in.contains(codec) && kind != ClientKind::Java37);
    usable.next().unwrap_or(Codec::None)
}

/// Software name and version of a kind (KIP-511).
pub(super) fn software(kind: ClientKind) -> (String, String) {
    let (name, version) = match kind {
        ClientKind::Java37 => ("apache-kafka-java", "3.7.2"),
        ClientKind::Java39 => ("apache-kafka-java", "3.9.1"),
        ClientKind::Java42 => ("apache-kafka-java", "4.2.0"),
        ClientKind::Librdkafka => ("librdkafka", "2.16.0"),
    };
    (name.into(), version.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use barnabas_base::InstanceId;

    #[test]
    fn memory_per_client_obeyed() {
        let heap = ModelSubscription::clone(&given_subscription(vec![4; 4])).codecs.capacity();
        let spent = size_of::<SimulatedClient>() + heap;
        assert!(spent <= BYTES_PER_CLIENT, "{spent} bytes");
    }

    fn given_subscription(codecs: Vec<i8>) -> ModelSubscription {
        let instance = InstanceId::NIL;
        let interval = std::time::Duration::from_secs(1);
        ModelSubscription { instance, subscription_id: 1, codecs, interval, metrics: Vec::new(), delta: false }
    }

    #[test]
    fn the_first_accepted_and_supported_codec_is_used() {
        let offered = given_subscription(vec![99, 4, 3, 1, 2]);
        for (kind, built_in, expected) in [
            (ClientKind::Java39, &Codec::OFFERED[..], Codec::Zstd),
            (ClientKind::Librdkafka, &[Codec::Snappy, Codec::Gzip], Codec::Gzip),
            (ClientKind::Java42, &[], Codec::None),
            (ClientKind::Java37, &Codec::OFFERED, Codec::None),
        ] {
            assert_eq!(choose_codec(kind, &offered, built_in), expected, "{kind}");
        }
    }
}
