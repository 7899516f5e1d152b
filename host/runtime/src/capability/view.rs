//! The typed view of a push: the interface `metrics-view` of the contract, for guests in a language without a protobuf
//! library.
//!
//! In: one push of a lent batch. Out: its OTLP message as WIT records, field by field. The host decodes the push at
//! each call and does not cache the result; the guest pays for each call from its CPU limit.

use barnabas_otlp::message::{self as otlp, any_value, exemplar, metric, number_data_point};
use prost::Message as _;
use serde_json::Value as Json;
use wasmtime::component::Resource;

use super::HostState;
use super::batch::LentBatch;
use crate::contract::wit::kafka_telemetry::receiver::metrics_view as wit;

impl wit::Host for HostState {
    fn decode(
        &mut self,
        batch: Resource<LentBatch>,
        push: u32,
    ) -> wasmtime::Result<Result<Vec<wit::ResourceMetrics>, String>> {
        Ok(decode(self.push(&batch, push)?.bytes()))
    }
}

/// The maximum size of a push that is decoded. Its records need up to about 200 times as much memory of the host, which
/// the memory limit of the guest does not include.
const MAX_BYTES: usize = 1 << 20;

/// Decodes the message into records.
pub fn decode(bytes: &[u8]) -> Result<Vec<wit::ResourceMetrics>, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!(
            "a push of {} bytes is too large to decode; the limit is {MAX_BYTES}: read its bytes instead",
            bytes.len()
        ));
    }
    let data = otlp::MetricsData::decode(bytes).map_err(|error| format!("not OTLP metrics: {error}"))?;
    Ok(convert_all(data.resource_metrics, resource))
}

fn convert_all<A, B>(items: Vec<A>, convert: fn(A) -> B) -> Vec<B> {
    items.into_iter().map(convert).collect()
}

fn resource(r: otlp::ResourceMetrics) -> wit::ResourceMetrics {
    wit::ResourceMetrics {
        attributes: convert_all(r.resource.unwrap_or_default().attributes, key_value),
        schema_url: r.schema_url,
        scopes: convert_all(r.scope_metrics, scope),
    }
}

fn scope(s: otlp::ScopeMetrics) -> wit::ScopeMetrics {
    let scope = s.scope.unwrap_or_default();
    wit::ScopeMetrics {
        scope_name: scope.name,
        scope_version: scope.version,
        scope_attributes: convert_all(scope.attributes, key_value),
        schema_url: s.schema_url,
        metrics: convert_all(s.metrics, metric),
    }
}

fn metric(m: otlp::Metric) -> wit::Metric {
    let data = m.data.map_or(wit::Data::Empty, data);
    wit::Metric { name: m.name, description: m.description, unit: m.unit, data }
}

fn data(data: metric::Data) -> wit::Data {
    match data {
        metric::Data::Gauge(g) => wit::Data::Gauge(convert_all(g.data_points, number_point)),
        metric::Data::Sum(s) => wit::Data::Sum(wit::Sum {
            aggregation: aggregation(s.aggregation_temporality),
            monotonic: s.is_monotonic,
            points: convert_all(s.data_points, number_point),
        }),
        metric::Data::Histogram(h) => wit::Data::Histogram(wit::Histogram {
            aggregation: aggregation(h.aggregation_temporality),
            points: convert_all(h.data_points, histogram_point),
        }),
        metric::Data::ExponentialHistogram(h) => wit::Data::ExponentialHistogram(wit::ExponentialHistogram {
            aggregation: aggregation(h.aggregation_temporality),
            points: convert_all(h.data_points, exponential_point),
        }),
        metric::Data::Summary(s) => wit::Data::Summary(convert_all(s.data_points, summary_point)),
    }
}

fn aggregation(number: i32) -> wit::Aggregation {
    match number {
        1 => wit::Aggregation::Delta,
        2 => wit::Aggregation::Cumulative,
        _ => wit::Aggregation::Unspecified,
    }
}

fn number_point(p: otlp::NumberDataPoint) -> wit::NumberPoint {
    wit::NumberPoint {
        attributes: convert_all(p.attributes, key_value),
        start_time_unix_nanos: p.start_time_unix_nano,
        time_unix_nanos: p.time_unix_nano,
        value: match p.value {
            None => wit::Number::Empty,
            Some(number_data_point::Value::AsInt(i)) => wit::Number::Integer(i),
            Some(number_data_point::Value::AsDouble(d)) => wit::Number::Double(d),
        },
        exemplars: convert_all(p.exemplars, exemplar),
        point_flags: p.flags,
    }
}

