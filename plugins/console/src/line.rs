//! One line of output: a value that serde serializes to JSON, from a push, its resource, a metric and a data point.

use barnabas_sdk::otlp::{KeyValue, MetricKind, Point, PointValue, any_value, point};
use barnabas_sdk::{GoneClient, Push, clock};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The client that sent a push, as far as it is known.
#[derive(Debug, Serialize)]
pub(crate) struct Sender {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<String>,
}

impl Sender {
    pub(crate) fn from_push(push: &Push<'_>) -> Self {
        let version = push.software_version();
        let software = push.software_name().map(|name| match version {
            Some(version) => format!("{name} {version}"),
            None => name,
        });
        Self { client_instance_id: push.client_instance_id(), client_id: push.client_id(), software }
    }
}

/// The line of a data point.
#[derive(Debug, Serialize)]
pub(crate) struct PointLine<'a> {
    #[serde(flatten)]
    sender: &'a Sender,
    metric: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporality: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
    value: Value,
    time_unix_nano: u64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    resource: Map<String, Value>,
}

impl<'a> PointLine<'a> {
    pub(crate) fn new(sender: &'a Sender, point: Point<'a>) -> Self {
        Self {
            sender,
            metric: &point.metric.name,
            kind: point.metric.kind().map_or("empty", MetricKind::name),
            temporality: point.metric.temporality().map(|temporality| temporality.name()),
            unit: &point.metric.unit,
            value: value(point.value),
            time_unix_nano: point.time_unix_nano,
            attributes: attributes(point.attributes),
            resource: attributes(point.resource),
        }
    }
}

/// The line of a client that is gone.
#[derive(Debug, Serialize)]
pub(crate) struct GoneLine<'a> {
    gone: String,
    client_instance_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    time_unix_nano: u64,
}

impl<'a> From<&'a GoneClient> for GoneLine<'a> {
    fn from(client: &'a GoneClient) -> Self {
        Self {
            gone: client.reason.to_string(),
            client_instance_id: &client.client_instance_id,
            client_id: client.client_id.as_deref(),
            time_unix_nano: clock::unix_nanos(client.at),
        }
    }
}

/// The value of a data point as JSON. A kind that this version does not support is `null`.
fn value(value: PointValue<'_>) -> Value {
    match value {
        PointValue::Integer(value) => value.into(),
        PointValue::Double(value) => number(value),
        PointValue::Histogram(point) => histogram(point),
        PointValue::ExponentialHistogram(point) => exponential_histogram(point),
        PointValue::Summary(point) => summary(point),
        _ => Value::Null,
    }
}

fn histogram(point: &point::HistogramDataPoint) -> Value {
    let bounds: Vec<_> = point.explicit_bounds.iter().copied().map(number).collect();
    json!({
        "count": point.count,
        "sum": point.sum.map(number),
        "min": point.min.map(number),
        "max": point.max.map(number),
        "bounds": bounds,
        "counts": point.bucket_counts,
    })
}

fn exponential_histogram(point: &point::ExponentialHistogramDataPoint) -> Value {
    let buckets = |buckets: &Option<point::exponential_histogram_data_point::Buckets>| {
        buckets.as_ref().map(|buckets| json!({ "offset": buckets.offset, "counts": buckets.bucket_counts }))
    };
    json!({
        "count": point.count,
        "sum": point.sum.map(number),
        "min": point.min.map(number),
        "max": point.max.map(number),
        "scale": point.scale,
        "zero_count": point.zero_count,
        "zero_threshold": number(point.zero_threshold),
        "positive": buckets(&point.positive),
        "negative": buckets(&point.negative),
    })
}

fn summary(point: &point::SummaryDataPoint) -> Value {
    let quantiles: Vec<_> = point
        .quantile_values
        .iter()
        .map(|at| json!({ "quantile": number(at.quantile), "value": number(at.value) }))
        .collect();
    json!({ "count": point.count, "sum": number(point.sum), "quantiles": quantiles })
}

fn attributes(pairs: &[KeyValue]) -> Map<String, Value> {
    let value =
        |pair: &KeyValue| pair.value.as_ref().and_then(|value| value.value.as_ref()).map_or(Value::Null, any_value);
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn any_value(value: &any_value::Value) -> Value {
    let inner = |value: &barnabas_sdk::otlp::AnyValue| value.value.as_ref().map_or(Value::Null, any_value);
    match value {
        any_value::Value::StringValue(text) => text.as_str().into(),
        any_value::Value::BoolValue(value) => (*value).into(),
        any_value::Value::IntValue(value) => (*value).into(),
        any_value::Value::DoubleValue(value) => number(*value),
        any_value::Value::ArrayValue(array) => array.values.iter().map(inner).collect(),
        any_value::Value::KvlistValue(list) => attributes(&list.values).into(),
        any_value::Value::BytesValue(bytes) => hex(bytes).into(),
        // An index into a string table, which exists only in OTLP profiles.
        any_value::Value::StringValueStrindex(_) => Value::Null,
    }
}

/// JSON has no NaN and no infinity, so these become strings. Java clients send NaN for every gauge without a sample.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
