use std::time::Duration;

use super::*;
use barnabas_pipeline::admission::Evictions;
use barnabas_pipeline::event::{EventData, LedgerTerm};
use barnabas_pipeline::push::ConnectionId;
use barnabas_pipeline::push::{Client, DepartureReason, Ingress};

/// The only metric that changes without events.
const AGE: &str = "barnabas_push_age_seconds ";

fn slot() -> Arc<str> {
    "console".into()
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn moved(from: Option<LedgerTerm>, to: LedgerTerm, pushes: usize) -> EventData {
    EventData::LedgerMoved { slot: slot(), from, to, pushes, size: pushes * 100, reason: None }
}

fn ended(outcome: &'static str) -> EventData {
    EventData::BatchEnd {
        slot: slot(),
        generation: 1,
        pushes: 3,
        points: 30,
        size: 300,
        queue_wait: milliseconds(1000),
        duration: milliseconds(20),
        cpu: milliseconds(2),
        outcome,
        reason: None,
    }
}

fn refused(subscribing: bool) -> EventData {
    let (ingress, client, reason) = (Ingress::Kafka, Arc::new(Client::default()), String::new());
    EventData::PushRefused { ingress, client, code: "too_large", reason, subscribing }
}

fn counted() -> EventData {
    EventData::ClientsCounted { instances: 5, evicted: Evictions { silent: 1, crowding: 2, shrunk: 0 } }
}

fn requested(status: &str) -> EventData {
    let (authority, status) = ("sink.example:443".into(), status.into());
    EventData::EgressRequest { slot: slot(), authority, status, size: 10, duration: milliseconds(5) }
}

fn accepted(client: &Arc<Client>) -> EventData {
    EventData::PushAccepted {
        client: client.clone(),
        ingress: Ingress::Kafka,
        points: 99,
        size: 12_900,
        wire: 1_100,
        slots: 1,
        repaired: 1,
        took: milliseconds(1),
    }
}

/// One of each topic.
fn samples() -> Vec<EventData> {
    let (listener, connection, client) = (Arc::from("kafka"), ConnectionId(1), Arc::new(Client::default()));
    let (ingress, generation, reason) = (Ingress::Kafka, 1, String::new());
    let interval = milliseconds(60_000);
    vec![
        EventData::ListenerConnect { listener: Arc::clone(&listener), connection, peer: "127.0.0.1:9".into() },
        EventData::ListenerDisconnect { listener, connection, reason: reason.clone() },
        EventData::ListenerRequest { api: "Metadata", version: 12, size: 40, duration: milliseconds(1) },
        EventData::SubscriptionAnswered { client: client.clone(), id: 7, prefixes: 21, interval },
        EventData::PushReceived { ingress, wire: 1_100 },
        refused(false),
        EventData::PushEmpty,
        EventData::PushUnwanted,
        accepted(&client),
        EventData::ClientGone { client, reason: DepartureReason::Expired },
        counted(),
        moved(None, LedgerTerm::Queued, 3),
        EventData::BatchStart { slot: slot(), generation, pushes: 3, size: 300 },
        ended("taken"),
        EventData::PluginPhase { slot: slot(), generation, phase: "serving", reason: reason.clone() },
        EventData::PluginStage { slot: slot(), stage: "publish", took: Duration::from_millis(1) },
        EventData::PluginCrash { slot: slot(), generation, cause: "trap", message: reason.clone(), will_restart: true },
        EventData::PluginReplaced { slot: slot(), generation, handles: 600 },
        EventData::PluginMisconfigured { slot: slot(), reason: reason.clone() },
        EventData::PluginRejectedPoints { slot: slot(), points: 4, reason },
        requested("204"),
        EventData::EgressBusy { slot: slot(), cap: 16, unread: 3 },
    ]
}

/// The page after these events.
fn after(payloads: impl IntoIterator<Item = EventData>) -> String {
    let (events, metrics) = (Events::new(), Arc::new(HostMetrics::new()));
    let _listening = metrics.listen(&events);
    for payload in payloads {
        events.emit(payload.topic(), || payload);
    }
    metrics.encode()
}

#[track_caller]
fn shows(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|known| known == *line), "`{line}` is not in:\n{page}");
    }
}

