use barnabas_otlp::message::{self, MetricsData, any_value, exemplar, metric, number_data_point};
use barnabas_otlp::walk;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;

#[path = "../../../../../otlp/src/arbitrary.rs"]
mod arbitrary;
mod print;

fn read(json: &serde_json::Value) -> MetricsData {
    let bytes = to_protobuf(json.to_string().as_bytes(), usize::MAX).unwrap();
    walk::check(&bytes).unwrap();
    MetricsData::decode(bytes.as_slice()).unwrap()
}

fn invalid(json: &str) -> String {
    match to_protobuf(json.as_bytes(), usize::MAX) {
        Err(JsonError::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn of_metric(metric: serde_json::Value) -> serde_json::Value {
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] })
}

fn metric_of(data: &MetricsData) -> &message::Metric {
    &data.resource_metrics[0].scope_metrics[0].metrics[0]
}

fn point_of(point: serde_json::Value) -> message::NumberDataPoint {
    let data = read(&of_metric(json!({ "gauge": { "dataPoints": [point] } })));
    match &metric_of(&data).data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// `examples/metrics.json` of the OTLP specification.
#[test]
fn the_example_of_the_specification_is_accepted() {
    let data = read(&serde_json::from_str(include_str!("tests/example.json")).unwrap());
    let resource = &data.resource_metrics[0];
    let attribute = &resource.resource.as_ref().unwrap().attributes[0];
    assert_eq!(attribute.key, "service.name");
    let scope = &resource.scope_metrics[0];
    assert_eq!(scope.scope.as_ref().unwrap().version, "1.0.0");
    let names: Vec<_> = scope.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["my.counter", "my.gauge", "my.histogram", "my.exponential.histogram"]);
    let Some(metric::Data::Sum(sum)) = &scope.metrics[0].data else { panic!("a sum") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (1, true));
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(5.0)));
    assert_eq!(sum.data_points[0].time_unix_nano, 1_544_712_660_300_000_000);
    let Some(metric::Data::Histogram(histogram)) = &scope.metrics[2].data else { panic!("a histogram") };
    let point = &histogram.data_points[0];
    assert_eq!(
        (point.bucket_counts.as_slice(), point.explicit_bounds.as_slice()),
        ([1, 1].as_slice(), [1.0].as_slice())
    );
    assert_eq!((point.sum, point.min, point.max), (Some(2.0), Some(0.0), Some(2.0)));
    let Some(metric::Data::ExponentialHistogram(histogram)) = &scope.metrics[3].data else { panic!("another") };
    let positive = histogram.data_points[0].positive.as_ref().unwrap();
    assert_eq!((positive.offset, positive.bucket_counts.as_slice()), (1, [0, 2].as_slice()));
}

#[test]
fn numbers_may_be_numbers_or_strings() {
    for (sent, expected) in [
        (json!("9223372036854775807"), i64::MAX),
        (json!(i64::MIN), i64::MIN),
        (json!("-7"), -7),
        (json!(1.0), 1),
        (json!("1e3"), 1000),
    ] {
        assert_eq!(point_of(json!({ "asInt": sent })).value, Some(number_data_point::Value::AsInt(expected)), "{sent}");
    }
    for (sent, expected) in [
        (json!("Infinity"), f64::INFINITY),
        (json!("-Infinity"), f64::NEG_INFINITY),
        (json!("2.5"), 2.5),
        (json!(3), 3.0),
        (json!(-3), -3.0),
    ] {
        let value = point_of(json!({ "asDouble": sent })).value;
        assert_eq!(value, Some(number_data_point::Value::AsDouble(expected)), "{sent}");
    }
    let Some(number_data_point::Value::AsDouble(nan)) = point_of(json!({ "asDouble": "NaN" })).value else { panic!() };
    assert!(nan.is_nan());
    assert_eq!(point_of(json!({ "timeUnixNano": u64::MAX.to_string() })).time_unix_nano, u64::MAX);
}

