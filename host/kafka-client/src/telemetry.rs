//! The two requests of KIP-714, as clients send them.

use std::time::Duration;

use anyhow::Result;

use super::{ErrorCode, KafkaClient};
use barnabas_base::InstanceId;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::wire::{Malformed, WireReader};

/// The metrics that a broker requests from a client (GetTelemetrySubscriptions response v0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySubscription {
    /// The client's id: its own or a new one.
    pub instance_id: InstanceId,
    /// Sent with every push.
    pub id: i32,
    /// Compression types by number, in order of preference. Some may be unknown.
    pub codecs: Vec<i8>,
    /// The push interval in milliseconds, as sent: possibly 0 or less.
    pub push_interval_ms: i32,
    /// The most bytes of a push on the wire.
    pub max_bytes: i32,
    /// Delta temporality instead of cumulative.
    pub delta: bool,
    /// Prefixes of metric names; `*` or a single empty one means all.
    pub metrics: Vec<String>,
}

impl TelemetrySubscription {
    /// The push interval; 5 minutes if none is given, as clients interpret it (KIP-714, `PushIntervalMs` of 0 or less).
    pub fn push_interval(&self) -> Duration {
        match u64::try_from(self.push_interval_ms) {
            Ok(ms @ 1..) => Duration::from_millis(ms),
            _ => Duration::from_secs(300),
        }
    }
}

/// One push (PushTelemetry request v0).
#[derive(Clone, Copy, Debug)]
pub struct TelemetryPush<'a> {
    /// The client instance id.
    pub instance_id: InstanceId,
    /// The subscription's id.
    pub subscription_id: i32,
    /// The last push of this client.
    pub terminating: bool,
    /// Kafka's number of the compression type.
    pub codec: i8,
    /// OTLP `MetricsData`, compressed.
    pub metrics: &'a [u8],
}

impl KafkaClient {
    /// GetTelemetrySubscriptions v0. `instance` is [`InstanceId::NIL`] for a client that has none yet.
    ///
    /// # Errors
    ///
    /// Outer error: as for every request. Inner error: the broker's error code.
    pub async fn get_subscription(&mut self, instance: InstanceId) -> Result<Result<TelemetrySubscription, ErrorCode>> {
        let ask = self.request(Api::GetTelemetrySubscriptions.key(), 0, true, |out| {
            out.uuid(&instance);
            out.empty_tags(true);
        });
        let body = ask.await?;
        self.check_decoded(read_subscription(&body))
    }

    /// PushTelemetry v0.
    ///
    /// # Errors
    ///
    /// Outer error: as for every request. Inner error: the broker's error code.
    pub async fn push(&mut self, push: &TelemetryPush<'_>) -> Result<Result<(), ErrorCode>> {
        let ask = self.request(Api::PushTelemetry.key(), 0, true, |out| {
            out.uuid(&push.instance_id);
            out.i32(push.subscription_id);
            out.bool(push.terminating);
            out.i8(push.codec);
            out.bytes(true, push.metrics);
            out.empty_tags(true);
        });
        let body = ask.await?;
        let mut reader = WireReader::new(&body);
        let code = reader.i32("the throttle time").and_then(|_| reader.i16("the error code"));
        Ok(ErrorCode::check(self.check_decoded(code)?))
    }
}

fn read_subscription(body: &[u8]) -> Result<Result<TelemetrySubscription, ErrorCode>, Malformed> {
    let mut reader = WireReader::new(body);
    reader.i32("the throttle time")?;
    if let Err(refused) = ErrorCode::check(reader.i16("the error code")?) {
        return Ok(Err(refused));
    }
    let (instance_id, id) = (reader.uuid("the client instance id")?, reader.i32("the subscription id")?);
    let codecs = reader.count(true, 1, "the compression types")?.unwrap_or_default();
    let codecs = (0..codecs).map(|_| reader.i8("the compression types")).collect::<Result<_, _>>()?;
    let (push_interval_ms, max_bytes) = (reader.i32("the push interval")?, reader.i32("the most bytes")?);
    let delta = reader.bool("the temporality")?;
    let metrics = reader.count(true, 1, "the metrics")?.unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let metrics = (0..metrics).map(|_| reader.text(true, "the metrics").map(text)).collect::<Result<_, _>>()?;
    Ok(Ok(TelemetrySubscription { instance_id, id, codecs, push_interval_ms, max_bytes, delta, metrics }))
}
