//! Unmodified librdkafka clients.

use std::time::Duration;

use barnabas_tests::host::Setup;
use barnabas_tests::librdkafka::{self, LogListener, TelemetryLog};
use barnabas_tests::sink::OtlpSink;
use rdkafka::admin::AdminClient;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};

const PATIENCE: Duration = Duration::from_secs(40);

/// Polls a client until its log satisfies `enough`.
async fn until(ear: &LogListener, mut poll: impl FnMut(), enough: impl Fn(&TelemetryLog) -> bool) -> TelemetryLog {
    barnabas_tests::eventually("the client's own log", PATIENCE, || {
        poll();
        Some(ear.snapshot()).filter(&enough)
    })
    .await
}

fn poll_producer(producer: &BaseProducer<LogListener>) -> impl FnMut() {
    || {
        producer.poll(Duration::ZERO);
    }
}

fn poll_consumer(consumer: &BaseConsumer<LogListener>) -> impl FnMut() {
    || {
        let _ = consumer.poll(Duration::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_pushes_of_a_producer_and_a_consumer_arrive_at_the_sink() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).receiver("console", "console", "").start().await;
    let (producer, producer_ear) = librdkafka::producer(&host.bootstrap(), "orders-producer");
    let (consumer, consumer_ear) = librdkafka::consumer(&host.bootstrap(), "orders-consumer");
    consumer.subscribe(&["orders"]).unwrap();
    let first = until(&producer_ear, poll_producer(&producer), |said| said.acknowledged >= 3).await;
    let second = until(&consumer_ear, poll_consumer(&consumer), |said| said.acknowledged >= 3).await;
    for said in [first, second] {
        let id = said.instance_id.expect("the client logs its assigned id");
        let tally = barnabas_tests::eventually("its pushes at the sink", PATIENCE, || {
            sink.tally().get(&id).filter(|tally| tally.pushes.len() >= said.acknowledged).cloned()
        })
        .await;
        assert!(tally.points > 0, "points of {id}");
        assert_eq!(tally.labels["client_software_name"], "librdkafka");
        assert_eq!(tally.labels["node_id"], "1");
        assert_eq!(tally.labels["service.instance.id"], id, "set because the client sent none");
        assert!(said.refused.is_empty(), "{:?}", said.refused);
    }
    assert_eq!(host.ledger("otlp").shed_total(), 0);
    assert_eq!(host.ledger("console").dropped_total(), 0);
    tokio::task::spawn_blocking(move || drop((producer, consumer))).await.unwrap();
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_producer_sends_a_terminating_push_that_its_receiver_sees() {
    let host = Setup::new().receiver("facts", "facts", "").start().await;
    let (producer, ear) = librdkafka::producer(&host.bootstrap(), "short-lived");
    let said = until(&ear, poll_producer(&producer), |said| said.acknowledged >= 1).await;
    tokio::task::spawn_blocking(move || drop(producer)).await.unwrap();
    let id = said.instance_id.unwrap();
    let gone = barnabas_tests::eventually("a terminating push in the log", PATIENCE, || {
        let lines = host.log_lines("facts");
        lines.into_iter().find(|line| line.contains("\"gone\"") && line.contains(&id))
    })
    .await;
    assert!(gone.contains("terminated"), "{gone}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_client_pushes_too() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let admin: AdminClient<_> = librdkafka::admin(&host.bootstrap(), "an-admin");
    let _ = admin.inner().fetch_metadata(None, Duration::from_secs(5));
    barnabas_tests::eventually("a push of the admin client", PATIENCE, || {
        sink.tally().into_values().find(|tally| tally.labels.get("client_id").is_some_and(|id| id == "an-admin"))
    })
    .await;
    tokio::task::spawn_blocking(move || drop(admin)).await.unwrap();
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_receiver_telemetry_is_not_requested() {
    let host = Setup::new().start().await;
    let (producer, ear) = librdkafka::producer(&host.bootstrap(), "unasked");
    let metadata = producer.client().fetch_metadata(None, Duration::from_secs(10));
    for _ in 0..50 {
        producer.poll(Duration::from_millis(10));
    }
    let metadata = metadata.unwrap_or_else(|error| panic!("{error}: {:#?}", ear.snapshot().lines));
    assert_eq!(metadata.brokers().len(), 1);
    assert_eq!(metadata.brokers()[0].port(), i32::from(host.kafka().port()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    producer.poll(Duration::ZERO);
    assert_eq!(ear.snapshot().instance_id, None, "{:?}", ear.snapshot().lines);
    tokio::task::spawn_blocking(move || drop(producer)).await.unwrap();
    host.stop().await;
}
