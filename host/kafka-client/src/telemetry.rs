//! The two requests of KIP-714, as clients send them.

use std::time::Duration;

use anyhow::Result;

use super::{ErrorCode, KafkaClient};
use barnabas_base::InstanceId;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::wire::{Malformed, WireReader};

/// What a broker asks a client for (GetTelemetrySubscriptions response v0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySubscription {
    /// The client's id: its own or a new one.
    pub instance_id: InstanceId,
    /// To be told with every push.
    pub id: i32,
    /// Compression types by number, in order of preference. Some may be unknown.
    pub codecs: Vec<i8>,
    /// How often to push, in milliseconds, as told: perhaps 0 or less.
    pub push_interval_ms: i32,
    /// Most bytes of a push on the wire.
    pub max_bytes: i32,
    /// Changes since the push before instead of running totals.
    pub delta: bool,
    /// Prefixes of metric names; `*` or an empty one alone is all.
    pub metrics: Vec<String>,
}

impl TelemetrySubscription {
    /// How often to push; 5 minutes where none is told, as clients read it (KIP-714, `PushIntervalMs` of 0 or less).
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
    /// Who.
    pub instance_id: InstanceId,
    /// As told.
    pub subscription_id: i32,
    /// The last one of this client.
    pub terminating: bool,
    /// Kafka's number of the compression.
    pub codec: i8,
    /// OTLP `MetricsData`, compressed.
    pub metrics: &'a [u8],
}

impl KafkaClient {
    /// GetTelemetrySubscriptions v0. `instance` is [`InstanceId::NIL`] for a client that has none yet.
    ///
    /// # Errors
    ///
    /// Outside: as every request. Inside: the broker's error code.
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
    /// Outside: as every request. Inside: the broker's error code.
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