fn histogram_point(p: otlp::HistogramDataPoint) -> wit::HistogramPoint {
    wit::HistogramPoint {
        attributes: convert_all(p.attributes, key_value),
        start_time_unix_nanos: p.start_time_unix_nano,
        time_unix_nanos: p.time_unix_nano,
        count: p.count,
        sum: p.sum,
        bucket_counts: p.bucket_counts,
        explicit_bounds: p.explicit_bounds,
        exemplars: convert_all(p.exemplars, exemplar),
        point_flags: p.flags,
        min: p.min,
        max: p.max,
    }
}

fn exponential_point(p: otlp::ExponentialHistogramDataPoint) -> wit::ExponentialHistogramPoint {
    let buckets = |b: Option<otlp::exponential_histogram_data_point::Buckets>| {
        let b = b.unwrap_or_default();
        wit::Buckets { offset: b.offset, counts: b.bucket_counts }
    };
    wit::ExponentialHistogramPoint {
        attributes: convert_all(p.attributes, key_value),
        start_time_unix_nanos: p.start_time_unix_nano,
        time_unix_nanos: p.time_unix_nano,
        count: p.count,
        sum: p.sum,
        scale: p.scale,
        zero_count: p.zero_count,
        positive: buckets(p.positive),
        negative: buckets(p.negative),
        point_flags: p.flags,
        exemplars: convert_all(p.exemplars, exemplar),
        min: p.min,
        max: p.max,
        zero_threshold: p.zero_threshold,
    }
}

fn summary_point(p: otlp::SummaryDataPoint) -> wit::SummaryPoint {
    wit::SummaryPoint {
        attributes: convert_all(p.attributes, key_value),
        start_time_unix_nanos: p.start_time_unix_nano,
        time_unix_nanos: p.time_unix_nano,
        count: p.count,
        sum: p.sum,
        quantiles: convert_all(p.quantile_values, |q| wit::Quantile { quantile: q.quantile, value: q.value }),
        point_flags: p.flags,
    }
}

fn exemplar(e: otlp::Exemplar) -> wit::Exemplar {
    wit::Exemplar {
        filtered_attributes: convert_all(e.filtered_attributes, key_value),
        time_unix_nanos: e.time_unix_nano,
        value: match e.value {
            None => wit::Number::Empty,
            Some(exemplar::Value::AsInt(i)) => wit::Number::Integer(i),
            Some(exemplar::Value::AsDouble(d)) => wit::Number::Double(d),
        },
        span_id: e.span_id,
        trace_id: e.trace_id,
    }
}

fn key_value(kv: otlp::KeyValue) -> wit::KeyValue {
    wit::KeyValue { key: kv.key, value: any_value(kv.value.unwrap_or_default()) }
}

fn any_value(value: otlp::AnyValue) -> wit::AnyValue {
    use any_value::Value;
    match value.value {
        // An index into a string table, which exists only in OTLP profiles.
        None | Some(Value::StringValueStrindex(_)) => wit::AnyValue::Empty,
        Some(Value::StringValue(s)) => wit::AnyValue::Text(s),
        Some(Value::BoolValue(b)) => wit::AnyValue::Boolean(b),
        Some(Value::IntValue(i)) => wit::AnyValue::Integer(i),
        Some(Value::DoubleValue(d)) => wit::AnyValue::Double(d),
        Some(Value::BytesValue(b)) => wit::AnyValue::Bytes(b),
        Some(nested @ (Value::ArrayValue(_) | Value::KvlistValue(_))) => {
            wit::AnyValue::Json(json(otlp::AnyValue { value: Some(nested) }).to_string())
        }
    }
}

/// Converts a value to JSON. Bytes become base64, and doubles that JSON cannot represent become `"NaN"`, `"Infinity"`
/// or `"-Infinity"`.
fn json(value: otlp::AnyValue) -> Json {
    use any_value::Value;
    match value.value {
        None | Some(Value::StringValueStrindex(_)) => Json::Null,
        Some(Value::StringValue(s)) => s.into(),
        Some(Value::BoolValue(b)) => b.into(),
        Some(Value::IntValue(i)) => i.into(),
        Some(Value::DoubleValue(d)) => double(d),
        Some(Value::BytesValue(b)) => base64(&b).into(),
        Some(Value::ArrayValue(a)) => a.values.into_iter().map(json).collect(),
        Some(Value::KvlistValue(l)) => {
            Json::Object(l.values.into_iter().map(|kv| (kv.key, json(kv.value.unwrap_or_default()))).collect())
        }
    }
}

