//! `plugins/otlp-http` against a sink with the responses of real sinks.

use std::time::Duration;

use barnabas_base::InstanceId;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::ledger::LedgerView;
use barnabas_tests::prometheus::{self, pushes};
use barnabas_tests::raw::RawClient;
use barnabas_tests::single_batch;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::vectors;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message as _;

const PATIENCE: Duration = Duration::from_secs(40);

async fn start(sink: &OtlpSink) -> RunningHost {
    Setup::new().forwarding("otlp", &sink.url()).start().await
}

/// Pushes once from each of this number of clients.
async fn push(host: &RunningHost, clients: usize) {
    let vector = vectors::one("java-4.0-producer-cumulative.lz4");
    for _ in 0..clients {
        let mut client = RawClient::connect(host.kafka(), "forwarded").await;
        client.api_versions("apache-kafka-java").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
    }
}

async fn settled(host: &RunningHost, enough: impl Fn(&LedgerView) -> bool) -> LedgerView {
    barnabas_tests::eventually("the ledger to settle", PATIENCE, || Some(host.ledger("otlp")).filter(&enough)).await
}

fn vitals(host: &RunningHost) -> barnabas_lifecycle::generation_stats::StatsSnapshot {
    host.status("otlp").serving.expect("the plugin serves").stats
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_sink_is_retried() {
    let sink = OtlpSink::start().await;
    sink.answer(429, vec![("retry-after", "1".into())], vec![]);
    sink.answer(503, vec![], vec![]);
    let host = start(&sink).await;
    push(&host, 1).await;
    let ledger = settled(&host, |ledger| ledger.delivered() == 1).await;
    assert_eq!(sink.refused(), 2);
    assert_eq!(ledger.redelivered(), 2, "{ledger}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_mark_the_slot_misconfigured_until_they_are_accepted() {
    let sink = OtlpSink::start().await;
    sink.always(Some(401));
    let host = start(&sink).await;
    push(&host, 1).await;
    barnabas_tests::eventually("the slot to be misconfigured", PATIENCE, || vitals(&host).messages.misconfigured).await;
    sink.always(None);
    settled(&host, |ledger| ledger.delivered() == 1).await;
    barnabas_tests::eventually("the slot to recover", PATIENCE, || {
        vitals(&host).messages.misconfigured.is_none().then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_halved() {
    let sink = OtlpSink::start().await;
    let host = start(&sink).await;
    sink.answer(413, vec![], vec![]);
    push(&host, 8).await;
    let ledger = settled(&host, |ledger| ledger.delivered() == 8).await;
    assert_eq!(ledger.dropped_total(), 0, "{ledger}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_push_that_is_too_large_is_dropped() {
    let sink = OtlpSink::start().await;
    sink.always(Some(413));
    let host = start(&sink).await;
    push(&host, 1).await;
    let ledger = settled(&host, |ledger| ledger.dropped_total() == 1).await;
    assert_eq!(ledger.dropped("too-large"), 1, "{ledger}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_rejection_is_not_retried() {
    let sink = OtlpSink::start().await;
    sink.always(Some(400));
    let host = start(&sink).await;
    push(&host, 1).await;
    let ledger = settled(&host, |ledger| ledger.dropped_total() == 1).await;
    assert_eq!((ledger.dropped("rejected"), sink.refused()), (1, 1), "{ledger}");
    host.stop().await;
}

/// One push that Prometheus rejects together with its whole request, among 63 pushes of other clients: the receiver
/// needs at most `most` requests until only that push is dropped, with the error message of Prometheus.
async fn one_push_harms_only_itself(poison: Vec<u8>, words: &str, most: usize) {
    let sink = OtlpSink::start().await;
    sink.respond_with(prometheus::respond_like_prometheus);
    let host = single_batch::host(&sink.url()).await;
    let mut all = vec![pushes::sound(); 63];
    all.insert(40, poison);
    single_batch::push_together(&host, &all).await;
    let ledger = settled(&host, |ledger| ledger.delivered() + ledger.dropped_total() == 64).await;
    assert_eq!((ledger.delivered(), ledger.dropped_total()), (63, 1), "{ledger}");
    let said = vitals(&host).messages.last_error.map(|error| error.text).unwrap_or_default();
    assert!(said.contains(words), "{said}");
    let requests = sink.received().len() + sink.refused();
    assert!(requests <= most, "{requests} requests for 64 pushes");
    host.stop().await;
}

/// Requests to find one of 64: 2 × log2(64) + 1.
const SEARCH: usize = 13;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_a_sink_cannot_store_harms_only_itself() {
    let words = "answered 400: out of bounds: timestamp is too far in the future";
    one_push_harms_only_itself(pushes::with_future_timestamp(), words, SEARCH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_makes_a_sink_fail_harms_only_itself() {
    let words = "answered 500: normalization for metric \"\" resulted in empty name";
    // A server error is first retried four times, and once more if no other push was accepted before the failing push
    // was alone.
    one_push_harms_only_itself(pushes::nameless(), words, 5 + SEARCH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_success_is_counted() {
    let sink = OtlpSink::start().await;
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 7, error_message: "too old".into() };
    let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    sink.answer(200, vec![("content-type", "application/x-protobuf".into())], body);
    let host = start(&sink).await;
    push(&host, 1).await;
    settled(&host, |ledger| ledger.delivered() == 1).await;
    assert_eq!(vitals(&host).rejected_points, 7);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_identify_the_client_without_private_data_and_equal_resources_are_merged() {
    let sink = OtlpSink::start().await;
    let host = start(&sink).await;
    push(&host, 1).await;
    settled(&host, |ledger| ledger.delivered() == 1).await;
    let received = sink.received();
    assert_eq!(received[0].headers["content-encoding"], "gzip");
    assert_eq!(received[0].headers["content-type"], "application/x-protobuf");
    assert_eq!(received[0].headers["host"], sink.address().to_string());
    assert_eq!(received[0].request.resource_metrics.len(), 1, "86 equal resources are merged");
    let labels = barnabas_tests::sink::labels(&received[0].request.resource_metrics[0]);
    assert_eq!(labels["client_id"], "forwarded");
    assert_eq!(labels["client_software_name"], "apache-kafka-java");
    assert_eq!(labels["service.instance.id"], labels["client_instance_id"]);
    assert!(labels.contains_key("service.name"));
    for private in ["principal", "client_source_address", "client_source_port"] {
        assert!(!labels.contains_key(private), "{private} is off by default");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_sink_only_delays_delivery() {
    let sink = OtlpSink::start().await;
    let address = sink.address();
    let host = start(&sink).await;
    drop(sink);
    push(&host, 3).await;
    settled(&host, |ledger| ledger.redelivered() > 0 || ledger.held() == 3).await;
    assert_eq!(host.ledger("otlp").dropped_total() + host.ledger("otlp").shed_total(), 0);
    assert!(address.port() > 0);
    host.stop().await;
}
