//! Kafka's own Java clients and command-line tools, of several releases. They need a JDK and Maven, so `cargo xtask
//! test java` runs these tests, and the plain test run reports them as skipped.

use std::process::Output;
use std::time::Duration;

use barnabas_lifecycle::change::PluginChange;
use barnabas_pipeline::clients::ClientFilter;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::java;
use barnabas_tests::process::ClientProcess;
use barnabas_tests::security::Realm;
use barnabas_tests::sink::{ClientTally, OtlpSink};
use barnabas_tests::swapping;
use barnabas_tests::two_hosts;

/// A JVM starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The first release with KIP-714, the last 3.x release, one that requests a subscription only once, and the newest.
const CLIENTS: [&str; 4] = ["3.7.2", "3.9.1", "4.2.0", "4.4.0"];
const COMMANDS: [&str; 3] = ["3.9.1", "4.2.0", "4.4.0"];

/// In Kafka 4.4.0 the class of `kafka-configs` is in another package than in all earlier releases.
fn configs_command(version: &str) -> &'static str {
    if version == "4.4.0" { "org.apache.kafka.tools.ConfigCommand" } else { "kafka.admin.ConfigCommand" }
}

/// The points of the client with this id, once `enough` holds.
async fn arrived(sink: &OtlpSink, client_id: &str, enough: impl Fn(&ClientTally) -> bool) -> ClientTally {
    barnabas_tests::eventually(&format!("pushes of {client_id}"), PATIENCE, || {
        sink.tally().into_values().find(|tally| tally.labels["client_id"] == client_id && enough(tally))
    })
    .await
}

/// Closes a client on a blocking thread, and asserts that it exited successfully.
async fn close(peer: ClientProcess) {
    let end = tokio::task::spawn_blocking(|| peer.close()).await.unwrap();
    assert!(end.status.success() && end.lines.last().is_some_and(|line| line == "closed"), "{end:?}");
}

/// The output of a client metrics command, which must succeed.
async fn metrics_command(host: &RunningHost, version: &'static str, words: &[&str]) -> String {
    let output = command(host, version, "org.apache.kafka.tools.ClientMetricsCommand", words).await;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {out}\n{}", String::from_utf8_lossy(&output.stderr));
    out
}

