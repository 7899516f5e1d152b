//! One line of output: push, resource, metric and point in, a value that serde writes as JSON out.

use barnabas_sdk::otlp::{
    AggregationTemporality, KeyValue, Metric, ResourceMetrics, any_value, metric, number_data_point, point,
};
use barnabas_sdk::{GoneClient, GoneReason, Push};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Who sent a push, as far as is known.
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
    pub(crate) fn of(push: &Push<'_>) -> Self {
        let version = push.software_version();
        let software = push.software_name().map(|name| match version {
            Some(version) => format!("{name} {version}"),
            None => name,
        });
        Self { client_instance_id: push.client_instance_id(), client_id: push.client_id(), software }
    }
}

/// A point, as a line.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
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

impl<'a> Line<'a> {
    pub(crate) fn new(sender: &'a Sender, resource: &ResourceMetrics, metric: &'a Metric, point: Point<'_>) -> Self {
        let resource = resource.resource.as_ref().map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        Self {
            sender,
            metric: &metric.name,
            kind: crate::kind(metric),
            temporality: temporality(metric),
            unit: &metric.unit,
            value: point.value,
            time_unix_nano: point.time_unix_nano,
            attributes: attributes(point.attributes),
            resource,
        }
    }
}

/// A client that is gone, as a line.
#[derive(Debug, Serialize)]
pub(crate) struct Gone<'a> {
    gone: &'static str,
    client_instance_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    time_unix_nano: u64,
}

impl<'a> From<&'a GoneClient> for Gone<'a> {
    fn from(client: &'a GoneClient) -> Self {
        let gone = match client.reason {
            GoneReason::Terminated => "terminated",
            GoneReason::Disconnected => "disconnected",
            GoneReason::Expired => "expired",
        };
        Self {
            gone,
            client_instance_id: &client.client_instance_id,
            client_id: client.client_id.as_deref(),
            time_unix_nano: client.at_unix_nanos,
        }
    }
}

/// What all kinds of point have, and the rest as one value.
pub(crate) struct Point<'a> {
    attributes: &'a [KeyValue],
    time_unix_nano: u64,
    value: Value,
}

/// The points of a metric of any kind.
pub(crate) struct Points;

impl Points {
    pub(crate) fn of(metric: &Metric) -> Box<dyn Iterator<Item = Point<'_>> + '_> {
        match &metric.data {
            Some(metric::Data::Gauge(gauge)) => Box::new(gauge.data_points.iter().map(Point::from)),
            Some(metric::Data::Sum(sum)) => Box::new(sum.data_points.iter().map(Point::from)),
            Some(metric::Data::Histogram(histogram)) => Box::new(histogram.data_points.iter().map(Point::from)),
            Some(metric::Data::ExponentialHistogram(histogram)) => {
                Box::new(histogram.data_points.iter().map(Point::from))
            }
            Some(metric::Data::Summary(summary)) => Box::new(summary.data_points.iter().map(Point::from)),
            None => Box::new(std::iter::empty()),
        }
    }
}

impl<'a> From<&'a point::NumberDataPoint> for Point<'a> {
    fn from(point: &'a point::NumberDataPoint) -> Self {
        let value = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => number(value),
            Some(number_data_point::Value::AsInt(value)) => value.into(),
            None => Value::Null,
        };
        Self { attributes: &point.attributes, time_unix_nano: point.time_unix_nano, value }
    }
}

impl<'a> From<&'a point::HistogramDataPoint> for Point<'a> {
    fn from(point: &'a point::HistogramDataPoint) -> Self {
        let bounds: Vec<_> = point.explicit_bounds.iter().copied().map(number).collect();
        let value = json!({
            "count": point.count,
            "sum": point.sum.map(number),
            "min": point.min.map(number),
            "max": point.max.map(number),
            "bounds": bounds,
            "counts": point.bucket_counts,
        });
        Self { attributes: &point.attributes, time_unix_nano: point.time_unix_nano, value }
    }
}

impl<'a> From<&'a point::ExponentialHistogramDataPoint> for Point<'a> {
    fn from(point: &'a point::ExponentialHistogramDataPoint) -> Self {
        let buckets = |buckets: &Option<point::exponential_histogram_data_point::Buckets>| {
            buckets.as_ref().map(|buckets| json!({ "offset": buckets.offset, "counts": buckets.bucket_counts }))
        };
        let value = json!({
            "count": point.count,
            "sum": point.sum.map(number),
            "min": point.min.map(number),
            "max": point.max.map(number),
            "scale": point.scale,
            "zero_count": point.zero_count,
            "zero_threshold": number(point.zero_threshold),
            "positive": buckets(&point.positive),
            "negative": buckets(&point.negative),
        });
        Self { attributes: &point.attributes, time_unix_nano: point.time_unix_nano, value }
    }
}

impl<'a> From<&'a point::SummaryDataPoint> for Point<'a> {
    fn from(point: &'a point::SummaryDataPoint) -> Self {
        let quantiles: Vec<_> = point
            .quantile_values
            .iter()
            .map(|at| json!({ "quantile": number(at.quantile), "value": number(at.value) }))
            .collect();
        let value = json!({ "count": point.count, "sum": number(point.sum), "quantiles": quantiles });
        Self { attributes: &point.attributes, time_unix_nano: point.time_unix_nano, value }
    }
}

fn temporality(metric: &Metric) -> Option<&'static str> {
    let aggregation = match &metric.data {
        Some(metric::Data::Sum(sum)) => sum.aggregation_temporality,
        Some(metric::Data::Histogram(histogram)) => histogram.aggregation_temporality,
        Some(metric::Data::ExponentialHistogram(histogram)) => histogram.aggregation_temporality,
        _ => return None,
    };
    Some(match AggregationTemporality::try_from(aggregation) {
        Ok(AggregationTemporality::Delta) => "delta",
        Ok(AggregationTemporality::Cumulative) => "cumulative",
        Ok(AggregationTemporality::Unspecified) | Err(_) => "unspecified",
    })
}

fn attributes(pairs: &[KeyValue]) -> Map<String, Value> {
    let value = |pair: &KeyValue| pair.value.as_ref().and_then(|value| value.value.as_ref()).map_or(Value::Null, any);
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn any(value: &any_value::Value) -> Value {
    let inner = |value: &barnabas_sdk::otlp::AnyValue| value.value.as_ref().map_or(Value::Null, any);
    match value {
        any_value::Value::StringValue(text) => text.as_str().into(),
        any_value::Value::BoolValue(value) => (*value).into(),
        any_value::Value::IntValue(value) => (*value).into(),
        any_value::Value::DoubleValue(value) => number(*value),
        any_value::Value::ArrayValue(array) => array.values.iter().map(inner).collect(),
        any_value::Value::KvlistValue(list) => attributes(&list.values).into(),
        any_value::Value::BytesValue(bytes) => hex(bytes).into(),
        // An index into a table that only profiles have.
        any_value::Value::StringValueStrindex(_) => Value::Null,
    }
}

/// JSON has no NaN and no infinity, and Java clients send NaN for every gauge without a sample: those become text.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
