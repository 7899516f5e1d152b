use opentelemetry_proto::tonic::metrics::v1 as reference;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::arbitrary;
use crate::message::{Metric, MetricsData, ResourceMetrics, ScopeMetrics, Sum, metric};

fn prost_accepts(bytes: &[u8]) -> bool {
    reference::MetricsData::decode(bytes).is_ok()
}

/// Checks that the walk and prost agree on messages without ill-formed strings, and after a repair on all messages.
fn agrees_with_prost(bytes: &[u8]) {
    let checked = check(bytes);
    let sound = matches!(checked, Ok(summary) if summary.bad_strings == 0);
    assert_eq!(sound, prost_accepts(bytes), "{checked:?} on {bytes:02x?}");
    let mut mended = bytes.to_vec();
    let strings = repair(&mut mended);
    assert_eq!(checked.is_ok(), prost_accepts(&mended), "after repair, {checked:?} on {bytes:02x?}");
    if let Ok(summary) = checked {
        assert_eq!(summary.bad_strings, strings);
        assert_eq!(check(&mended), Ok(PushSummary { bad_strings: 0, ..summary }));
    } else if let Err(error) = checked {
        assert!(error.offset <= bytes.len(), "{error:?}");
    }
}

fn points(data: &MetricsData) -> usize {
    let of = |metric: &Metric| match &metric.data {
        None => 0,
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::Summary(summary)) => summary.data_points.len(),
    };
    let scopes = data.resource_metrics.iter().flat_map(|block| &block.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).map(of).sum()
}

proptest! {
    #[test]
    fn every_valid_message_is_accepted_and_counted(data in arbitrary::metrics_data()) {
        let summary = check(&data.encode_to_vec()).unwrap();
        prop_assert_eq!(summary.points as usize, points(&data));
        prop_assert_eq!(summary.resources as usize, data.resource_metrics.len());
        prop_assert_eq!(summary.bad_strings, 0);
    }

    #[test]
    fn damaged_messages_agree_with_prost(data in arbitrary::metrics_data(), damage in arbitrary::damage()) {
        let mut bytes = data.encode_to_vec();
        damage.iter().for_each(|damage| damage.inflict(&mut bytes));
        agrees_with_prost(&bytes);
    }

    #[test]
    fn arbitrary_bytes_agree_with_prost(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        agrees_with_prost(&bytes);
    }

    /// Bytes that look like protobuf: random keys and short lengths reach further than random bytes.
    #[test]
    fn protobuf_like_bytes_agree_with_prost(
        bytes in proptest::collection::vec(prop_oneof![0..0x80u8, Just(0x0a), Just(0x12), Just(0x02), any::<u8>()], 0..60),
    ) {
        agrees_with_prost(&bytes);
    }
}