#[test]
fn numbers_out_of_range_are_refused_with_their_path() {
    for (field, value) in [
        ("asInt", "9223372036854775808"),
        ("asInt", "1.5"),
        ("asInt", "\"x\""),
        ("asInt", "\"inf\""),
        ("asInt", "true"),
        ("timeUnixNano", "-1"),
        ("timeUnixNano", "\"18446744073709551616\""),
        ("flags", "4294967296"),
        ("asDouble", "\"nan\""),
        ("asDouble", "[]"),
        ("attributes", "[null]"),
        ("attributes", "{}"),
    ] {
        let text = format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{}},\n{{\"gauge\":{{\"dataPoints\":[{{\"{field}\":{value}}}]}}}}]}}]}}]}}"
        );
        let why = invalid(&text);
        let place = format!("resourceMetrics[0].scopeMetrics[0].metrics[1].gauge.dataPoints[0].{field}");
        assert!(why.starts_with(&format!("not OTLP metrics in JSON: {place}")), "{why}");
        assert!(why.contains("at line 2 column"), "{why}");
    }
}

#[test]
fn names_may_be_camel_case_or_snake_case_and_unknown_ones_are_ignored() {
    let camel = json!({ "resourceMetrics": [{ "schemaUrl": "s", "scopeMetrics": [] }] });
    let snake = json!({ "resource_metrics": [{ "schema_url": "s", "scope_metrics": [] }] });
    assert_eq!(read(&camel), read(&snake));
    let strange = json!({ "resourceMetrics": [{ "schemaUrl": "s", "new": { "deep": [1, { "er": null }] } }], "x": 1 });
    assert_eq!(read(&strange), read(&camel));
    assert_eq!(read(&json!({ "ResourceMetrics": [{}], "resource_Metrics": [{}] })), MetricsData::default());
}

#[test]
fn null_is_absent() {
    let sent = json!({ "name": null, "gauge": null, "unit": "ms", "metadata": null, "sum": { "dataPoints": null } });
    let data = read(&of_metric(sent));
    let metric = metric_of(&data);
    assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("", "ms"));
    assert!(matches!(&metric.data, Some(metric::Data::Sum(sum)) if sum.data_points.is_empty()));
    assert!(invalid("null").contains("send an object"));
    assert_eq!(read(&json!({ "resourceMetrics": null })), MetricsData::default());
}

#[test]
fn temporality_is_a_number_or_a_name() {
    for (sent, expected) in [(json!(2), 2), (json!("AGGREGATION_TEMPORALITY_DELTA"), 1), (json!(9), 9)] {
        let data = read(&of_metric(json!({ "sum": { "aggregationTemporality": sent } })));
        let Some(metric::Data::Sum(sum)) = &metric_of(&data).data else { panic!("a sum") };
        assert_eq!(sum.aggregation_temporality, expected);
    }
    let why = invalid(&of_metric(json!({ "sum": { "aggregationTemporality": "DELTA" } })).to_string());
    assert!(why.contains("AGGREGATION_TEMPORALITY_DELTA"), "{why}");
}

