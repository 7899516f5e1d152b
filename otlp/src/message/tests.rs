use opentelemetry_proto::tonic::collector::metrics::v1 as reference_service;
use opentelemetry_proto::tonic::metrics::v1 as reference;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::arbitrary;

#[test]
fn a_recorded_push_keeps_every_byte() {
    let recorded = include_bytes!("../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
    let ours = MetricsData::decode(recorded.as_slice()).unwrap();
    assert_eq!(ours.resource_metrics.len(), 89);
    assert_eq!(ours.encode_to_vec(), recorded);
    let request = ExportMetricsServiceRequest::decode(recorded.as_slice()).unwrap();
    assert_eq!(request.encode_to_vec(), recorded);
}

#[test]
fn answers_are_the_reference_s() {
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
fn a_status_skips_its_details() {
    // code 3, message "bad", details [Any { type_url "t" }]
    let wire = b"\x08\x03\x12\x03bad\x1a\x03\x0a\x01t";
    assert_eq!(Status::decode(wire.as_slice()).unwrap(), Status { code: 3, message: "bad".into() });
}

proptest! {
    #[test]
    fn the_reference_reads_what_we_write_and_writes_the_same(ours in arbitrary::metrics_data()) {
        let bytes = ours.encode_to_vec();
        let theirs = reference::MetricsData::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(&theirs.encode_to_vec(), &bytes);
        // Field by field too: a field that both skip would not show in bytes. As text, since NaN differs from itself;
        // ours read again, since neither writes a negative zero.
        let ours = MetricsData::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(format!("{theirs:?}"), format!("{ours:?}"));
        prop_assert_eq!(ours.encode_to_vec(), bytes);
    }
}