fn double(value: f64) -> Json {
    if value.is_nan() {
        return "NaN".into();
    }
    let infinite = if value > 0.0 { "Infinity" } else { "-Infinity" };
    serde_json::Number::from_f64(value).map_or_else(|| infinite.into(), Json::Number)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(value: any_value::Value) -> otlp::AnyValue {
        otlp::AnyValue { value: Some(value) }
    }

    /// A message of exactly this size, which has only an unknown field.
    fn message_of_size(size: usize) -> Vec<u8> {
        let mut bytes = vec![0x9a, 0x06];
        let mut rest = size - 2 - 3;
        for last in [false, false, true] {
            bytes.push((rest & 0x7f) as u8 | if last { 0 } else { 0x80 });
            rest >>= 7;
        }
        bytes.resize(size, 0);
        bytes
    }

    #[test]
    fn largest_push_obeyed() {
        assert!(decode(&message_of_size(MAX_BYTES)).unwrap().is_empty());
    }

    #[test]
    fn largest_push_violated() {
        assert!(decode(&message_of_size(MAX_BYTES + 1)).unwrap_err().contains("read its bytes instead"));
    }

    #[test]
    fn nested_values_come_as_json() {
        use any_value::Value;
        let array = otlp::ArrayValue {
            values: vec![value(Value::IntValue(1)), value(Value::DoubleValue(f64::NAN)), otlp::AnyValue::default()],
        };
        let pair = otlp::KeyValue {
            key: "list".into(),
            value: Some(value(Value::ArrayValue(array))),
            ..otlp::KeyValue::default()
        };
        let bytes = otlp::KeyValue {
            key: "bytes".into(),
            value: Some(value(Value::BytesValue(vec![1, 2, 3]))),
            ..otlp::KeyValue::default()
        };
        let map = value(Value::KvlistValue(otlp::KeyValueList { values: vec![pair, bytes] }));
        let wit::AnyValue::Json(text) = any_value(map) else { panic!("a map is JSON") };
        assert_eq!(text, r#"{"bytes":"AQID","list":[1,"NaN",null]}"#);
    }

    #[test]
    fn a_decoded_point_has_every_field() {
        let point = otlp::ExponentialHistogramDataPoint {
            scale: -2,
            zero_count: 3,
            negative: Some(otlp::exponential_histogram_data_point::Buckets { offset: -4, bucket_counts: vec![5, 6] }),
            flags: 1,
            exemplars: vec![otlp::Exemplar {
                value: Some(exemplar::Value::AsInt(-7)),
                trace_id: vec![9; 16],
                ..otlp::Exemplar::default()
            }],
            zero_threshold: 0.5,
            ..otlp::ExponentialHistogramDataPoint::default()
        };
        let metric = otlp::Metric {
            name: "m".into(),
            data: Some(metric::Data::ExponentialHistogram(otlp::ExponentialHistogram {
                data_points: vec![point],
                aggregation_temporality: 2,
            })),
            ..otlp::Metric::default()
        };
        let scope = otlp::ScopeMetrics { metrics: vec![metric], ..otlp::ScopeMetrics::default() };
        let resource = otlp::ResourceMetrics { scope_metrics: vec![scope], ..otlp::ResourceMetrics::default() };
        let bytes = otlp::MetricsData { resource_metrics: vec![resource] }.encode_to_vec();
        let decoded = decode(&bytes).unwrap();
        let wit::Data::ExponentialHistogram(histogram) = &decoded[0].scopes[0].metrics[0].data else {
            panic!("another kind: {decoded:?}")
        };
        assert_eq!(histogram.aggregation, wit::Aggregation::Cumulative);
        let point = &histogram.points[0];
        assert_eq!((point.scale, point.zero_count, point.point_flags, point.zero_threshold), (-2, 3, 1, 0.5));
        assert_eq!((point.negative.offset, point.negative.counts.as_slice()), (-4, [5, 6].as_slice()));
        assert_eq!(point.exemplars[0].trace_id, vec![9; 16]);
        assert!(matches!(point.exemplars[0].value, wit::Number::Integer(-7)));
        assert!(decode(&[0xff]).is_err());
    }
}
