use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::message::*;
use crate::{arbitrary, walk};

const RULES: NormaliseRules<'_> = NormaliseRules {
    resource_keys: &[("member_id", "group_member_id")],
    labels: &[NumberedLabel { from: "node.id", to: "node_id", prefix: "node-" }],
    prefixes: &[("a.", "b.c.")],
    described: None,
};

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn point(value: f64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    let value = Some(number_data_point::Value::AsDouble(value));
    NumberDataPoint { value, attributes, ..NumberDataPoint::default() }
}

fn gauge(name: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    Metric { name: name.into(), data: Some(metric::Data::Gauge(Gauge { data_points })), ..Metric::default() }
}

fn block(attributes: Vec<KeyValue>, metrics: Vec<Metric>) -> ResourceMetrics {
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }
}

fn normalised(resource_metrics: Vec<ResourceMetrics>) -> Vec<ResourceMetrics> {
    let bytes = MetricsData { resource_metrics }.encode_to_vec();
    MetricsData::decode(normalise(&bytes, &RULES, usize::MAX).unwrap().as_slice()).unwrap().resource_metrics
}

#[test]
fn equal_parts_are_merged_and_points_stay_in_order() {
    let one = |name, value| block(vec![text("a", "1")], vec![gauge(name, vec![point(value, vec![])])]);
    let other = block(vec![text("a", "2")], vec![gauge("m", vec![point(9.0, vec![])])]);
    let sent = vec![one("m", 1.0), one("n", 2.0), other.clone(), one("m", 3.0)];
    let m = gauge("m", vec![point(1.0, vec![]), point(3.0, vec![])]);
    let joined = block(vec![text("a", "1")], vec![m, gauge("n", vec![point(2.0, vec![])])]);
    assert_eq!(normalised(sent), [joined, other]);
}

#[test]
fn metrics_that_differ_are_not_merged() {
    let sum = |temporality, monotonic| Metric {
        name: "m".into(),
        data: Some(metric::Data::Sum(Sum {
            data_points: vec![point(1.0, vec![])],
            aggregation_temporality: temporality,
            is_monotonic: monotonic,
        })),
        ..Metric::default()
    };
    let unit = Metric { unit: "ms".into(), ..gauge("m", vec![point(1.0, vec![])]) };
    let metrics = vec![sum(1, true), sum(2, true), sum(1, false), unit, gauge("m", vec![point(1.0, vec![])])];
    let sent = vec![block(vec![], metrics)];
    assert_eq!(normalised(sent.clone()), sent);
}

#[test]
fn nan_gauges_are_removed_with_their_empty_parents() {
    let nan = || vec![point(f64::NAN, vec![])];
    let sent = vec![
        block(vec![text("a", "1")], vec![gauge("m", nan())]),
        block(vec![text("a", "2")], vec![gauge("m", nan()), gauge("n", vec![point(1.0, vec![])]), gauge("o", vec![])]),
    ];
    let left = block(vec![text("a", "2")], vec![gauge("n", vec![point(1.0, vec![])]), gauge("o", vec![])]);
    assert_eq!(normalised(sent), [left]);
    assert!(normalised(vec![block(vec![], vec![gauge("m", nan())])]).is_empty());
}

#[test]
fn a_nan_sum_stays() {
    let sum = Sum { data_points: vec![point(f64::NAN, vec![])], ..Sum::default() };
    let metric = Metric { data: Some(metric::Data::Sum(sum)), ..Metric::default() };
    let bytes = MetricsData { resource_metrics: vec![block(vec![], vec![metric])] }.encode_to_vec();
    assert_eq!(walk::check(&normalise(&bytes, &RULES, usize::MAX).unwrap()).unwrap().points, 1);
}

#[test]
fn conformance_13_names_follow_the_rules() {
    let labels = vec![text("x", "y"), number("node.id", -1), number("z", 3)];
    let sent = vec![block(
        vec![text("a", "1"), text("member_id", "m"), text("b", "2")],
        vec![gauge("a.x", vec![point(1.0, labels)]), gauge("aa.x", vec![point(1.0, vec![number("node.id", 7)])])],
    )];
    let labels = vec![text("x", "y"), text("node_id", "node--1"), number("z", 3)];
    let wanted = vec![block(
        vec![text("a", "1"), text("group_member_id", "m"), text("b", "2")],
        vec![
            gauge("b.c.x", vec![point(1.0, labels)]),
            gauge("aa.x", vec![point(1.0, vec![text("node_id", "node-7")])]),
        ],
    )];
    assert_eq!(normalised(sent), wanted);
}

