use std::io::Read;
use std::time::{Duration, SystemTime};

use barnabas_sdk::otlp::service::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse, Status};
use barnabas_sdk::otlp::{ExportMetricsServiceRequest, any_value};
use barnabas_sdk::testing::{self, HostBatch, Push, Report};
use barnabas_sdk::{ExportError, Receiver, http};
use prost::Message;

use crate::OtlpHttp;

const ENDPOINT: &str = r#"{"endpoint": "https://sink.example/v1/metrics"}"#;

fn two() -> HostBatch {
    let first = Push::gauge("a", 1.0).client_instance_id("AAAAAAAAAAAAAAAAAAAAAA").client_id("orders");
    testing::batch([first, Push::gauge("b", 2.0)])
}

fn export(settings: &str, batch: &HostBatch) -> Result<(), ExportError> {
    let mut receiver: OtlpHttp = testing::start(settings).unwrap();
    receiver.export_metrics(&batch.lend())
}

fn answered(response: http::Response) -> Result<(), ExportError> {
    testing::http::answer(move |_| Ok(response.clone()));
    export(ENDPOINT, &two())
}

fn protobuf(status: u16, message: &impl Message) -> http::Response {
    http::Response::new(status).header("Content-Type", "application/x-protobuf").body(message.encode_to_vec())
}

fn unavailable(outcome: Result<(), ExportError>) -> (Option<Duration>, String) {
    match outcome {
        Err(ExportError::Unavailable { retry_after, reason }) => (retry_after, reason),
        other => panic!("not unavailable but {other:?}"),
    }
}

fn misconfigured() -> String {
    match testing::reports().as_slice() {
        [Report::Misconfigured(reason)] => reason.clone(),
        other => panic!("not reported as misconfigured but {other:?}"),
    }
}

fn sent() -> (http::Request, Vec<Vec<(String, String)>>) {
    let request = testing::http::requests().pop().expect("something was sent");
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
    assert_eq!(answered(http::Response::new(200)), Ok(()));
    let (request, attributes) = sent();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://sink.example/v1/metrics"));
    assert_eq!(request.header_value("Content-Type"), Some("application/x-protobuf"));
    assert_eq!(request.header_value("content-encoding"), Some("gzip"));
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
fn headers_labels_and_compression_are_as_set() {
    testing::http::answer(|_| Ok(http::Response::new(200)));
    let settings = r#"{
        "endpoint": "http://sink:4318/v1/metrics",
        "headers": {"Authorization": "Bearer x"},
        "compression": "none",
        "labels": ["principal", "way_in"],
        "service_attributes": false,
        "timeout": "2500ms"
    }"#;
    let mut batch = two();
    batch.pushes[0].principal = Some("User:alice".to_owned());
    assert_eq!(export(settings, &batch), Ok(()));
    let (request, attributes) = sent();
    assert_eq!(request.header_value("authorization"), Some("Bearer x"));
    assert_eq!(request.header_value("content-encoding"), None);
    assert_eq!(request.timeout, Duration::from_millis(2500));
    let principal = ("principal".to_owned(), "User:alice".to_owned());
    let way_in = ("way_in".to_owned(), "sample".to_owned());
    assert_eq!(attributes, [vec![principal, way_in.clone()], vec![way_in]]);
}

#[test]
fn a_batch_that_only_says_who_is_gone_is_not_sent() {
    assert_eq!(export(ENDPOINT, &HostBatch::default()), Ok(()));
    assert!(testing::http::requests().is_empty());
}

#[test]
fn an_endpoint_that_is_busy_is_tried_again_when_it_says() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (wait, reason) = unavailable(answered(http::Response::new(status).header("Retry-After", "7")));
        assert_eq!(wait, Some(Duration::from_secs(7)));
        assert!(reason.contains("sink.example:443") && reason.contains(&status.to_string()), "{reason}");
    }
    assert_eq!(unavailable(answered(http::Response::new(503))).0, None);
    assert_eq!(testing::reports(), []);
}