#[test]
fn every_topic_changes_a_metric() {
    let samples = samples();
    assert!(Topic::ALL.iter().all(|topic| samples.iter().any(|sample| sample.topic() == *topic)));
    // The age changes without events.
    let lasting =
        |page: String| page.lines().filter(|line| !line.starts_with(AGE)).map(str::to_owned).collect::<Vec<_>>();
    let untouched = lasting(after([]));
    for sample in samples {
        let topic = sample.topic();
        assert_ne!(lasting(after([sample])), untouched, "{}", topic.as_str());
    }
}

#[test]
fn the_page_is_well_formed() {
    let page = after(samples());
    assert!(page.ends_with("# EOF\n"));
    let help: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    let mut names: Vec<_> = help.iter().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    let families = names.len();
    names.dedup();
    assert_eq!(names.len(), families, "no family is duplicated");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let of_a_family = |family: &&str| name.strip_prefix(*family).is_some_and(is_a_suffix);
        assert!(
            (name.starts_with("barnabas_") || name.starts_with("kafka_server_client_metrics_"))
                && names.iter().any(of_a_family),
            "{line}"
        );
    }
}

fn is_a_suffix(rest: &str) -> bool {
    matches!(rest, "" | "_total" | "_bucket" | "_sum" | "_count")
}

#[test]
fn the_ingress_counters_add_up() {
    let page = after(samples().into_iter().chain([refused(true), refused(true)]));
    shows(
        &page,
        &[
            "barnabas_push_received_total{ingress=\"kafka\"} 1",
            "barnabas_push_received_total{ingress=\"otlp-http\"} 0",
            "barnabas_push_wire_bytes_total{ingress=\"kafka\"} 1100",
            "barnabas_push_refused_total{ingress=\"kafka\",code=\"too_large\"} 1",
            "barnabas_subscription_refused_total{ingress=\"kafka\",code=\"too_large\"} 2",
            "barnabas_push_empty_total 1",
            "barnabas_push_unwanted_total 1",
            "barnabas_push_accepted_total{ingress=\"kafka\"} 1",
            "barnabas_push_points_total{ingress=\"kafka\"} 99",
            "barnabas_push_decompressed_bytes_total{ingress=\"kafka\"} 12900",
            "barnabas_push_repaired_strings_total 1",
            "barnabas_push_intake_seconds_count{ingress=\"kafka\"} 1",
            "barnabas_connections{listener=\"kafka\"} 0",
            "barnabas_connections_opened_total{listener=\"kafka\"} 1",
            "barnabas_requests_total{api=\"Metadata\"} 1",
            "barnabas_request_bytes_total{api=\"Metadata\"} 40",
            "barnabas_client_gone_total{reason=\"expired\"} 1",
        ],
    );
}

#[test]
fn batches_and_requests_are_timed_and_counted_by_outcome() {
    let page =
        after([ended("taken"), ended("unavailable"), requested("204"), requested("503"), requested("not-granted")]);
    shows(
        &page,
        &[
            "barnabas_batch_ends_total{plugin=\"console\",outcome=\"taken\"} 1",
            "barnabas_batch_ends_total{plugin=\"console\",outcome=\"unavailable\"} 1",
            "barnabas_batch_pushes_sum{plugin=\"console\"} 6.0",
            "barnabas_batch_points_total{plugin=\"console\"} 60",
            "barnabas_batch_bytes_total{plugin=\"console\"} 600",
            "barnabas_batch_queue_wait_seconds_sum{plugin=\"console\"} 2.0",
            "barnabas_batch_call_seconds_sum{plugin=\"console\"} 0.04",
            "barnabas_batch_cpu_seconds_sum{plugin=\"console\"} 0.004",
            "barnabas_egress_requests_total{plugin=\"console\",status=\"2xx\"} 1",
            "barnabas_egress_requests_total{plugin=\"console\",status=\"5xx\"} 1",
            "barnabas_egress_requests_total{plugin=\"console\",status=\"not-granted\"} 1",
            "barnabas_egress_sent_bytes_total{plugin=\"console\"} 30",
        ],
    );
}

