//! Sends every recorded push of a real client through the Kafka listener to the sink.

use std::time::Duration;

use barnabas_base::InstanceId;
use barnabas_pipeline::intake::Receipt;
use barnabas_pipeline::push::sample::SampleClient;
use barnabas_pipeline::push::{Ingress, Push};
use barnabas_tests::host::Setup;
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::vectors;

/// Data points of a recorded push, as counted by the reference decoder when it was recorded.
fn points(name: &str) -> usize {
    match name {
        name if name.starts_with("java-3.7-producer") => 89,
        name if name.starts_with("java-4.0-producer") => 86,
        name if name.starts_with("java-trunk-consumer") => 115,
        name if name.starts_with("librdkafka-2.16-consumer") => 15,
        name if name.starts_with("librdkafka-2.16-producer") => 10,
        name => panic!("{name} is not in the table"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_push_arrives_with_all_its_points() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let vectors = vectors::all();
    assert_eq!(vectors.len(), 23);
    let mut expected = Vec::new();
    for vector in &vectors {
        let mut client = RawClient::connect(host.kafka(), "replayed").await;
        client.api_versions("apache-kafka-java").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0), "{}", vector.name);
        expected.push((subscribed.instance.to_string(), points(&vector.name), &vector.name));
    }
    for (id, points, name) in expected {
        let tally = barnabas_tests::eventually(name, Duration::from_secs(20), || sink.tally().get(&id).cloned()).await;
        assert_eq!(tally.points, points, "{name}");
    }
    let ledger = host.ledger("otlp");
    assert_eq!((ledger.accepted(), ledger.delivered()), (23, 23), "{ledger}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_push_ends_only_its_own_instance() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let vector = vectors::one("librdkafka-2.16-producer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "ends").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, true).await, Some(0));
    assert_eq!(
        client.push(&subscribed, vector.codec, &vector.wire, false).await,
        Some(42),
        "pushed after its terminating push"
    );
    let again = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_ne!(again.instance, subscribed.instance);
    assert_eq!(client.push(&again, vector.codec, &vector.wire, false).await, Some(0));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedder_pushes_by_a_function_call() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let push = Push { ingress: Ingress::Embedder, ..SampleClient::Librdkafka.push() };
    let id = push.client.instance_id.unwrap().to_string();
    assert_eq!(host.host.deliver(push).await, Ok(Receipt::Accepted(1)));
    let tally =
        barnabas_tests::eventually("the embedder's push", Duration::from_secs(20), || sink.tally().remove(&id)).await;
    assert_eq!((tally.points, tally.pushes.len()), (15, 1));
    host.stop().await;
}
