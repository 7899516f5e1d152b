use std::collections::{BTreeMap, BTreeSet};

use barnabas_otlp::message::{MetricsData, NumberDataPoint, any_value, metric, number_data_point};
use prost::Message as _;

use super::*;
use crate::decode::tests::{RECORDED, codec_of, payload, push};
use crate::decode::{Decoded, Decoder};
use crate::push::{Client, Push};

fn recorded() -> impl Iterator<Item = (&'static str, Arc<Payload>)> {
    RECORDED.iter().map(|(name, wire)| (*name, Arc::new(payload(codec_of(name), wire))))
}

fn one(name: &str) -> Arc<Payload> {
    recorded().find(|(known, _)| known.starts_with(name)).unwrap().1
}

fn of_client(name: &str, client_id: &str, ingress: Ingress) -> Arc<Payload> {
    let (name, wire) = RECORDED.iter().find(|(known, _)| known.starts_with(name)).unwrap();
    let client = Arc::new(Client { client_id: Some(client_id.into()), ..Client::default() });
    let push = Push { client, ingress, ..push(codec_of(name), wire) };
    match Decoder::default().decode(crate::admission::Admitted::declared(push).unwrap()).unwrap() {
        Decoded::Payload(payload) => Arc::new(payload),
        Decoded::Empty => unreachable!("it was recorded with points"),
    }
}

fn data(payload: &Payload) -> MetricsData {
    MetricsData::decode(payload.bytes().as_ref()).unwrap()
}

/// Metric name, whether it is a sum, point.
fn points(data: &MetricsData) -> Vec<(&str, bool, &NumberDataPoint)> {
    let metrics = data.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let points = |data: &'static str| unreachable!("no client sends {data}");
    metrics
        .flat_map(|metric| match &metric.data {
            Some(metric::Data::Gauge(gauge)) => {
                gauge.data_points.iter().map(|p| (metric.name.as_str(), false, p)).collect::<Vec<_>>()
            }
            Some(metric::Data::Sum(sum)) => {
                sum.data_points.iter().map(|p| (metric.name.as_str(), true, p)).collect::<Vec<_>>()
            }
            _ => points("it"),
        })
        .collect()
}

fn is_nan(point: &NumberDataPoint) -> bool {
    matches!(point.value, Some(number_data_point::Value::AsDouble(value)) if value.is_nan())
}

fn nans(data: &MetricsData) -> usize {
    points(data).iter().filter(|(_, sum, point)| !sum && is_nan(point)).count()
}

/// Everything except the labels of all sums, in a fixed order.
fn sums(data: &MetricsData) -> Vec<(&str, u64, u64, String)> {
    let mut sums: Vec<_> = points(data)
        .into_iter()
        .filter(|(_, sum, _)| *sum)
        .map(|(name, _, p)| (name, p.start_time_unix_nano, p.time_unix_nano, format!("{:?}", p.value)))
        .collect();
    sums.sort();
    sums
}

/// The label keys of all points, and the values of those about nodes.
fn labels(data: &MetricsData) -> (BTreeSet<String>, BTreeSet<String>) {
    let attributes = || points(data).into_iter().flat_map(|(_, _, point)| point.attributes.clone());
    let text = |value: Option<any_value::Value>| match value {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    let nodes = attributes().filter(|a| a.key.starts_with("node")).map(|a| text(a.value.and_then(|v| v.value)));
    (attributes().map(|attribute| attribute.key).collect(), nodes.collect())
}

/// No other caller uses its forms, so this never waits.
fn normalised_by(payload: &Arc<Payload>, rules: &NormaliseConfig) -> Result<Arc<Payload>, Arc<str>> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(payload.normalised(rules))
}

fn normalised(payload: &Arc<Payload>) -> Arc<Payload> {
    normalised_by(payload, &NormaliseConfig::default()).unwrap()
}

#[test]
fn conformance_13_normalising_drops_only_nan_gauges() {
    let mut without = 0;
    for (name, payload) in recorded() {
        let (before, after) = (data(&payload), data(&normalised(&payload)));
        assert_eq!(after.resource_metrics.len(), 1, "{name}");
        assert_eq!(after.resource_metrics[0].scope_metrics.len(), 1, "{name}");
        assert_eq!(points(&after).len(), points(&before).len() - nans(&before), "{name}");
        assert_eq!(nans(&after), 0, "{name}");
        assert_eq!(sums(&after), sums(&before), "{name}");
        without += nans(&before);
    }
    assert!(without > 100, "Java sends 14 to 30 NaN gauges with each push");
}

#[test]
fn conformance_13_equal_metrics_are_merged() {
    for (name, payload) in recorded() {
        let after = data(&normalised(&payload));
        let metrics = &after.resource_metrics[0].scope_metrics[0].metrics;
        let names: BTreeSet<_> = metrics.iter().map(|metric| &metric.name).collect();
        assert_eq!(names.len(), metrics.len(), "{name}");
    }
}

#[test]
fn conformance_13_java_and_librdkafka_spell_their_nodes_alike() {
    for temporality in ["cumulative", "delta"] {
        let java = labels(&data(&normalised(&one(&format!("java-4.0-producer-{temporality}.zstd-1")))));
        let theirs = labels(&data(&normalised(&one(&format!("librdkafka-2.16-producer-{temporality}.zstd-1")))));
        assert_eq!(java.0, BTreeSet::from(["node_id".to_owned()]));
        assert_eq!(theirs.0, java.0);
        let javas = |text: &String| text.strip_prefix("node-").is_some_and(|number| number.parse::<i32>().is_ok());
        assert!(java.1.iter().all(javas) && theirs.1.iter().all(javas), "{java:?} {theirs:?}");
    }
    let sent = labels(&data(&one("librdkafka-2.16-producer-delta.zstd-1")));
    assert!(sent.0.contains("node.id"), "otherwise this test proves nothing: {sent:?}");
}