#[test]
fn retry_after_may_be_a_date() {
    let now = || SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let wait = |value| crate::answer::wait_of(value, now);
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:27 GMT"), None, "a moment that is over asks for no wait");
    assert_eq!(wait("soon"), None);
    assert_eq!(wait("-1"), None);
}

#[test]
fn what_only_a_person_can_mend_is_told() {
    for (status, remedy) in [(401, "credentials"), (403, "credentials"), (404, "path"), (308, "redirects")] {
        unavailable(answered(http::Response::new(status)));
        let reason = misconfigured();
        assert!(reason.contains(remedy) && reason.contains(&status.to_string()), "{reason}");
    }
}

#[test]
fn a_destination_that_is_not_granted_is_named_as_a_grant_is_written() {
    testing::http::answer(|_| Err(http::Error::Denied("no".to_owned())));
    unavailable(export(ENDPOINT, &two()));
    let reason = misconfigured();
    assert!(reason.contains("grant the plugin `sink.example:443`"), "{reason}");
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_tried_again() {
    for error in [http::Error::Timeout("x".into()), http::Error::Connect("x".into()), http::Error::Protocol("x".into())]
    {
        testing::http::answer(move |_| Err(error.clone()));
        unavailable(export(ENDPOINT, &two()));
    }
    assert_eq!(testing::reports(), []);
}

#[test]
fn too_large_is_halved_by_the_host() {
    assert_eq!(answered(http::Response::new(413)), Err(ExportError::TooLarge));
}

#[test]
fn a_batch_that_the_endpoint_will_never_take_is_rejected_with_its_words() {
    let status = Status { code: 3, message: "metric name too long".to_owned() };
    let reason = "sink.example:443 answered 400: metric name too long".to_owned();
    assert_eq!(answered(protobuf(400, &status)), Err(ExportError::Rejected(reason)));
}

#[test]
fn points_that_the_endpoint_discarded_are_counted_and_told() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 4, error_message: "out of order".to_owned() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(partial) };
    assert_eq!(answered(protobuf(200, &answer)), Ok(()));
    assert_eq!(testing::reports(), [Report::RejectedPoints(4, "out of order".to_owned())]);
    assert!(testing::log_lines()[0].line.contains("discarded 4 points: out of order"));
}

#[test]
fn an_answer_of_rubbish_to_a_success_is_still_a_success() {
    let answer = http::Response::new(200).header("content-type", "application/x-protobuf").body([0xff; 40]);
    assert_eq!(answered(answer), Ok(()));
    assert_eq!(testing::reports(), []);
}

#[test]
fn long_words_are_cut_at_a_character() {
    let text = http::Response::new(503).header("content-type", "text/plain; charset=utf-8").body("ü".repeat(5000));
    let (_, reason) = unavailable(answered(text));
    assert!(reason.len() < 300 && reason.ends_with('ü'), "{reason}");
}

#[test]
fn wrong_settings_are_refused_in_words() {
    for (settings, named) in [
        ("{}", "missing field `endpoint`"),
        (r#"{"endpoint": "sink:4318"}"#, "`endpoint`"),
        (r#"{"endpoint": "http://sink:4318"}"#, "`http://sink:4318/v1/metrics`"),
        (r#"{"endpoint": "http://sink/x", "labels": ["client"]}"#, "`client`; choose from client_instance_id"),
        (r#"{"endpoint": "http://sink/x", "headers": {"Host": "a"}}"#, "`Host`"),
        (r#"{"endpoint": "http://sink/x", "headers": {"a b": "c"}}"#, "`a b`"),
        (r#"{"endpoint": "http://sink/x", "headers": {"a": "x\ny"}}"#, "line break"),
        (r#"{"endpoint": "http://sink/x", "compression": "zstd"}"#, "`gzip`"),
        (r#"{"endpoint": "http://sink/x", "timeout": "0s"}"#, "`timeout`"),
        (r#"{"endpoint": "http://sink/x", "timeout": "10"}"#, "100ms to 300s"),
        (r#"{"endpoint": "http://sink/x", "header": {}}"#, "`header`"),
    ] {
        let refusal = testing::start::<OtlpHttp>(settings).unwrap_err();
        assert!(refusal.contains(named), "{settings}: {refusal}");
    }
}
