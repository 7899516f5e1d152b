use opentelemetry_proto::tonic::collector::metrics::v1 as reference_service;
use opentelemetry_proto::tonic::metrics::v1 as reference;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::arbitrary;

#[test]
fn a_recorded_push_is_reencoded_byte_for_byte() {
    let recorded = include_bytes!("../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
    let ours = MetricsData::decode(recorded.as_slice()).unwrap();
    assert_eq!(ours.resource_metrics.len(), 89);
    assert_eq!(ours.encode_to_vec(), recorded);
    let request = ExportMetricsServiceRequest::decode(recorded.as_slice()).unwrap();
    assert_eq!(request.encode_to_vec(), recorded);
}

#[test]
fn responses_agree_with_the_reference() {
    let ours = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: -7,
            error_message: "no room".into(),
        }),
    };
    let theirs = reference_service::ExportMetricsServiceResponse::decode(ours.encode_to_vec().as_slice()).unwrap();
    let theirs = theirs.partial_success.unwrap();
    assert_eq!((theirs.rejected_data_points, theirs.error_message.as_str()), (-7, "no room"));
}

#[test]
fn the_details_of_a_status_are_skipped() {
    // code 3, message "bad", details [Any { type_url "t" }]
    let wire = b"\x08\x03\x12\x03bad\x1a\x03\x0a\x01t";
    assert_eq!(Status::decode(wire.as_slice()).unwrap(), Status { code: 3, message: "bad".into() });
}

proptest! {
    #[test]
    fn the_reference_decodes_our_messages_and_encodes_the_same_bytes(ours in arbitrary::metrics_data()) {
        let bytes = ours.encode_to_vec();
        let theirs = reference::MetricsData::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(&theirs.encode_to_vec(), &bytes);
        // Also compares the fields: a field that both skip would not change the bytes. As text, since NaN is not equal to
        // itself; ours is decoded again, since neither encodes a negative zero.
        let ours = MetricsData::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(format!("{theirs:?}"), format!("{ours:?}"));
        prop_assert_eq!(ours.encode_to_vec(), bytes);
    }
}