async fn command(host: &RunningHost, version: &'static str, class: &'static str, words: &[&str]) -> Output {
    let bootstrap = host.bootstrap();
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let run = move || {
        let mut all = vec!["--bootstrap-server", bootstrap.as_str()];
        all.extend(words.iter().map(String::as_str));
        java::command(version, class, &all)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn every_kind_of_client_of_every_release_pushes_until_it_closes() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    for version in CLIENTS {
        // The 3.x admin client never pushes by itself.
        let kinds: &[&str] = if version.starts_with('3') {
            &["producer", "consumer", "group"]
        } else {
            &["producer", "consumer", "group", "admin"]
        };
        for kind in kinds {
            let name = format!("{kind}-{version}");
            let peer = java::client(version, kind, &host.bootstrap(), &name, &[]);
            let tally = arrived(&sink, &name, |tally| tally.pushes.len() >= 3).await;
            assert_eq!(tally.labels["client_software_name"], "apache-kafka-java");
            assert_eq!(tally.labels["client_software_version"], version);
            close(peer).await;
        }
    }
    let door = host.host.reception.ledger();
    assert_eq!(door.refused.get("invalid_record"), None, "{door:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn kafkas_client_metrics_command_works_unchanged() {
    let host = Setup::new().with(|written| written.subscriptions.clear()).receiver("taker", "taker", "").start().await;
    for version in COMMANDS {
        let run = async |words: &[&str]| metrics_command(&host, version, words).await;
        let alter =
            ["--alter", "--name", "basic", "--metrics", "org.apache.kafka.producer.,org.apache.kafka.consumer."];
        let rest = ["--interval", "60000", "--match", "client_software_name=apache-kafka-java,client_id=orders-.*"];
        let said = run(&[&alter[..], &rest[..]].concat()).await;
        assert!(said.contains("Altered client metrics config for basic."), "{said}");
        assert_eq!(run(&["--list"]).await.trim(), "basic");
        let said = run(&["--describe", "--name", "basic"]).await;
        assert!(said.starts_with("Client metrics configs for basic are:"), "{said}");
        for line in [
            "  interval.ms=60000",
            "  match=client_software_name=apache-kafka-java,client_id=orders-.*",
            "  metrics=org.apache.kafka.producer.,org.apache.kafka.consumer.",
        ] {
            assert!(said.contains(line), "{line} in {said}");
        }
        run(&["--alter", "--name", "basic", "--interval", ""]).await;
        let said = run(&["--describe", "--name", "basic"]).await;
        assert!(said.contains("interval.ms=300000"), "the default is restored: {said}");
        let said = run(&["--delete", "--name", "basic"]).await;
        assert!(said.contains("Deleted client metrics config for basic."), "{said}");
        assert_eq!(run(&["--list"]).await.trim(), "");
        let refused = command(
            &host,
            version,
            "org.apache.kafka.tools.ClientMetricsCommand",
            &["--alter", "--name", "bad", "--interval", "5"],
        )
        .await;
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert!(said.contains("interval.ms is 5; it must be from 100 to 3600000"), "{refused:?}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn kafkas_configs_command_works_unchanged() {
    let host = Setup::new().with(|written| written.subscriptions.clear()).receiver("taker", "taker", "").start().await;
    for version in COMMANDS {
        let entity = ["--entity-type", "client-metrics", "--entity-name", "basic"];
        let config = "metrics=[org.apache.kafka.producer.,org.apache.kafka.consumer.],interval.ms=15000";
        let run = async |words: &[&str]| {
            let output = command(&host, version, configs_command(version), &[words, &entity[..]].concat()).await;
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{words:?}: {out}\n{}", String::from_utf8_lossy(&output.stderr));
            out
        };
        let said = run(&["--alter", "--add-config", config]).await;
        assert!(said.contains("Completed updating config for client-metric"), "{said}");
        let said = run(&["--describe"]).await;
        assert!(said.contains("interval.ms=15000"), "{said}");
        assert!(said.contains("metrics=org.apache.kafka.producer.,org.apache.kafka.consumer."), "{said}");
        run(&["--alter", "--delete-config", "metrics,interval.ms"]).await;
        assert!(host.host.subscriptions.list().is_empty());
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn a_running_client_learns_of_a_changed_subscription() {
    let sink = OtlpSink::start().await;
    let host = Setup::new().forwarding("otlp", &sink.url()).start().await;
    let peers = CLIENTS.map(|version| java::client(version, "producer", &host.bootstrap(), version, &[]));
    for version in CLIENTS {
        let tally = arrived(&sink, version, |tally| tally.pushes.len() >= 2).await;
        assert!(tally.names.iter().any(|name| name.starts_with("org.apache.kafka.producer.buffer")));
    }
    let narrow = ["--alter", "--name", "standard", "--metrics", "org.apache.kafka.producer.connection.creation"];
    metrics_command(&host, "4.4.0", &narrow).await;
    for version in CLIENTS {
        barnabas_tests::eventually("pushes with the new metrics", PATIENCE, || {
            let newest = sink.received().into_iter().rev().map(|received| received.request.resource_metrics);
            let names: Vec<Vec<String>> = newest.take(5).map(|resources| names_of(&resources, version)).collect();
            let now: Vec<&String> = names.iter().flatten().collect();
            (!now.is_empty() && now.iter().all(|name| name.contains(".producer.connection.creation"))).then_some(())
        })
        .await;
    }
    for peer in peers {
        close(peer).await;
    }
    host.stop().await;
}

/// Names of the metrics that came from this client.
fn names_of(resources: &[opentelemetry_proto::tonic::metrics::v1::ResourceMetrics], client_id: &str) -> Vec<String> {
    let of_it = resources.iter().filter(|resource| barnabas_tests::sink::labels(resource)["client_id"] == client_id);
    let metrics = of_it.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
    metrics.map(|metric| metric.name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn no_client_falls_silent_while_its_host_restarts_or_its_only_receiver_is_paused() {
    let sink = OtlpSink::start().await;
    let setup = Setup::new().forwarding("otlp", &sink.url());
    let host = setup.start().await;
    let address = host.kafka();
    let peers = CLIENTS.map(|version| java::client(version, "producer", &host.bootstrap(), version, &[]));
    for version in CLIENTS {
        arrived(&sink, version, |tally| tally.pushes.len() >= 2).await;
    }
    // A graceful stop: every request that was read is answered before its connection closes.
    let mut setup = host.stop_into_setup().await;
    setup.config.listeners[0].bind = address;
    let host = setup.start().await;
    more(&sink, "after a restart").await;
    swapping::run_change(&host.host.plugins, PluginChange::Pause("otlp".into())).await;
    // Connects while no receiver accepts pushes, and requests a subscription only once.
    let late = java::client("4.2.0", "producer", &host.bootstrap(), "late", &[]);
    let received = host.host.reception.ledger().received;
    barnabas_tests::eventually("pushes during the pause, and from the late client", PATIENCE, || {
        let pushing = host.host.reception.clients(&ClientFilter::default()).clients;
        let late = pushing.iter().any(|client| client.client_id.as_deref() == Some("late") && client.pushes > 0);
        (late && host.host.reception.ledger().received >= received + 20).then_some(())
    })
    .await;
    swapping::run_change(&host.host.plugins, PluginChange::Resume("otlp".into())).await;
    more(&sink, "after a pause").await;
    arrived(&sink, "late", |tally| tally.pushes.len() >= 2).await;
    close(late).await;
    for peer in peers {
        close(peer).await;
    }
    host.stop().await;
}

/// Waits until every client has pushed again.
async fn more(sink: &OtlpSink, when: &str) {
    let before: Vec<usize> = CLIENTS.iter().map(|version| count(sink, version)).collect();
    for (version, before) in CLIENTS.iter().zip(before) {
        let what = format!("pushes of {version} {when}");
        barnabas_tests::eventually(&what, PATIENCE, || (count(sink, version) >= before + 3).then_some(())).await;
    }
}

fn count(sink: &OtlpSink, client_id: &str) -> usize {
    let tally = sink.tally();
    tally.values().filter(|tally| tally.labels["client_id"] == client_id).map(|tally| tally.pushes.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn an_authenticated_principal_reaches_the_receiver() {
    let setup = Setup::new();
    let realm = Realm::new(setup.folder());
    realm.user("alice");
    let host = setup.with(|written| realm.sasl_over_tls(written)).receiver("facts", "facts", "").start().await;
    for (version, mechanism) in
        [("3.7.2", "SCRAM-SHA-256"), ("3.9.1", "PLAIN"), ("4.2.0", "SCRAM-SHA-512"), ("4.4.0", "PLAIN")]
    {
        let settings = realm.settings("alice", mechanism);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let peer = java::client(version, "producer", &host.bootstrap(), version, &settings);
        pushes_as(&host, version, "User:alice").await;
        close(peer).await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn a_client_certificate_authenticates() {
    let setup = Setup::new();
    let realm = Realm::new(setup.folder());
    let host = setup.with(|written| realm.mutual_tls(written)).receiver("facts", "facts", "").start().await;
    let settings = realm.certified("orders");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let peer = java::client("3.9.1", "producer", &host.bootstrap(), "certified", &settings);
    pushes_as(&host, "certified", "User:CN=orders").await;
    close(peer).await;
    host.stop().await;
}

/// Asserts that the client pushes as this principal.
async fn pushes_as(host: &RunningHost, client_id: &str, principal: &str) {
    barnabas_tests::eventually(&format!("pushes of {client_id}"), PATIENCE, || {
        let list = host.host.reception.clients(&ClientFilter::default()).clients;
        let client = list.into_iter().find(|client| client.client_id.as_deref() == Some(client_id))?;
        assert_eq!(client.principal.as_deref(), Some(principal));
        (client.pushes >= 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JDK and Maven: cargo xtask test java"]
async fn a_rolling_restart_of_two_hosts_silences_no_client() {
    let sink = OtlpSink::start().await;
    let at = two_hosts::free_ports();
    let start = |id| Setup::new().with(|w| two_hosts::configure(w, id, at)).forwarding("otlp", &sink.url()).start();
    let mut hosts = [Some(start(1).await), Some(start(2).await)];
    let bootstrap = at.map(|address| address.to_string()).join(",");
    let peers = CLIENTS.map(|version| java::client(version, "producer", &bootstrap, version, &[]));
    for version in CLIENTS {
        arrived(&sink, version, |tally| tally.pushes.len() >= 2).await;
    }
    for round in 0..2 {
        for (id, host) in (1..).zip(&mut hosts) {
            let setup = host.take().unwrap().stop_into_setup().await;
            more(&sink, &format!("while host {id} is stopped in round {round}")).await;
            *host = Some(setup.start().await);
            more(&sink, &format!("when host {id} is back in round {round}")).await;
        }
    }
    for peer in peers {
        close(peer).await;
    }
    for host in hosts.into_iter().flatten() {
        host.stop().await;
    }
}