#[test]
fn conformance_13_a_metric_has_one_description_and_one_unit() {
    let said = |name: &str, description: &str, unit: &str| Metric {
        description: description.into(),
        unit: unit.into(),
        ..gauge(name, vec![point(1.0, vec![])])
    };
    let described = [
        MetricDescription { name: "b.c.x", description: "What x is.", unit: "ms" },
        MetricDescription { name: "count", description: "How many.", unit: "" },
    ];
    let rules = NormaliseRules { described: Some(&described), ..RULES };
    let sent = vec![
        said("a.x", "", ""),
        said("b.c.x", "their own words", "s"),
        said("b.c.x", "What x is.", "ms"),
        said("count", "How many.", "{request}"),
        said("unknown", "one says this", "By"),
        said("unknown", "", ""),
    ];
    let bytes = MetricsData { resource_metrics: vec![block(vec![], sent)] }.encode_to_vec();
    let once = normalise(&bytes, &rules, usize::MAX).unwrap();
    let data = MetricsData::decode(once.as_slice()).unwrap();
    let metrics = &data.resource_metrics[0].scope_metrics[0].metrics;
    let all: Vec<_> = metrics.iter().map(|m| (m.name.as_str(), m.description.as_str(), m.unit.as_str())).collect();
    assert_eq!(all, [("b.c.x", "What x is.", "ms"), ("count", "How many.", ""), ("unknown", "", "")]);
    assert_eq!(walk::check(&once).unwrap().points, 6, "merged, and no point is lost");
    assert_eq!(normalise(&once, &rules, usize::MAX).unwrap(), once);
}

#[test]
fn names_stay_if_the_new_key_exists_or_the_value_has_another_type() {
    let resource = vec![text("member_id", "m"), text("group_member_id", "g")];
    let points = vec![
        point(1.0, vec![number("node.id", 1), text("node_id", "mine")]),
        point(1.0, vec![text("node.id", "text")]),
    ];
    let sent = vec![block(resource, vec![gauge("x.a.", points)])];
    assert_eq!(normalised(sent.clone()), sent);
}

#[test]
fn unknown_fields_are_preserved_and_prevent_merging() {
    // Two ResourceMetrics { 15: "u" }, then field 15 of the push itself.
    let push = b"\x0a\x03\x7a\x01u\x0a\x03\x7a\x01u\x7a\x01t";
    assert_eq!(normalise(push, &RULES, usize::MAX).unwrap(), push);
}

#[test]
fn split_data_is_refused() {
    // ResourceMetrics { ScopeMetrics { Metric { gauge {}, gauge {} } } }
    let push = b"\x0a\x08\x12\x06\x12\x04\x2a\x00\x2a\x00";
    assert_eq!(normalise(push, &RULES, usize::MAX), Err(NormaliseError::SplitData));
}

#[test]
fn parts_cap_obeyed() {
    let points = vec![NumberDataPoint::default(); MAX_PARTS - 3];
    let data = MetricsData { resource_metrics: vec![block(vec![], vec![gauge("m", points)])] };
    let out = normalise(&data.encode_to_vec(), &RULES, usize::MAX).unwrap();
    assert_eq!(walk::check(&out).unwrap().points as usize, MAX_PARTS - 3);
}

#[test]
fn parts_cap_violated() {
    let points = vec![NumberDataPoint::default(); MAX_PARTS - 2];
    let data = MetricsData { resource_metrics: vec![block(vec![], vec![gauge("m", points)])] };
    assert_eq!(normalise(&data.encode_to_vec(), &RULES, usize::MAX), Err(NormaliseError::TooManyParts));
}

/// The test ends in time only if lookups happen once: looking up each attribute would take more than 10^10 steps.
#[test]
fn many_equal_labels_and_attributes_are_looked_up_once() {
    let keys = |key: &str, taken: &str| {
        let equal = (0..200_000).map(|_| number(key, 1));
        equal.chain([number(taken, 1)]).collect::<Vec<_>>()
    };
    let points = vec![point(1.0, keys("node.id", "node_id"))];
    let sent = vec![block(keys("member_id", "group_member_id"), vec![gauge("m", points)])];
    assert_eq!(normalised(sent.clone()), sent);
}

#[test]
fn renamed_cap_obeyed() {
    let labels = |count| (0..count).map(|_| number("node.id", 1)).collect::<Vec<_>>();
    let members = (0..MAX_PARTS / 2).map(|_| text("member_id", "m")).collect();
    let sent = block(members, vec![gauge("m", vec![point(1.0, labels(MAX_PARTS / 2))])]);
    let out = normalised(vec![sent]);
    let Some(metric::Data::Gauge(gauge)) = &out[0].scope_metrics[0].metrics[0].data else { panic!("not a gauge") };
    assert!(gauge.data_points[0].attributes.iter().all(|label| *label == text("node_id", "node-1")));
    let members = &out[0].resource.as_ref().unwrap().attributes;
    assert!(members.iter().all(|attribute| *attribute == text("group_member_id", "m")));
}

