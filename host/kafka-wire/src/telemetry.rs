//! GetTelemetrySubscriptions and PushTelemetry, version 0: the two requests of KIP-714.

use std::time::Duration;

use crate::api;
use crate::wire::{Malformed, WireReader, WireWriter};
use barnabas_base::{Codec, InstanceId};

/// The body of a push request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushTelemetryBody<'a> {
    /// The client instance id (KIP-714).
    pub instance_id: InstanceId,
    /// The subscription id that the client believes to be current.
    pub subscription_id: i32,
    /// Whether this is the last push of the client.
    pub terminating: bool,
    /// The compression type, by Kafka's number.
    pub codec: i8,
    /// Empty for null, too: librdkafka 2.5.3 to 2.10.0 sends null when no metric matches.
    pub metrics: &'a [u8],
}

/// Reads the body of GetTelemetrySubscriptions: the client instance id.
pub fn read_get_subscriptions(reader: &mut WireReader<'_>) -> Result<InstanceId, Malformed> {
    let id = reader.uuid("the client instance id")?;
    reader.skip_tags(true)?;
    Ok(id)
}

/// Reads the body of PushTelemetry.
pub fn read_push<'a>(reader: &mut WireReader<'a>) -> Result<PushTelemetryBody<'a>, Malformed> {
    let push = PushTelemetryBody {
        instance_id: reader.uuid("the client instance id")?,
        subscription_id: reader.i32("the subscription id")?,
        terminating: reader.bool("the terminating flag")?,
        codec: reader.i8("the compression type")?,
        metrics: reader.nullable_bytes("the metrics")?.unwrap_or_default(),
    };
    reader.skip_tags(true)?;
    Ok(push)
}

/// The subscription that is sent to a client.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionResponse<'a, S> {
    /// The client instance id (KIP-714).
    pub instance_id: InstanceId,
    /// The subscription id.
    pub id: i32,
    /// The compression types that the client may use, in order of preference.
    pub codecs: &'a [Codec],
    /// How often the client is to push; milliseconds on the wire.
    pub push_interval: Duration,
    /// The maximum size of a push on the wire, in bytes.
    pub max_bytes: u32,
    /// Whether the client is to push deltas instead of cumulative values.
    pub delta: bool,
    /// The prefixes of the names of metrics to push.
    pub metrics: &'a [S],
}

/// The id is always sent, even to a client that sent it itself: both Java and librdkafka adopt the one in the response.
pub fn write_subscription<S: AsRef<str>>(correlation: i32, answer: &SubscriptionResponse<'_, S>) -> Vec<u8> {
    let mut out = WireWriter::response(correlation, true);
    out.i32(0);
    out.i16(api::NONE);
    out.uuid(&answer.instance_id);
    out.i32(answer.id);
    out.count(true, answer.codecs.len());
    answer.codecs.iter().for_each(|codec| out.i8(codec.id()));
    out.i32(i32::try_from(answer.push_interval.as_millis()).unwrap_or(i32::MAX));
    out.i32(i32::try_from(answer.max_bytes).unwrap_or(i32::MAX));
    out.bool(answer.delta);
    out.count(true, answer.metrics.len());
    answer.metrics.iter().for_each(|prefix| out.text(true, Some(prefix.as_ref().as_bytes())));
    out.empty_tags(true);
    out.finish()
}

/// The response to a refused subscription request: everything but the error code is empty, as in Apache Kafka.
pub fn write_subscription_error(correlation: i32, error: i16) -> Vec<u8> {
    let mut out = WireWriter::response(correlation, true);
    out.i32(0);
    out.i16(error);
    out.uuid(&InstanceId::NIL);
    out.i32(0);
    out.count(true, 0);
    out.i32(0);
    out.i32(0);
    out.bool(false);
    out.count(true, 0);
    out.empty_tags(true);
    out.finish()
}

/// Writes the response to PushTelemetry as a frame.
pub fn write_push(correlation: i32, error: i16) -> Vec<u8> {
    let mut out = WireWriter::response(correlation, true);
    out.i32(0);
    out.i16(error);
    out.empty_tags(true);
    out.finish()
}