#[test]
fn a_ledger_shows_each_push_in_one_term() {
    let page = after([
        moved(None, LedgerTerm::Queued, 10),
        moved(None, LedgerTerm::Shed("no-receiver"), 2),
        moved(Some(LedgerTerm::Queued), LedgerTerm::InFlight, 6),
        moved(Some(LedgerTerm::InFlight), LedgerTerm::Delivered, 3),
        moved(Some(LedgerTerm::InFlight), LedgerTerm::Dropped("rejected"), 1),
        moved(Some(LedgerTerm::InFlight), LedgerTerm::Queued, 1),
    ]);
    shows(
        &page,
        &[
            "barnabas_ledger_accepted_pushes_total{plugin=\"console\"} 12",
            "barnabas_ledger_held_pushes{plugin=\"console\",term=\"queued\"} 5",
            "barnabas_ledger_held_pushes{plugin=\"console\",term=\"in_flight\"} 1",
            "barnabas_ledger_held_bytes{plugin=\"console\",term=\"queued\"} 500",
            "barnabas_ledger_held_bytes{plugin=\"console\",term=\"in_flight\"} 100",
            "barnabas_ledger_settled_pushes_total{plugin=\"console\",term=\"delivered\",cause=\"\"} 3",
            "barnabas_ledger_settled_pushes_total{plugin=\"console\",term=\"dropped\",cause=\"rejected\"} 1",
            "barnabas_ledger_settled_pushes_total{plugin=\"console\",term=\"shed\",cause=\"no-receiver\"} 2",
        ],
    );
    assert_eq!(sum(&page, "barnabas_ledger_held_pushes") + sum(&page, "barnabas_ledger_settled_pushes_total"), 12);
}

#[test]
fn a_ledger_adds_up_in_any_order_of_its_moves() {
    let page = after([moved(Some(LedgerTerm::Queued), LedgerTerm::InFlight, 2), moved(None, LedgerTerm::Queued, 5)]);
    shows(&page, &["barnabas_ledger_held_pushes{plugin=\"console\",term=\"queued\"} 3"]);
    assert_eq!(sum(&page, "barnabas_ledger_held_pushes"), 5);
}

/// The sum over all label sets.
fn sum(page: &str, name: &str) -> i64 {
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum()
}

#[test]
fn misconfigured_is_cleared_by_an_accepted_batch_or_a_new_generation() {
    let misconfigured = || EventData::PluginMisconfigured { slot: slot(), reason: "401".into() };
    let phase =
        |generation| EventData::PluginPhase { slot: slot(), generation, phase: "serving", reason: String::new() };
    let gauge = |history: Vec<EventData>| sum(&after(history), "barnabas_plugin_misconfigured");
    assert_eq!(gauge(vec![phase(1)]), 0);
    assert_eq!(gauge(vec![phase(1), misconfigured(), ended("unavailable"), phase(1)]), 1);
    assert_eq!(gauge(vec![phase(1), misconfigured(), ended("taken")]), 0);
    assert_eq!(gauge(vec![phase(1), misconfigured(), phase(2)]), 0);
    assert_eq!(
        gauge(vec![phase(1), phase(2), misconfigured(), phase(1)]),
        1,
        "a phase of the old generation says nothing about the new one"
    );
}

#[test]
fn no_label_identifies_a_client() {
    let client = Client { client_id: Some("secret-client".into()), ..Client::default() };
    let client = Arc::new(client);
    let interval = milliseconds(1);
    let page = after([
        EventData::SubscriptionAnswered { client: client.clone(), id: 1, prefixes: 1, interval },
        EventData::ClientGone { client, reason: DepartureReason::Disconnected },
        EventData::ListenerConnect {
            listener: "kafka".into(),
            connection: ConnectionId(1),
            peer: "192.0.2.7:9".into(),
        },
        requested("200"),
    ]);
    for private in ["secret-client", "192.0.2.7", "sink.example"] {
        assert!(!page.contains(private), "{private} is in:\n{page}");
    }
}

