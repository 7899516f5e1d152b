//! The librdkafka of Python's `confluent-kafka` packages, in releases with known bugs. They need Python with pip, so
//! `cargo xtask test python` runs these tests, and the plain test run reports them as skipped.

use std::time::Duration;

use barnabas_tests::host::Setup;
use barnabas_tests::process::{ClientExit, ClientProcess};
use barnabas_tests::python;
use barnabas_tests::sink::OtlpSink;

const PATIENCE: Duration = Duration::from_secs(60);
/// A release that pushes null if no metric matches; one that uses only the learned broker; a recent one.
const RELEASES: [&str; 3] = ["2.5.3", "2.10.0", "2.12.2"];

async fn close(peer: ClientProcess) -> ClientExit {
    let end = tokio::task::spawn_blocking(|| peer.close()).await.unwrap();
    assert!(end.status.success() && end.lines.last().is_some_and(|line| line == "closed"), "{end:?}");
    end
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test python"]
async fn every_kind_of_client_of_every_release_pushes_until_it_closes() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    for version in RELEASES {
        for kind in ["producer", "consumer", "admin"] {
            let name = format!("{kind}-{version}");
            let peer = python::client(version, kind, &host.bootstrap(), &name);
            let tally = barnabas_tests::eventually(&format!("pushes of {name}"), PATIENCE, || {
                let mut tallies = sink.tally().into_values();
                tallies.find(|tally| tally.labels["client_id"] == name && tally.pushes.len() >= 3)
            })
            .await;
            assert_eq!(tally.labels["client_software_name"], "confluent-kafka-python");
            close(peer).await;
        }
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test python"]
async fn null_metrics_are_an_empty_push_and_the_connection_stays_open() {
    let setup = Setup::new().with(|written| written.subscriptions[0].metrics = vec!["no.such.metric".into()]);
    let host = setup.receiver("taker", "taker", "").start().await;
    let peer = python::client("2.5.3", "producer", &host.bootstrap(), "null");
    barnabas_tests::eventually("empty pushes", PATIENCE, || (host.host.reception.ledger().empty >= 5).then_some(()))
        .await;
    let door = host.host.reception.ledger();
    assert_eq!(door.received, door.empty, "{door:?}");
    close(peer).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with pip: cargo xtask test python"]
async fn a_release_that_would_abort_its_process_is_not_subscribed() {
    let setup = Setup::new().with(|written| written.subscriptions[0].metrics = vec!["no.such.metric".into()]);
    let host = setup.receiver("taker", "taker", "").start().await;
    let mut peer = python::client("2.5.0", "producer", &host.bootstrap(), "fragile");
    let new = python::client("2.12.2", "producer", &host.bootstrap(), "robust");
    barnabas_tests::eventually("pushes of the other", PATIENCE, || {
        (host.host.reception.ledger().empty >= 20).then_some(())
    })
    .await;
    assert!(peer.is_running());
    close(peer).await;
    close(new).await;
    host.stop().await;
}
