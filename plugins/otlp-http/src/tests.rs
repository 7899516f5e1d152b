use std::io::Read;
use std::time::Duration;

use barnabas_sdk::otlp::service::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse, Status};
use barnabas_sdk::otlp::{ExportMetricsServiceRequest, any_value};
use barnabas_sdk::testing::http::response;
use barnabas_sdk::testing::{self, HostBatch, Report, TestPush};
use barnabas_sdk::{ExportError, Receiver, http};
use prost::Message;

use crate::OtlpHttp;

const ENDPOINT: &str = r#"{"endpoint": "https://sink.example/v1/metrics"}"#;

fn two_pushes() -> HostBatch {
    let first = TestPush::gauge("a", 1.0).client_instance_id("AAAAAAAAAAAAAAAAAAAAAA").client_id("orders");
    testing::batch([first, TestPush::gauge("b", 2.0)])
}

fn export(settings: &str, batch: &HostBatch) -> Result<(), ExportError> {
    let mut receiver: OtlpHttp = testing::start(settings).unwrap();
    receiver.export_metrics(&batch.lend())
}

fn export_with_response(response: http::Response) -> Result<(), ExportError> {
    testing::http::respond_with(move |_| Ok(response.clone()));
    export(ENDPOINT, &two_pushes())
}

fn protobuf(status: u16, message: &impl Message) -> http::Response {
    response(status, &[("Content-Type", "application/x-protobuf")], message.encode_to_vec())
}

fn misconfigured(outcome: Result<(), ExportError>) -> String {
    match outcome {
        Err(ExportError::Misconfigured(reason)) => reason,
        other => panic!("not misconfigured but {other:?}"),
    }
}

fn sent_request() -> (http::Request, Vec<Vec<(String, String)>>) {
    let request = testing::http::requests().pop().expect("a request was sent");
    let mut body = request.body.clone();
    if request.header_value("content-encoding") == Some("gzip") {
        body.clear();
        flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).unwrap();
    }
    let decoded = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
    let attributes = decoded.resource_metrics.into_iter().map(|metrics| {
        let pairs = metrics.resource.unwrap_or_default().attributes.into_iter();
        pairs
            .map(|pair| match pair.value.and_then(|value| value.value) {
                Some(any_value::Value::StringValue(text)) => (pair.key, text),
                other => panic!("{} is {other:?}", pair.key),
            })
            .collect()
    });
    (request, attributes.collect())
}

#[test]
fn a_batch_is_one_gzip_request_that_says_who_sent_what() {
    assert_eq!(export_with_response(response(200, &[], "")), Ok(()));
    let (request, attributes) = sent_request();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://sink.example/v1/metrics"));
    assert_eq!(request.header_value("Content-Type"), Some("application/x-protobuf"));
    assert_eq!(request.header_value("content-encoding"), Some("gzip"));
    assert!(request.header_value("user-agent").is_some_and(|agent| agent.starts_with("barnabas-otlp-http/")));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        attributes,
        [
            vec![
                pair("client_instance_id", "AAAAAAAAAAAAAAAAAAAAAA"),
                pair("client_id", "orders"),
                pair("service.instance.id", "AAAAAAAAAAAAAAAAAAAAAA"),
                pair("service.name", "orders"),
            ],
            vec![],
        ]
    );
}

#[test]
fn headers_labels_and_compression_follow_the_settings() {
    testing::http::respond_with(|_| Ok(response(200, &[], "")));
    let settings = r#"{
        "endpoint": "http://sink:4318/v1/metrics",
        "headers": {"Authorization": "Bearer x", "User-Agent": "mine"},
        "compression": "none",
        "labels": ["principal", "ingress"],
        "service_attributes": false,
        "timeout": "2500ms"
    }"#;
    let batch = testing::batch([TestPush::gauge("a", 1.0).principal("User:alice"), TestPush::gauge("b", 2.0)]);
    assert_eq!(export(settings, &batch), Ok(()));
    let (request, attributes) = sent_request();
    assert_eq!(request.header_value("authorization"), Some("Bearer x"));
    assert_eq!(request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("user-agent")).count(), 1);
    assert_eq!(request.header_value("content-encoding"), None);
    assert_eq!(request.timeout, Duration::from_millis(2500));
    let principal = ("principal".to_owned(), "User:alice".to_owned());
    let ingress = ("ingress".to_owned(), "sample".to_owned());
    assert_eq!(attributes, [vec![principal, ingress.clone()], vec![ingress]]);
}

