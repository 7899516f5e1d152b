//! Graceful shutdown and forced shutdown.

use barnabas_base::InstanceId;
use barnabas_tests::host::Setup;
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::vectors;

#[tokio::test(flavor = "multi_thread")]
async fn every_push_that_was_acknowledged_before_shutdown_is_delivered_by_it() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let vector = vectors::one("librdkafka-2.16-consumer-cumulative.zstd");
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = RawClient::connect(host.kafka(), "hurried").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
        clients.push((client, subscribed));
    }
    host.stop().await;
    assert_eq!(sink.tally().len(), 20, "the linger is skipped and the queues are drained");
    for (mut client, _) in clients {
        assert_eq!(client.receive().await, None, "connections are closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_read_is_answered_before_its_connection_closes() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let vector = vectors::one("librdkafka-2.16-consumer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "late").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    let push = client.push_frame(&subscribed, vector.codec, &vector.wire, false);
    client.send(&push).await.unwrap();
    host.stop().await;
    assert_eq!(client.push_answer().await, Some(0));
}
