//! Two hosts that are configured with each other: a client that loses one host continues with the other, and vice
//! versa.

use std::collections::BTreeSet;
use std::time::Duration;

use barnabas_base::InstanceId;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::librdkafka::{self, LogListener};
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::two_hosts;
use barnabas_tests::vectors;
use rdkafka::producer::{BaseProducer, Producer as _};

const PATIENCE: Duration = Duration::from_secs(60);

async fn two(sinks: [&OtlpSink; 2]) -> [RunningHost; 2] {
    let at = two_hosts::free_ports();
    let setup = |id: i32| {
        let sink = sinks[id as usize - 1];
        Setup::new().with(|w| two_hosts::configure(w, id, at)).forwarding("otlp", &sink.url())
    };
    [setup(1).start().await, setup(2).start().await]
}

/// Distinct pushes of a client at a sink.
fn pushes(sink: &OtlpSink, id: &str) -> BTreeSet<String> {
    sink.tally().remove(id).unwrap_or_default().pushes
}

/// Number of GetTelemetrySubscriptions requests according to the client's log.
fn gets(ear: &LogListener) -> usize {
    ear.snapshot().lines.iter().filter(|line| line.contains("Sending GetTelemetryRequest")).count()
}

/// Polls the client until the sink has received `count` further pushes.
async fn more(what: &str, producer: &BaseProducer<LogListener>, sink: &OtlpSink, id: &str, count: usize) {
    let before = pushes(sink, id).len();
    barnabas_tests::eventually(what, PATIENCE, || {
        producer.poll(Duration::ZERO);
        (pushes(sink, id).len() >= before + count).then_some(())
    })
    .await;
}

/// The index of the host, 0 or 1, that the client pushes to.
async fn current_host(
    producer: &BaseProducer<LogListener>,
    ear: &LogListener,
    sinks: [&OtlpSink; 2],
) -> (usize, String) {
    barnabas_tests::eventually("three pushes at one of the sinks", PATIENCE, || {
        producer.poll(Duration::ZERO);
        let id = ear.snapshot().instance_id?;
        sinks.iter().position(|sink| pushes(sink, &id).len() >= 3).map(|host| (host, id))
    })
    .await
}

fn nothing_was_refused(ear: &LogListener) {
    // A request that was in flight when its connection closed is sent again; the host answered none with an error.
    let refused = ear.snapshot().refused;
    assert!(refused.iter().all(|why| why.contains("Local")), "{refused:?}");
}

/// A client with a push in flight: it must be answered before its connection closes, otherwise older Java clients fall
/// silent.
async fn pushing(host: &RunningHost) -> RawClient {
    let vector = vectors::one("librdkafka-2.16-consumer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "late").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    let push = client.push_frame(&subscribed, vector.codec, &vector.wire, false);
    client.send(&push).await.unwrap();
    client
}

async fn was_answered(mut client: RawClient, when: &str) {
    assert_eq!(client.push_answer().await, Some(0), "{when}");
    assert_eq!(client.receive().await, None, "{when}: then its connection closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_names_both_and_the_same_controller() {
    let (one, two_) = (OtlpSink::start().await, OtlpSink::start().await);
    let hosts = two([&one, &two_]).await;
    let observed = hosts.iter().map(|host| async {
        let (producer, _) = librdkafka::producer(&host.bootstrap(), "looker");
        tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(None, PATIENCE).unwrap();
            let mut brokers: Vec<_> =
                metadata.brokers().iter().map(|b| (b.id(), b.host().to_owned(), b.port())).collect();
            brokers.sort();
            brokers
        })
        .await
        .unwrap()
    });
    let expected: Vec<_> =
        (1..).zip(&hosts).map(|(id, host)| (id, "127.0.0.1".to_owned(), i32::from(host.kafka().port()))).collect();
    for observed in observed {
        assert_eq!(observed.await, expected);
    }
    for host in hosts {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_host_stops_gracefully_pushes_to_the_other() {
    let (one, other) = (OtlpSink::start().await, OtlpSink::start().await);
    let sinks = [&one, &other];
    let hosts = two(sinks).await;
    let bootstrap = hosts.each_ref().map(RunningHost::bootstrap).join(",");
    let (producer, ear) = librdkafka::producer(&bootstrap, "orders-producer");
    let (at, id) = current_host(&producer, &ear, sinks).await;
    let [first, second] = hosts;
    let (leaving, staying) = if at == 0 { (first, second) } else { (second, first) };
    let asked = gets(&ear);
    let late = pushing(&leaving).await;
    leaving.stop().await;
    was_answered(late, "when its host stopped").await;
    more("pushes at the other host", &producer, sinks[1 - at], &id, 5).await;
    assert_eq!(ear.snapshot().instance_id.as_deref(), Some(id.as_str()), "it is the same client");
    assert!(gets(&ear) <= asked + 1, "at most one more request: {} after {asked}", gets(&ear));
    nothing_was_refused(&ear);
    tokio::task::spawn_blocking(move || drop(producer)).await.unwrap();
    staying.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_silences_no_client() {
    let (one, other) = (OtlpSink::start().await, OtlpSink::start().await);
    let sinks = [&one, &other];
    let [first, second] = two(sinks).await;
    let bootstrap = [first.bootstrap(), second.bootstrap()].join(",");
    let (producer, ear) = librdkafka::producer(&bootstrap, "orders-producer");
    let (at, id) = current_host(&producer, &ear, sinks).await;
    let [mut up, mut next] = if at == 0 { [first, second] } else { [second, first] };
    // Twice per host: first the one that the client pushes to, then the one that it moved to.
    for round in 0..4 {
        let taking = sinks[(at + round + 1) % 2];
        let late = pushing(&up).await;
        let setup = up.stop_into_setup().await;
        was_answered(late, &format!("in round {round}")).await;
        more(&format!("pushes at the other host in round {round}"), &producer, taking, &id, 3).await;
        let back = setup.start().await;
        // The stopped host is back before the other one stops.
        RawClient::connect(back.kafka(), "looker").await.api_versions("looker").await;
        (up, next) = (next, back);
    }
    nothing_was_refused(&ear);
    assert_eq!(ear.snapshot().instance_id.as_deref(), Some(id.as_str()), "it is the same client");
    tokio::task::spawn_blocking(move || drop(producer)).await.unwrap();
    up.stop().await;
    next.stop().await;
}