#[test]
fn a_batch_without_pushes_is_not_sent() {
    assert_eq!(export(ENDPOINT, &HostBatch::default()), Ok(()));
    assert!(testing::http::requests().is_empty());
}

// The SDK maps the status to the outcome, and its tests cover each status.
#[test]
fn the_status_decides_the_outcome_and_the_endpoints_message_is_kept() {
    let busy = ExportError::unavailable("sink.example:443 answered 503").retry_after(Duration::from_secs(7));
    assert_eq!(export_with_response(response(503, &[("Retry-After", "7")], "")), Err(busy));
    assert_eq!(export_with_response(response(413, &[], "")), Err(ExportError::TooLarge));
    let status = Status { code: 3, message: "metric name too long".to_owned() };
    let rejected = ExportError::rejected("sink.example:443 answered 400: metric name too long");
    assert_eq!(export_with_response(protobuf(400, &status)), Err(rejected));
    let refused = misconfigured(export_with_response(response(401, &[], "no such token")));
    assert_eq!(refused, "sink.example:443 answered 401: no such token; check the credentials");
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_named() {
    testing::http::respond_with(|_| Err(http::Error::Connect("the connection was refused".into())));
    let message = "the destination cannot be reached: sink.example:443: the connection was refused";
    assert_eq!(export(ENDPOINT, &two_pushes()), Err(ExportError::unavailable(message)));
    testing::http::respond_with(|_| Err(http::Error::Denied("it is not granted".into())));
    let message = misconfigured(export(ENDPOINT, &two_pushes()));
    assert_eq!(message, "the request was denied: sink.example:443: it is not granted");
}

#[test]
fn points_that_the_endpoint_rejected_are_counted_and_logged() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 4, error_message: "out of order".to_owned() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(partial) };
    assert_eq!(export_with_response(protobuf(200, &answer)), Ok(()));
    assert_eq!(testing::reports(), [Report::RejectedPoints(4, "out of order".to_owned())]);
    assert!(testing::log_lines()[0].line.contains("rejected 4 data points: out of order"));
}

#[test]
fn a_malformed_body_of_a_success_is_still_a_success() {
    let answer = response(200, &[("content-type", "application/x-protobuf")], [0xff; 40]);
    assert_eq!(export_with_response(answer), Ok(()));
    assert_eq!(testing::reports(), []);
}

#[test]
fn a_compressed_partial_success_is_read() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 4, error_message: "out of order".to_owned() };
    let plain = protobuf(200, &ExportMetricsServiceResponse { partial_success: Some(partial) });
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    assert_eq!(export_with_response(response(200, &headers, crate::gzip(&plain.body))), Ok(()));
    assert_eq!(testing::reports(), [Report::RejectedPoints(4, "out of order".to_owned())]);
}

#[test]
fn invalid_settings_are_refused_with_their_cause() {
    for (settings, named) in [
        ("{}", "missing field `endpoint`"),
        (r#"{"endpoint": "sink:4318"}"#, "`endpoint`"),
        (r#"{"endpoint": "http://sink:4318"}"#, "`http://sink:4318/v1/metrics`"),
        (r#"{"endpoint": "http://[::1/x"}"#, "invalid setting `endpoint`"),
        (r#"{"endpoint": "http://sink/x", "labels": ["client"]}"#, "`client`; the known facts are client_instance_id"),
        (r#"{"endpoint": "http://sink/x", "headers": {"Content-Type": "a"}}"#, "`Content-Type`"),
        (r#"{"endpoint": "http://sink/x", "headers": {"Content-Length": "1"}}"#, "`Content-Length`"),
        (r#"{"endpoint": "http://sink/x", "headers": {"Host": "a"}}"#, "`Host`"),
        (r#"{"endpoint": "http://sink/x", "headers": {"a b": "c"}}"#, "`a b`"),
        (r#"{"endpoint": "http://sink/x", "headers": {"a": "x\ny"}}"#, "line break"),
        (r#"{"endpoint": "http://sink/x", "compression": "zstd"}"#, "`gzip`"),
        (r#"{"endpoint": "http://sink/x", "timeout": "0s"}"#, "`timeout`"),
        (r#"{"endpoint": "http://sink/x", "timeout": "10"}"#, "not a duration"),
        (r#"{"endpoint": "http://sink/x", "timeout": "301s"}"#, "100ms to 300s"),
        (r#"{"endpoint": "http://sink/x", "header": {}}"#, "`header`"),
    ] {
        let refusal = testing::start::<OtlpHttp>(settings).unwrap_err().to_string();
        assert!(refusal.contains(named), "{settings}: {refusal}");
    }
}
