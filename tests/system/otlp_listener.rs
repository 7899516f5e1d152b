//! `POST /v1/metrics` as OpenTelemetry exporters use it.

use std::io::Write as _;
use std::time::Duration;

use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::vectors;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Status, headers as text, body.
async fn post(host: &RunningHost, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(host.otlp()).await.unwrap();
    let mut head = format!("POST /v1/metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", host.otlp());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[split + 4..].to_vec())
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// A recorded push in an exporter's format, with the client id among the resource attributes.
fn request(client_id: &str) -> Vec<u8> {
    let vector = vectors::one("java-3.7-producer-cumulative.none");
    let mut request = ExportMetricsServiceRequest::decode(&vector.wire[..]).unwrap();
    for resource in &mut request.resource_metrics {
        let value = Some(AnyValue { value: Some(Value::StringValue(client_id.into())) });
        let attribute = KeyValue { key: "client_id".into(), value, ..Default::default() };
        resource.resource.get_or_insert_with(Resource::default).attributes.push(attribute);
    }
    request.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_plain_gzip_and_zstd_are_accepted_with_their_client_id() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let plain = request("from-an-exporter");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 3).unwrap();
    for (headers, body) in [
        (vec![PROTOBUF], plain.clone()),
        (vec![PROTOBUF, ("content-encoding", "gzip")], gzip.finish().unwrap()),
        (vec![PROTOBUF, ("content-encoding", "zstd")], zstd),
    ] {
        let (status, head, body) = post(&host, &headers, &body).await;
        assert_eq!(status, 200, "{headers:?}: {head}");
        assert!(ExportMetricsServiceResponse::decode(&body[..]).unwrap().partial_success.is_none());
    }
    let tally = barnabas_tests::eventually("three pushes at the sink", Duration::from_secs(20), || {
        sink.tally().into_values().find(|tally| tally.points == 3 * 89)
    })
    .await;
    assert_eq!(tally.labels["client_id"], "from-an-exporter");
    assert_eq!(tally.pushes.len(), 3, "three encodings are three pushes");
    host.stop().await;
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Five points, one of each kind, with the client id among the resource attributes.
const IN_JSON: &str = r#"{"resourceMetrics": [{
    "resource": {"attributes": [{"key": "client_id", "value": {"stringValue": "in-json"}}]},
    "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [
        {"name": "a", "gauge": {"dataPoints": [{"asInt": "-7", "timeUnixNano": "1544712660300000000"}]}},
        {"name": "b", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{"asDouble": 2.5}]}},
        {"name": "c", "histogram": {"dataPoints": [{"count": 2, "bucketCounts": ["1", "1"], "explicitBounds": [1]}]}},
        {"name": "d", "exponentialHistogram": {"dataPoints": [{"scale": -1, "positive": {"bucketCounts": [2]}}]}},
        {"name": "e", "summary": {"dataPoints": [{"quantileValues": [{"quantile": 0.5, "value": 1}]}]}}
    ]}]}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn json_arrives_at_a_sink_with_all_its_points() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(IN_JSON.as_bytes()).unwrap();
    for (headers, body) in
        [(vec![JSON], IN_JSON.into()), (vec![JSON, ("content-encoding", "gzip")], gzip.finish().unwrap())]
    {
        let (status, head, body) = post(&host, &headers, &body).await;
        assert_eq!((status, body.as_slice()), (200, &b"{}"[..]), "{headers:?}: {head}");
        assert!(head.contains("content-type: application/json"), "{head}");
    }
    let tally = barnabas_tests::eventually("two pushes at the sink", Duration::from_secs(20), || {
        sink.tally().into_values().find(|tally| tally.points == 2 * 5)
    })
    .await;
    assert_eq!(tally.names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    assert_eq!(tally.labels["client_id"], "in-json");

    let (status, head, body) = post(&host, &[JSON], br#"{"resourceMetrics": [{"schemaUrl": 3}]}"#).await;
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, said["code"].as_i64()), (400, Some(3)), "{head}");
    assert!(said["message"].as_str().unwrap().contains("resourceMetrics[0].schemaUrl"), "{said}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_requests_get_the_status_codes_of_the_otlp_specification() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let (status, _, body) = post(&host, &[PROTOBUF], b"\x0a\xff\xff").await;
    assert_eq!(status, 400);
    assert!(!body.is_empty(), "the body is a google.rpc.Status");
    let (status, ..) = post(&host, &[("content-type", "text/plain")], b"{}").await;
    assert_eq!(status, 415);
    let (status, ..) = post(&host, &[PROTOBUF, ("content-encoding", "br")], b"x").await;
    assert_eq!(status, 415);
    let (status, ..) = post(&host, &[PROTOBUF], &vec![0; (1 << 20) + 1]).await;
    assert_eq!(status, 413);
    let bomb = zstd::encode_all(&vec![0; 64 << 20][..], 3).unwrap();
    let (status, ..) = post(&host, &[PROTOBUF, ("content-encoding", "zstd")], &bomb).await;
    assert_eq!(status, 413, "a decompression bomb of {} bytes", bomb.len());
    let (status, ..) = post(&host, &[PROTOBUF], &request("still-served")).await;
    assert_eq!(status, 200, "other clients are unaffected");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_that_otlp_does_not_provide_are_absent_and_the_trace_parent_is_passed_on() {
    let host = Setup::new().receiver("facts", "facts", "").start().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (status, ..) = post(&host, &[PROTOBUF, ("traceparent", parent)], &request("traced")).await;
    assert_eq!(status, 200);
    let line = barnabas_tests::eventually("a line with its facts", Duration::from_secs(20), || {
        host.log_lines("facts").into_iter().find(|line| line.contains("traced"))
    })
    .await;
    assert!(line.contains(parent), "{line}");
    assert!(line.contains("otlp-http"), "{line}");
    assert!(!line.contains("apache-kafka-java"), "the client software is unknown: {line}");
    host.stop().await;
}
