use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Reference;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::message::{
    AnyValue, ExportMetricsServiceRequest, KeyValue, MetricsData, Resource, ResourceMetrics, ScopeMetrics, any_value,
};
use crate::{arbitrary, walk};

fn label<'a>(attribute: &'a str, value: &'a str) -> ResourceLabel<'a> {
    ResourceLabel { attribute, value, when_absent: false }
}

fn absent<'a>(attribute: &'a str, value: &'a str) -> ResourceLabel<'a> {
    ResourceLabel { attribute, value, when_absent: true }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, key_strindex: 0 }
}

/// A reference implementation of `append` with structs: resources are in the order of their first occurrence.
fn model(data: &MetricsData, labels: &[ResourceLabel<'_>]) -> ExportMetricsServiceRequest {
    let mut merged: Vec<ResourceMetrics> = Vec::new();
    for block in &data.resource_metrics {
        let same = |other: &&mut ResourceMetrics| {
            let bytes = |block: &ResourceMetrics| block.resource.as_ref().map(|r| r.encode_to_vec());
            bytes(other) == bytes(block) && other.schema_url == block.schema_url
        };
        match merged.iter_mut().find(same) {
            Some(first) => first.scope_metrics.extend(block.scope_metrics.iter().cloned()),
            None => merged.push(block.clone()),
        }
    }
    for block in &mut merged {
        let resource = block.resource.get_or_insert_with(Resource::default);
        for label in labels {
            let has = resource.attributes.iter().any(|a| a.key == label.attribute);
            if label.when_absent && has {
                continue;
            }
            resource.attributes.retain(|a| a.key != label.attribute);
            resource.attributes.push(text(label.attribute, label.value));
        }
    }
    ExportMetricsServiceRequest { resource_metrics: merged }
}

fn labels() -> impl Strategy<Value = Vec<(String, String, bool)>> {
    let name = prop_oneof![Just("client_id".to_owned()), Just("a".to_owned()), "[b-z]{0,3}"];
    proptest::collection::vec((name, "[a-z]{0,200}", any::<bool>()), 1..4)
}

proptest! {
    #[test]
    fn the_reference_decoder_agrees_with_the_model(
        pushes in proptest::collection::vec(arbitrary::metrics_data(), 1..3),
        labels in labels(),
    ) {
        let labels: Vec<_> =
            labels.iter().map(|(a, v, w)| ResourceLabel { attribute: a, value: v, when_absent: *w }).collect();
        let (mut out, mut expected) = (Vec::new(), Vec::new());
        for push in &pushes {
            append(&mut out, &push.encode_to_vec(), &labels);
            expected.extend(model(push, &labels).resource_metrics);
        }
        let expected = ExportMetricsServiceRequest { resource_metrics: expected };
        let got = Reference::decode(out.as_slice()).unwrap();
        prop_assert_eq!(normal(got.encode_to_vec()), normal(expected.encode_to_vec()));
    }

    #[test]
    fn every_message_that_passes_the_check_becomes_a_valid_request(
        data in arbitrary::metrics_data(),
        damage in arbitrary::damage(),
    ) {
        let mut bytes = data.encode_to_vec();
        damage.iter().for_each(|damage| damage.inflict(&mut bytes));
        walk::repair(&mut bytes);
        let mut out = Vec::new();
        append(&mut out, &bytes, &[label("client_id", "c"), absent("a", "b")]);
        if let Ok(before) = walk::check(&bytes) {
            let after = walk::check(&out).unwrap();
            prop_assert_eq!((after.points, after.temporality), (before.points, before.temporality));
            let decoded = Reference::decode(out.as_slice()).unwrap();
            for block in decoded.resource_metrics {
                let resource = block.resource.unwrap();
                prop_assert_eq!(resource.attributes.iter().filter(|a| a.key == "client_id").count(), 1);
            }
        }
    }
}

/// Sorts the attributes of resources: the position of a label among them is unspecified.
fn normal(bytes: Vec<u8>) -> Vec<u8> {
    let mut request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
    for block in &mut request.resource_metrics {
        if let Some(resource) = &mut block.resource {
            resource.attributes.sort_by_key(|attribute| attribute.encode_to_vec());
        }
    }
    request.encode_to_vec()
}

#[test]
fn without_labels_pushes_are_copied() {
    let recorded = include_bytes!("../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
    let mut out = Vec::new();
    append(&mut out, recorded, &[]);
    append(&mut out, recorded, &[]);
    assert_eq!(out, [recorded.as_slice(), recorded].concat());
    assert_eq!(Reference::decode(out.as_slice()).unwrap().resource_metrics.len(), 178);
}

#[test]
fn equal_resources_of_a_recorded_java_push_become_one() {
    let recorded = include_bytes!("../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
    let mut out = Vec::new();
    append(&mut out, recorded, &[label("client_instance_id", "cBrordIqXpq0qkqcvYahPA")]);
    let request = Reference::decode(out.as_slice()).unwrap();
    assert_eq!(request.resource_metrics.len(), 1);
    assert_eq!(request.resource_metrics[0].scope_metrics.len(), 89);
    assert!(out.len() < recorded.len());
}

#[test]
fn labels_replace_or_yield() {
    let resource = Resource { attributes: vec![text("a", "sent"), text("b", "sent")], ..Resource::default() };
    let data = MetricsData {
        resource_metrics: vec![ResourceMetrics { resource: Some(resource), ..ResourceMetrics::default() }],
    };
    let mut out = Vec::new();
    append(&mut out, &data.encode_to_vec(), &[label("a", "host"), absent("b", "host"), absent("c", "host")]);
    let request = ExportMetricsServiceRequest::decode(out.as_slice()).unwrap();
    let attributes = &request.resource_metrics[0].resource.as_ref().unwrap().attributes;
    assert_eq!(*attributes, [text("b", "sent"), text("a", "host"), text("c", "host")]);
}

#[test]
fn two_occurrences_of_a_resource_are_merged_like_protobuf() {
    // ResourceMetrics { resource { a }, scope_metrics {}, resource { b, dropped 5 } }
    let one = Resource { attributes: vec![text("a", "1")], dropped_attributes_count: 3, ..Resource::default() };
    let two = Resource { attributes: vec![text("b", "2")], dropped_attributes_count: 5, ..Resource::default() };
    let first = ResourceMetrics {
        resource: Some(one),
        scope_metrics: vec![ScopeMetrics::default()],
        ..ResourceMetrics::default()
    };
    let second = ResourceMetrics { resource: Some(two), ..ResourceMetrics::default() };
    let body = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let mut push = Vec::new();
    crate::wire::put_delimited(&mut push, 1, &body);
    let mut out = Vec::new();
    append(&mut out, &push, &[label("x", "y")]);
    let request = ExportMetricsServiceRequest::decode(out.as_slice()).unwrap();
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes, [text("a", "1"), text("b", "2"), text("x", "y")]);
    assert_eq!((resource.dropped_attributes_count, request.resource_metrics[0].scope_metrics.len()), (5, 1));
}

#[test]
fn unknown_fields_are_preserved_and_prevent_merging() {
    // Two ResourceMetrics { 15: "u" }, then field 15 of the push itself.
    let push = b"\x0a\x03\x7a\x01u\x0a\x03\x7a\x01u\x7a\x01t";
    let mut out = Vec::new();
    append(&mut out, push, &[label("k", "v")]);
    assert_eq!(ExportMetricsServiceRequest::decode(out.as_slice()).unwrap().resource_metrics.len(), 2);
    assert_eq!(out.windows(3).filter(|w| w == b"\x7a\x01u").count(), 2);
    assert_eq!(out.windows(3).filter(|w| w == b"\x7a\x01t").count(), 1);
}

#[test]
fn more_resources_than_a_window_are_preserved() {
    let push = b"\x0a\x02\x12\x00".repeat(WINDOW + 1);
    let mut out = Vec::new();
    append(&mut out, &push, &[label("k", "v")]);
    let request = ExportMetricsServiceRequest::decode(out.as_slice()).unwrap();
    let scopes: Vec<_> = request.resource_metrics.iter().map(|block| block.scope_metrics.len()).collect();
    assert_eq!(scopes, [WINDOW, 1]);
}

/// Distinct resources of four bytes each, so that each of them gets the label.
fn distinct(blocks: u8) -> Vec<u8> {
    (0..blocks).flat_map(|n| [0x0a, 0x04, 0x0a, 0x02, 0x10, n & 0x7f]).collect()
}

#[test]
fn length_limit_obeyed() {
    let long = "v".repeat(100);
    let mut whole = Vec::new();
    append(&mut whole, &distinct(100), &[label("k", &long)]);
    let mut out = Vec::new();
    assert_eq!(append_within(&mut out, &distinct(100), &[label("k", &long)], whole.len()), Ok(()));
    assert_eq!(out, whole);
    assert_eq!(append_within(&mut Vec::new(), b"\x0a\x00", &[], 2), Ok(()));
}

#[test]
fn length_limit_violated() {
    let long = "v".repeat(100);
    let mut out = b"before".to_vec();
    assert_eq!(append_within(&mut out, &distinct(100), &[label("k", &long)], 5_000), Err(Oversize { limit: 5_000 }));
    assert_eq!(out, b"before");
    assert_eq!(append_within(&mut out, b"\x0a\x00", &[], 7), Err(Oversize { limit: 7 }));
}