#[test]
fn renamed_cap_violated() {
    let labels = |count| (0..count).map(|_| number("node.id", 1)).collect::<Vec<_>>();
    let points = vec![point(1.0, labels(MAX_PARTS)), point(1.0, labels(1))];
    let data = MetricsData { resource_metrics: vec![block(vec![], vec![gauge("m", points)])] };
    assert_eq!(normalise(&data.encode_to_vec(), &RULES, usize::MAX), Err(NormaliseError::TooManyParts));
    let members = (0..=MAX_PARTS).map(|_| text("member_id", "m")).collect();
    let data = MetricsData { resource_metrics: vec![block(members, vec![gauge("m", vec![point(1.0, vec![])])])] };
    assert_eq!(normalise(&data.encode_to_vec(), &RULES, usize::MAX), Err(NormaliseError::TooManyParts));
}

#[test]
fn length_limit_obeyed_and_violated() {
    let data = MetricsData { resource_metrics: vec![block(vec![], vec![gauge("m", vec![point(1.0, vec![])])])] };
    let bytes = data.encode_to_vec();
    assert_eq!(normalise(&bytes, &RULES, bytes.len()).unwrap(), bytes);
    assert_eq!(normalise(&bytes, &RULES, bytes.len() - 1), Err(NormaliseError::TooLong(bytes.len() - 1)));
}

/// Number of gauge points with the value NaN.
fn nans(data: &MetricsData) -> u32 {
    let is_nan = |point: &&NumberDataPoint| matches!(point.value, Some(number_data_point::Value::AsDouble(value)) if value.is_nan());
    let metrics = data.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let count = |metric: &Metric| match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.iter().filter(is_nan).count() as u32,
        _ => 0,
    };
    metrics.map(count).sum()
}

/// All sum points with the names of their metrics, sorted.
fn sums(data: &MetricsData) -> Vec<(String, Vec<u8>)> {
    let metrics = data.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let mut all: Vec<_> = metrics
        .flat_map(|metric| match &metric.data {
            Some(metric::Data::Sum(sum)) => sum.data_points.iter().map(|p| (metric.name.clone(), p)).collect(),
            _ => Vec::new(),
        })
        .map(|(name, point)| (name, point.encode_to_vec()))
        .collect();
    all.sort();
    all
}

/// Sets points with odd flags to NaN, which the strategy never generates.
fn without_some_numbers(mut data: MetricsData) -> MetricsData {
    let scopes = data.resource_metrics.iter_mut().flat_map(|r| &mut r.scope_metrics);
    for metric in scopes.flat_map(|s| &mut s.metrics) {
        let points = match &mut metric.data {
            Some(metric::Data::Gauge(gauge)) => &mut gauge.data_points,
            Some(metric::Data::Sum(sum)) => &mut sum.data_points,
            _ => continue,
        };
        for point in points.iter_mut().filter(|point| point.flags % 2 == 1) {
            point.value = Some(number_data_point::Value::AsDouble(f64::NAN));
        }
    }
    data
}

proptest! {
    #[test]
    fn points_are_preserved_and_normalising_is_idempotent(data in arbitrary::metrics_data()) {
        // Without prefix rules, since names are random and those of sums are compared below.
        let described = [MetricDescription { name: "m", description: "A description.", unit: "1" }];
        let rules = NormaliseRules { prefixes: &[], described: Some(&described), ..RULES };
        let data = without_some_numbers(data);
        let bytes = data.encode_to_vec();
        let before = walk::check(&bytes).unwrap();
        let once = normalise(&bytes, &rules, usize::MAX).unwrap();
        let after = walk::check(&once).unwrap();
        let decoded = MetricsData::decode(once.as_slice()).unwrap();
        prop_assert_eq!((after.bad_strings, nans(&decoded)), (0, 0));
        prop_assert_eq!(after.points, before.points - nans(&data));
        prop_assert_eq!(sums(&decoded), sums(&data));
        prop_assert_eq!(normalise(&once, &rules, usize::MAX).unwrap(), once);
    }

    #[test]
    fn every_message_that_passes_the_check_stays_valid(data in arbitrary::metrics_data(), damage in arbitrary::damage()) {
        let mut bytes = data.encode_to_vec();
        damage.iter().for_each(|damage| damage.inflict(&mut bytes));
        let sound = walk::check(&bytes).is_ok();
        // On unchecked bytes any result is fine, but it must return.
        let out = normalise(&bytes, &RULES, usize::MAX);
        if let (true, Ok(out)) = (sound, out) {
            prop_assert!(walk::check(&out).is_ok());
        }
    }
}
