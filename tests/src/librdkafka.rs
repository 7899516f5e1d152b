//! Unmodified librdkafka clients, and what their logs report about their telemetry.

use std::sync::{Arc, Mutex};

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, ProducerContext};

/// What a client logged about its telemetry.
#[derive(Clone, Debug, Default)]
pub struct TelemetryLog {
    /// Client instance id in Java's notation (base64url without padding).
    pub instance_id: Option<String>,
    /// Pushes that the client logged as acknowledged without an error.
    pub acknowledged: usize,
    /// Error texts of the pushes that the client logged as failed.
    pub refused: Vec<String>,
    /// All log lines.
    pub lines: Vec<String>,
}

/// Collects the log of a client.
#[derive(Clone, Default)]
pub struct LogListener(Arc<Mutex<TelemetryLog>>);

impl LogListener {
    /// A summary of the log so far.
    pub fn snapshot(&self) -> TelemetryLog {
        self.0.lock().unwrap().clone()
    }
}

impl ClientContext for LogListener {
    fn log(&self, _: RDKafkaLogLevel, _: &str, line: &str) {
        let mut said = self.0.lock().unwrap();
        if let Some((_, id)) =
            line.split_once("client instance id changed from ").and_then(|(_, r)| r.split_once(" to "))
        {
            said.instance_id = Some(java_spelling(id));
        }
        if line.contains("PushTelemetryRequest succeeded") {
            said.acknowledged += 1;
        }
        if let Some((_, why)) = line.split_once("PushTelemetryRequest failed") {
            said.refused.push(why.trim_start_matches(": ").to_owned());
        }
        said.lines.push(line.to_owned());
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        self.0.lock().unwrap().lines.push(format!("error: {error}: {reason}"));
    }
}

impl ConsumerContext for LogListener {}

impl ProducerContext for LogListener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

/// The same 16 bytes in the other alphabet.
fn java_spelling(base64: &str) -> String {
    base64.trim().trim_end_matches(['=', '.']).replace('+', "-").replace('/', "_")
}

fn config(bootstrap: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", client_id);
    // A client logs about its telemetry at debug level. Nothing else is set: telemetry is enabled by default.
    config.set("debug", "telemetry").set_log_level(RDKafkaLogLevel::Debug);
    config
}

/// An unmodified producer. It must be polled, otherwise its log callbacks do not run.
pub fn producer(bootstrap: &str, client_id: &str) -> (BaseProducer<LogListener>, LogListener) {
    let ear = LogListener::default();
    (config(bootstrap, client_id).create_with_context(ear.clone()).unwrap(), ear)
}

/// An unmodified producer that authenticates with PLAIN, the only SASL mechanism in this build of librdkafka without
/// OpenSSL.
pub fn producer_as(
    bootstrap: &str,
    client_id: &str,
    user: &str,
    password: &str,
) -> (BaseProducer<LogListener>, LogListener) {
    let ear = LogListener::default();
    let mut config = config(bootstrap, client_id);
    config.set("security.protocol", "sasl_plaintext").set("sasl.mechanism", "PLAIN");
    config.set("sasl.username", user).set("sasl.password", password);
    (config.create_with_context(ear.clone()).unwrap(), ear)
}

/// An unmodified group consumer.
pub fn consumer(bootstrap: &str, client_id: &str) -> (BaseConsumer<LogListener>, LogListener) {
    let ear = LogListener::default();
    let mut config = config(bootstrap, client_id);
    config.set("group.id", "barnabas-tests");
    (config.create_with_context(ear.clone()).unwrap(), ear)
}

/// An unmodified admin client.
pub fn admin(bootstrap: &str, client_id: &str) -> AdminClient<DefaultClientContext> {
    config(bootstrap, client_id).create().unwrap()
}