#[test]
fn conformance_13_a_metric_of_all_clients_has_one_description_and_one_unit() {
    let descriptions_of = |payload: &Payload| {
        let data = data(payload);
        let metrics = data.resource_metrics.into_iter().flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics);
        metrics.map(|m| (m.name, (m.description, m.unit))).collect::<Vec<_>>()
    };
    let by_name = |all: Vec<(String, (String, String))>| {
        let mut names: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        all.into_iter().for_each(|(name, text)| _ = names.entry(name).or_default().insert(text));
        names
    };
    let sent = by_name(recorded().flat_map(|(_, payload)| descriptions_of(&payload)).collect());
    assert!(sent.values().any(|texts| texts.len() > 1), "otherwise this test proves nothing");
    let after = by_name(recorded().flat_map(|(_, payload)| descriptions_of(&normalised(&payload))).collect());
    assert!(after.values().all(|texts| texts.len() == 1), "{after:?}");
    let texts_of = |name: &str| after[name].first().unwrap().clone();
    let latency = "org.apache.kafka.producer.node.request.latency.avg";
    assert_eq!(texts_of(latency), ("The average request latency in ms for a node.".into(), "ms".into()));
    assert_eq!(texts_of("org.apache.kafka.producer.request.latency.avg"), (String::new(), String::new()));
}

#[test]
fn normalising_is_idempotent_and_keeps_the_facts() {
    for (name, payload) in recorded() {
        let once = normalised(&payload);
        assert_eq!(normalised(&once).bytes(), once.bytes(), "{name}");
        assert_eq!(
            (once.id(), once.wire_len(), once.temporality()),
            (payload.id(), payload.wire_len(), payload.temporality())
        );
        assert_eq!(once.points() as usize, points(&data(&once)).len());
        assert_ne!(once.bytes(), payload.bytes(), "{name}");
    }
}

#[test]
fn a_push_is_normalised_once_for_receivers_with_the_same_rules() {
    let payload = of_client("librdkafka-2.16-producer", "tool-7", Ingress::Kafka);
    let rules = |patterns: &[&str]| {
        NormaliseConfig::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    };
    let by = |rules: NormaliseConfig| normalised_by(&payload, &rules).unwrap();
    let plain = normalised(&payload);
    assert!(Arc::ptr_eq(&plain, &by(rules(&["other"]))));
    let admin = by(rules(&["x", "tool-[0-9]"]));
    assert!(!Arc::ptr_eq(&plain, &admin));
    assert!(Arc::ptr_eq(&admin, &by(rules(&["tool-.*"]))));
}

#[test]
fn a_normalised_form_is_freed_with_its_last_batch() {
    let payload = one("librdkafka-2.16-producer-delta.zstd-1");
    let first = normalised(&payload);
    let (bytes, held) = (first.bytes().clone(), Arc::downgrade(&first));
    drop(first);
    assert_eq!(held.strong_count(), 0, "a queue accounts only for the bytes that were sent");
    assert_eq!(normalised(&payload).bytes(), &bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_one_form() {
    for (name, payload) in recorded() {
        let ask = |payload: Arc<Payload>| async move { payload.normalised(&NormaliseConfig::default()).await.unwrap() };
        let (here, there) = (tokio::spawn(ask(payload.clone())), tokio::spawn(ask(payload)));
        let (here, there) = (here.await.unwrap(), there.await.unwrap());
        assert!(Arc::ptr_eq(&here, &there), "{name}");
    }
}

#[test]
fn producer_metrics_become_admin_metrics_for_client_ids_that_match_in_full() {
    let rules = NormaliseConfig::new(&["tool".to_owned()]).unwrap();
    let names = |client: &str| {
        let payload = normalised_by(&of_client("librdkafka-2.16-producer", client, Ingress::Kafka), &rules).unwrap();
        let data = data(&payload);
        points(&data).iter().map(|(name, ..)| (*name).to_owned()).collect::<BTreeSet<_>>()
    };
    assert!(names("tool").iter().all(|name| name.starts_with("org.apache.kafka.admin.client.")), "{:?}", names("tool"));
    assert!(names("tool-1").iter().all(|name| name.starts_with("org.apache.kafka.producer.")));
    assert_eq!(names("tool").len(), names("tool-1").len());
}

#[test]
fn an_otlp_push_is_not_normalised() {
    let payload = of_client("java-4.0-producer", "x", Ingress::OtlpHttp);
    assert!(Arc::ptr_eq(&payload, &normalised(&payload)));
}

#[test]
fn a_push_that_cannot_be_normalised_has_a_reason() {
    // ResourceMetrics { ScopeMetrics { Metric { gauge {}, gauge {} } } }
    let split = b"\x0a\x08\x12\x06\x12\x04\x2a\x00\x2a\x00";
    let payload = Arc::new(payload(barnabas_base::Codec::None, split));
    assert!(normalised_by(&payload, &NormaliseConfig::default()).unwrap_err().contains("occurs twice"));
}

#[test]
fn patterns_cap_obeyed() {
    assert!(NormaliseConfig::new(&vec!["a".to_owned(); MAX_PATTERNS]).is_ok());
}

#[test]
fn patterns_cap_violated() {
    assert!(NormaliseConfig::new(&vec!["a".to_owned(); MAX_PATTERNS + 1]).unwrap_err().contains("and the most is 64"));
    assert!(NormaliseConfig::new(&["a)(b".to_owned()]).unwrap_err().contains("`a)(b`"));
}