fn refused_as(code: &'static str, client: &Arc<Client>) -> EventData {
    let (ingress, client, reason) = (Ingress::Kafka, client.clone(), String::new());
    EventData::PushRefused { ingress, client, code, reason, subscribing: false }
}

#[test]
fn the_brokers_own_metrics_have_kafkas_names() {
    let nobody = Arc::new(Client::default());
    let page = after([
        counted(),
        counted(),
        refused_as("unknown_subscription", &nobody),
        refused_as("throttled", &nobody),
        refused_as("over_quota", &nobody),
        ended("taken"),
        ended("too-large"),
        ended("unavailable"),
        ended("trap"),
    ]);
    shows(
        &page,
        &[
            "kafka_server_client_metrics_instance_count 5",
            "kafka_server_client_metrics_unknown_subscription_request_count_total 1",
            "kafka_server_client_metrics_throttle_count_total 2",
            "kafka_server_client_metrics_plugin_export_count_total 3",
            "kafka_server_client_metrics_plugin_error_count_total 6",
            "kafka_server_client_metrics_plugin_export_time_avg 20.0",
            "kafka_server_client_metrics_plugin_export_time_max 20.0",
            "barnabas_client_evicted_total{reason=\"silent\"} 1",
            "barnabas_client_evicted_total{reason=\"crowding\"} 2",
        ],
    );
}

#[test]
fn a_push_that_is_too_large_is_counted_by_well_known_software() {
    let named = |name: &str| Arc::new(Client { software_name: Some(name.into()), ..Client::default() });
    let page = after([refused_as("too_large", &named("librdkafka")), refused_as("too_large", &named("secret"))]);
    let line = |software| format!("barnabas_push_too_large_total{{software=\"{software}\"}} 1");
    shows(&page, &[&line("librdkafka"), &line("other")]);
    assert!(!page.contains("secret"));
}

#[test]
fn series_of_clients_are_bounded_and_end_with_them() {
    let client = |n: u8| {
        let instance_id = Some(barnabas_base::InstanceId::from_bytes([n; 16]));
        Arc::new(Client { instance_id, ..Client::default() })
    };
    let series = |most: usize, payloads: Vec<EventData>| {
        let (events, metrics) = (Events::new(), Arc::new(HostMetrics::with_clients(most)));
        let _listening = metrics.listen(&events);
        payloads.into_iter().for_each(|payload| events.emit(payload.topic(), || payload));
        let page = metrics.encode();
        let is_throttle_count =
            |line: &&str| line.starts_with("kafka_server_client_metrics_per_client_throttle_count_total{");
        page.lines().filter(is_throttle_count).map(str::to_owned).collect::<Vec<_>>()
    };
    let throttled = |n| refused_as("throttled", &client(n));
    let pushed = |n| accepted(&client(n));
    let one =
        "kafka_server_client_metrics_per_client_throttle_count_total{client_instance_id=\"AQEBAQEBAQEBAQEBAQEBAQ\"} 2";
    let honest = vec![pushed(1), throttled(1), throttled(1)];
    assert_eq!(series(2, honest.clone()), [one]);
    assert_eq!(series(2, vec![pushed(1), pushed(2), pushed(3)]).len(), 2);
    let flood = (2..99).flat_map(|n| [throttled(n), refused_as("invalid_record", &client(n))]);
    assert_eq!(series(2, honest.into_iter().chain(flood).collect()), [one], "refused requests create no series");
    assert_eq!(series(0, vec![pushed(1)]).len(), 0, "off by default");
    let gone = EventData::ClientGone { client: client(1), reason: DepartureReason::Expired };
    assert_eq!(series(2, vec![pushed(1), pushed(2), gone]).len(), 1);
}

#[test]
fn the_push_age_is_shown_before_the_first_push_as_well() {
    for payloads in [vec![], vec![EventData::PushReceived { ingress: Ingress::Kafka, wire: 1 }]] {
        let page = after(payloads);
        assert!(page.lines().any(|line| line.starts_with(AGE)), "{page}");
    }
}
