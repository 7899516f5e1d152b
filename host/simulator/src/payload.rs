//! Payloads of pushes: recorded ones, prepared once for each combination of client and subscription.
//!
//! In: a client and its subscription. Out: a [`Template`], shared by all clients with the same combination. Bounded by the
//! number of templates.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use barnabas_otlp::message::MetricsData;
use prost::Message as _;

use super::codec::ClientFamily;
use super::model::{Model, ModelSubscription};
use super::template::Template;

/// Maximum number of cached templates. Bounded because a broker may send a different subscription to every client.
const MAX_TEMPLATES: usize = 64;
/// Maximum size of a decompressed recording. The actual ones are much smaller.
const MAX_RECORDED_BYTES: usize = 1 << 20;

/// The role of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PayloadRole {
    Producer,
    Consumer,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TemplateKey {
    family: ClientFamily,
    role: PayloadRole,
    delta: bool,
    metrics: Vec<String>,
}

/// All payloads.
#[derive(Debug)]
pub(super) struct Payloads {
    /// Of Java's producer and consumer, and of librdkafka's producer and consumer.
    recorded: [MetricsData; 4],
    ready: Mutex<HashMap<TemplateKey, Arc<Template>>>,
}

impl Payloads {
    /// The recordings that are compiled into this program: kafka-clients 4.0 and trunk, librdkafka 2.16.
    pub(super) fn recorded() -> Result<Self> {
        let recorded = [
            decompressed(include_bytes!("../../pipeline/samples/java.zstd"))?,
            decompressed(include_bytes!("../../pipeline/samples/java-consumer.zstd"))?,
            decompressed(include_bytes!("../../pipeline/samples/librdkafka-producer.zstd"))?,
            decompressed(include_bytes!("../../pipeline/samples/librdkafka.zstd"))?,
        ];
        Ok(Self { recorded, ready: Mutex::default() })
    }

    /// The template for a client with this subscription.
    pub(super) fn template(
        &self,
        family: ClientFamily,
        role: PayloadRole,
        given_subscription: &ModelSubscription,
        model: &Model,
    ) -> Arc<Template> {
        let key =
            TemplateKey { family, role, delta: given_subscription.delta, metrics: given_subscription.metrics.clone() };
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = ready.get(&key) {
            return template.clone();
        }
        if ready.len() >= MAX_TEMPLATES {
            ready.clear();
        }
        let data = self.recording(family, role).clone();
        let template = Arc::new(Template::new(data, given_subscription.delta, |name| model.selects(name)));
        ready.insert(key, template.clone());
        template
    }

    fn recording(&self, family: ClientFamily, role: PayloadRole) -> &MetricsData {
        let [java_producer, java_consumer, producer, consumer] = &self.recorded;
        match (family, role) {
            (ClientFamily::Java, PayloadRole::Producer) => java_producer,
            (ClientFamily::Java, PayloadRole::Consumer) => java_consumer,
            (ClientFamily::Librdkafka, PayloadRole::Producer) => producer,
            (ClientFamily::Librdkafka, PayloadRole::Consumer) => consumer,
        }
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> &[MetricsData] {
        &self.recorded
    }
}

fn decompressed(recorded: &[u8]) -> Result<MetricsData> {
    let bytes = zstd::bulk::decompress(recorded, MAX_RECORDED_BYTES).context("a recorded push is not zstd")?;
    MetricsData::decode(&bytes[..]).context("a recorded push is not OTLP")
}
