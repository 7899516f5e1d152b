use barnabas_sdk::otlp::{
    AggregationTemporality, AnyValue, KeyValue, Metric, MetricsData, NumberDataPoint, Resource, ResourceMetrics,
    ScopeMetrics, Sum, any_value, metric, number_data_point,
};
use barnabas_sdk::testing::{self, TestPush};
use barnabas_sdk::{GoneReason, Receiver, clock};
use serde_json::{Value, json};

use crate::Console;

fn shown(settings: &str, push: TestPush) -> Vec<Value> {
    let mut console: Console = testing::start(settings).unwrap();
    console.export_metrics(&testing::batch([push]).lend()).unwrap();
    lines()
}

fn lines() -> Vec<Value> {
    testing::log_lines().into_iter().map(|line| serde_json::from_str(&line.line).unwrap()).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

fn sum_of(points: Vec<NumberDataPoint>) -> MetricsData {
    let sum = Sum {
        data_points: points,
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
        is_monotonic: true,
    };
    let metric = Metric {
        name: "org.apache.kafka.producer.connection.creation.total".to_owned(),
        data: Some(metric::Data::Sum(sum)),
        ..Default::default()
    };
    let resource = Resource { attributes: vec![text("group_id", "g")], ..Default::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..Default::default() };
    MetricsData {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..Default::default()
        }],
    }
}

fn point(value: i64, node: &str) -> NumberDataPoint {
    NumberDataPoint {
        value: Some(number_data_point::Value::AsInt(value)),
        attributes: vec![text("node_id", node)],
        time_unix_nano: 17,
        ..Default::default()
    }
}

#[test]
fn a_line_says_who_sent_what() {
    let push = TestPush::from_metrics(&sum_of(vec![point(3, "node-1")]))
        .client_instance_id("AAAAAAAAAAAAAAAAAAAAAA")
        .client_id("orders")
        .software("apache-kafka-java", "4.2.0");
    assert_eq!(
        shown("{}", push),
        [json!({
            "client_instance_id": "AAAAAAAAAAAAAAAAAAAAAA",
            "client_id": "orders",
            "software": "apache-kafka-java 4.2.0",
            "metric": "org.apache.kafka.producer.connection.creation.total",
            "kind": "sum",
            "temporality": "cumulative",
            "value": 3,
            "time_unix_nano": 17,
            "attributes": { "node_id": "node-1" },
            "resource": { "group_id": "g" },
        })]
    );
}

#[test]
fn unknown_facts_are_left_out() {
    let lines = shown("{}", TestPush::gauge("g", 1.5));
    assert_eq!(lines, [json!({ "metric": "g", "kind": "gauge", "value": 1.5, "time_unix_nano": 0 })]);
}

#[test]
fn a_gauge_without_a_sample_is_text_since_json_has_no_nan() {
    let values = [f64::NAN, f64::INFINITY].map(|value| shown("{}", TestPush::gauge("g", value))[0]["value"].clone());
    assert_eq!(values, ["NaN", "inf"]);
}

#[test]
fn only_metrics_with_a_configured_prefix_are_shown() {
    assert_eq!(shown(r#"{"prefixes": ["a.", "b"]}"#, TestPush::gauge("b.c", 1.0)).len(), 1);
    assert_eq!(shown(r#"{"prefixes": ["a.", "b."]}"#, TestPush::gauge("c", 1.0)).len(), 0);
}

#[test]
fn points_above_max_points_are_counted_and_not_shown() {
    let push = TestPush::from_metrics(&sum_of((0..5).map(|value| point(value, "node-1")).collect()));
    let mut console: Console = testing::start(r#"{"max_points": 2}"#).unwrap();
    console.export_metrics(&testing::batch([push]).lend()).unwrap();
    let lines = testing::log_lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[2].line.starts_with("3 more data points"), "{}", lines[2].line);
}

#[test]
fn a_client_that_is_gone_has_a_line() {
    let mut client = testing::gone_client("AAAAAAAAAAAAAAAAAAAAAA", GoneReason::Disconnected);
    client.client_id = Some("orders".to_owned());
    client.at = clock::from_unix_nanos(9);
    let mut console: Console = testing::start("{}").unwrap();
    console.export_metrics(&testing::gone([client]).lend()).unwrap();
    assert_eq!(
        lines(),
        [json!({
            "gone": "disconnected",
            "client_instance_id": "AAAAAAAAAAAAAAAAAAAAAA",
            "client_id": "orders",
            "time_unix_nano": 9,
        })]
    );
}

#[test]
fn a_limit_of_zero_is_refused() {
    let refusal = testing::start::<Console>(r#"{"max_points": 0}"#).unwrap_err().to_string();
    assert!(refusal.contains("`max_points`"), "{refusal}");
}