#[test]
fn recorded_pushes_are_accepted_and_their_prefixes_agree_with_prost() {
    let recorded = include_bytes!("../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
    let summary = check(recorded).unwrap();
    assert_eq!(
        summary,
        PushSummary { points: 89, temporality: PushTemporality::Cumulative, resources: 89, bad_strings: 0 }
    );
    for end in 0..recorded.len().min(600) {
        agrees_with_prost(&recorded[..end]);
    }
}

fn sums(temporalities: &[i32]) -> Vec<u8> {
    let metric = |aggregation_temporality: &i32| Metric {
        data: Some(metric::Data::Sum(Sum { aggregation_temporality: *aggregation_temporality, ..Sum::default() })),
        ..Metric::default()
    };
    let scope = ScopeMetrics { metrics: temporalities.iter().map(metric).collect(), ..ScopeMetrics::default() };
    let block = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    MetricsData { resource_metrics: vec![block] }.encode_to_vec()
}

#[test]
fn temporality_is_detected() {
    let of = |temporalities: &[i32]| check(&sums(temporalities)).unwrap().temporality;
    assert_eq!(of(&[]), PushTemporality::None);
    assert_eq!(of(&[0]), PushTemporality::None);
    assert_eq!(of(&[1, 1]), PushTemporality::Delta);
    assert_eq!(of(&[2]), PushTemporality::Cumulative);
    assert_eq!(of(&[2, 1]), PushTemporality::Mixed);
}

/// Nested `AnyValue` arrays in an attribute of a resource.
fn nested(levels: usize) -> Vec<u8> {
    let mut value = Vec::new();
    let wrap = |tag: u8, body: &[u8]| {
        let mut out = vec![tag];
        wire::put_varint(&mut out, body.len() as u64);
        out.extend_from_slice(body);
        out
    };
    for _ in 0..levels {
        value = wrap(0x2a, &wrap(0x0a, &value));
    }
    wrap(0x0a, &wrap(0x0a, &wrap(0x0a, &wrap(0x12, &value))))
}

#[test]
fn nesting_limit_obeyed() {
    assert_eq!(check(&nested(48)).map(|s| s.resources), Ok(1));
    agrees_with_prost(&nested(48));
}

#[test]
fn nesting_limit_violated() {
    assert_eq!(check(&nested(49)).map_err(|e| e.reason), Err(Reason::TooDeep));
    agrees_with_prost(&nested(49));
    let groups = [0xa3, 0x06].repeat(300);
    assert_eq!(check(&groups).map_err(|e| e.reason), Err(Reason::TooDeep));
}

#[test]
fn corner_cases_agree_with_prost() {
    let corners: &[&[u8]] = &[
        b"",
        // Unknown fields of each wire type, and a group that contains a field and a group.
        b"\xf8\x01\x05\xf9\x01AAAAAAAA\xfa\x01\x02ab\xfd\x01AAAA\xfb\x01\x08\x01\x0b\x0c\xfc\x01",
        // Groups: ended with another number, not ended, ended without a start.
        b"\xfb\x01\xf4\x01",
        b"\xfb\x01",
        b"\xfc\x01",
        // A known field with each wrong wire type, and with invalid wire types.
        b"\x08\x00",
        b"\x09AAAAAAAA",
        b"\x0b\x0c",
        b"\x0c",
        b"\x0dAAAA",
        b"\x0e",
        b"\x0f",
        b"\xfe\x01",
        // Field number 0; an overlong key; a key of more than 32 bits.
        b"\x02\x00",
        b"\x8a\x00\x00",
        b"\xff\xff\xff\xff\x7f",
        b"\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x00\x00",
        // Varints of 10 and 11 bytes and beyond 64 bits.
        b"\xf8\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xf8\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\xf8\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
        // A length of 2^64 - 1.
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ];
    corners.iter().for_each(|bytes| agrees_with_prost(bytes));
}

#[test]
fn packed_and_unpacked_lists_are_accepted() {
    // Histogram point: bucket_counts (6) packed, then unpacked; a packed one of 9 bytes is refused.
    let point = |fields: &[u8]| {
        let mut out = fields.to_vec();
        for tag in [0x0a, 0x4a, 0x12, 0x12, 0x0a] {
            let mut outer = vec![tag, out.len() as u8];
            outer.append(&mut out);
            out = outer;
        }
        out
    };
    assert_eq!(check(&point(b"\x32\x08AAAAAAAA\x31BBBBBBBB")).map(|s| s.points), Ok(1));
    assert_eq!(check(&point(b"\x32\x09AAAAAAAAA")).map_err(|e| e.reason), Err(Reason::Truncated));
    [&point(b"\x32\x08AAAAAAAA\x31BBBBBBBB"), &point(b"\x32\x09AAAAAAAAA")].iter().for_each(|b| agrees_with_prost(b));
}

#[test]
fn ill_formed_utf8_is_counted_and_repaired_in_place() {
    // Two equal resources with an ill-formed key: neither must be skipped as already checked.
    let block = b"\x0a\x0a\x0a\x08\x0a\x06\x0a\x04a\xff\xc3b".as_slice();
    let mut bytes = [block, block].concat();
    assert_eq!(check(&bytes).unwrap().bad_strings, 2);
    assert!(!prost_accepts(&bytes));
    assert_eq!(repair(&mut bytes), 2);
    assert_eq!(bytes, b"\x0a\x0a\x0a\x08\x0a\x06\x0a\x04a??b".repeat(2));
    assert!(prost_accepts(&bytes));
}