#[test]
fn ids_are_hexadecimal_and_other_bytes_base64() {
    let trace = json!({ "traceId": "5B8EFFF798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "asInt": "1" });
    let exemplar = &point_of(json!({ "exemplars": [trace] })).exemplars[0];
    assert_eq!(exemplar.trace_id[..4], [0x5b, 0x8e, 0xff, 0xf7]);
    assert_eq!((exemplar.trace_id.len(), exemplar.span_id.len()), (16, 8));
    assert_eq!(exemplar.value, Some(exemplar::Value::AsInt(1)));
    for text in ["+/8=", "+/8", "-_8=", "-_8"] {
        let point = point_of(json!({ "attributes": [{ "key": "k", "value": { "bytesValue": text } }] }));
        let value = point.attributes[0].value.as_ref().unwrap().value.clone();
        assert_eq!(value, Some(any_value::Value::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
    let point = |field: &str| of_metric(json!({ "gauge": { "dataPoints": [{ "exemplars": [{ field: "xyz" }] }] } }));
    assert!(invalid(&point("traceId").to_string()).contains("hexadecimal"));
}

#[test]
fn a_singular_field_that_is_repeated_is_refused() {
    let both = of_metric(json!({ "gauge": {}, "sum": {} }));
    assert!(invalid(&both.to_string()).contains("metrics[0].sum: another field of the same oneof"));
    let twice = invalid(r#"{"resourceMetrics":[{"schemaUrl":"a","schema_url":"b"}]}"#);
    assert!(twice.contains("resourceMetrics[0].schemaUrl: duplicate field"), "{twice}");
}

#[test]
fn invalid_json_is_refused() {
    for text in
        ["", "{", "[]", "{} {}", "{\"resourceMetrics\": [}", "\u{7}", "\"x\"", "{\"resourceMetrics\":\"\\ud800\"}"]
    {
        assert!(invalid(text).contains("line "), "{text}");
    }
    assert!(to_protobuf(b"{\"resourceMetrics\":[{\"schemaUrl\":\"\xff\"}]}", usize::MAX).is_err(), "not UTF-8");
}

#[test]
fn lengths_of_every_size_are_right() {
    for len in [0, 1, 110, 127, 128, 129, 16_383, 16_384, 3_000_000] {
        let data = read(&of_metric(json!({ "name": "x".repeat(len) })));
        assert_eq!(metric_of(&data).name.len(), len);
    }
}

/// An attribute of nested lists.
fn nested(levels: usize) -> String {
    let value = "{\"arrayValue\":{\"values\":[".repeat(levels) + "{}" + &"]}}".repeat(levels);
    format!("{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{{\"value\":{value}}}]}}}}]}}")
}

#[test]
fn nesting_limit_obeyed() {
    walk::check(&to_protobuf(nested(38).as_bytes(), usize::MAX).unwrap()).unwrap();
}

#[test]
fn nesting_limit_violated() {
    for levels in [45, 100_000] {
        assert!(invalid(&nested(levels)).contains("recursion limit"), "{levels}");
    }
    // Unknown fields are not subject to this limit, and need no stack.
    let unknown = format!("{{\"x\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(to_protobuf(unknown.as_bytes(), usize::MAX), Ok(Vec::new()));
}

/// Doubles that take two bytes each in JSON and eight in protobuf.
fn bounds(count: usize) -> String {
    let bounds = vec![0; count];
    of_metric(json!({ "histogram": { "dataPoints": [{ "explicitBounds": bounds }] } })).to_string()
}

#[test]
fn output_limit_obeyed() {
    let whole = to_protobuf(bounds(1000).as_bytes(), usize::MAX).unwrap();
    assert_eq!(to_protobuf(bounds(1000).as_bytes(), whole.len()), Ok(whole));
}

#[test]
fn output_limit_violated() {
    assert_eq!(to_protobuf(bounds(1000).as_bytes(), 7000), Err(JsonError::TooLarge));
    let whole = to_protobuf(bounds(1000).as_bytes(), usize::MAX).unwrap();
    assert_eq!(to_protobuf(bounds(1000).as_bytes(), whole.len() - 1), Err(JsonError::TooLarge));
}

proptest! {
    #[test]
    fn the_json_form_round_trips(data in arbitrary::metrics_data(), style in print::style()) {
        let text = print::request(&data, style).to_string();
        let bytes = to_protobuf(text.as_bytes(), usize::MAX).unwrap();
        prop_assert_eq!(MetricsData::decode(bytes.as_slice()).unwrap(), data);
    }

    #[test]
    fn damaged_json_is_refused_or_yields_valid_protobuf(
        data in arbitrary::metrics_data(),
        damage in arbitrary::damage(),
    ) {
        let mut text = print::request(&data, print::JsonStyle::default()).to_string().into_bytes();
        damage.iter().for_each(|damage| damage.inflict(&mut text));
        if let Ok(bytes) = to_protobuf(&text, usize::MAX) {
            prop_assert_eq!(walk::check(&bytes).unwrap().bad_strings, 0);
        }
    }
}
