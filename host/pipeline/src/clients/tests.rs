//! What an operator sees of clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::admission::{AdmissionConfig, ClientSubscription, Refusal, SubscriptionRule};
use crate::catalogue::STANDARD_METRICS;
use crate::push::{ConnectionId, Ingress, Push};

const MINUTE: Duration = Duration::from_secs(60);
const ONE: ConnectionId = ConnectionId(1);

/// A time, in seconds since the start.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Admission and catalogue, with a subscription of one minute for `orders-…`.
struct ClientsFixture {
    admission: Admission,
    catalogue: Catalogue,
    began: Instant,
}

impl ClientsFixture {
    fn new(metrics: &[&str]) -> Self {
        let metrics = metrics.iter().map(ToString::to_string).collect();
        let matches = [("client_id".to_owned(), "orders-.*".to_owned())];
        let rule = SubscriptionRule::new("orders", metrics, Some(60_000), &matches).unwrap();
        let admission = Admission::new(AdmissionConfig { subscriptions: vec![rule], ..AdmissionConfig::default() });
        Self { admission, catalogue: Catalogue::new(16), began: Instant::now() }
    }

    /// A client requests its subscription at this time.
    fn join(&self, client: Client, seconds: u64) -> (Arc<Client>, ClientSubscription) {
        let now = self.began + Duration::from_secs(seconds);
        let subscription = self.admission.subscribe(&Arc::new(client.clone()), ONE, now, at(seconds)).unwrap();
        self.catalogue.record_subscription(subscription.instance_id, subscription.id);
        (Arc::new(Client { instance_id: Some(subscription.instance_id), ..client }), subscription)
    }

    fn push(&self, (client, subscription): &(Arc<Client>, ClientSubscription), names: &[&str], seconds: u64) {
        let now = self.began + Duration::from_secs(seconds);
        let pushed = self.admission.admit(push(client, subscription.id, at(seconds)), ONE, now);
        assert!(pushed.is_ok(), "{pushed:?}");
        self.catalogue.record_push(subscription.instance_id, subscription.id, &payload(names), at(seconds));
    }

    fn list(&self, filter: &ClientFilter) -> ClientList {
        list(&self.admission, &self.catalogue, filter, at(100))
    }

    fn describe(&self, (_, subscription): &(Arc<Client>, ClientSubscription), seconds: u64) -> ClientDescription {
        describe(&self.admission, &self.catalogue, subscription.instance_id, at(seconds)).unwrap()
    }
}

fn push(client: &Arc<Client>, subscription_id: i32, received_at: SystemTime) -> Push {
    Push {
        format: crate::push::Format::Protobuf,
        client: client.clone(),
        ingress: Ingress::Kafka,
        received_at,
        terminating: false,
        subscription_id: Some(subscription_id),
        codec: 4,
        wire: Bytes::from_static(b"metrics"),
        push_interval: None,
        node_id: None,
        trace_parent: None,
    }
}

/// Metrics with these names, encoded by hand.
fn payload(names: &[&str]) -> Vec<u8> {
    let nest = |tag: u8, body: &[u8]| {
        let len = u8::try_from(body.len()).unwrap();
        let len = if len < 0x80 { vec![len] } else { vec![len, 1] };
        [&[tag], len.as_slice(), body].concat()
    };
    names.iter().flat_map(|name| nest(0x0a, &nest(0x12, &nest(0x12, &nest(0x0a, name.as_bytes()))))).collect()
}

fn named_client(client_id: &str, software: &str, version: &str) -> Client {
    Client {
        client_id: Some(client_id.into()),
        software_name: Some(software.into()),
        software_version: Some(version.into()),
        source: Some(([192, 0, 2, 7], 4711).into()),
        listener: Some("kafka".into()),
        ..Client::default()
    }
}

fn java(client_id: &str) -> Client {
    named_client(client_id, "apache-kafka-java", "4.0.0")
}

fn required_of_producers() -> Vec<&'static str> {
    let required = STANDARD_METRICS.iter().filter(|metric| metric.required && metric.name.contains(".producer."));
    required.map(|metric| metric.name).collect()
}

#[test]
fn a_description_has_all_known_facts() {
    let fixture = ClientsFixture::new(&["org.apache.kafka.producer.", "app."]);
    let client = fixture.join(java("orders-1"), 0);
    let required = required_of_producers();
    let names =
        [STANDARD_METRICS[0].name, required[0], required[1], "org.apache.kafka.producer.metadata.age", "app.mine"];
    fixture.push(&client, &names, 60);
    let id = client.1.instance_id;
    let described = serde_json::to_value(fixture.describe(&client, 61)).unwrap();
    let missing = required[2];
    assert!(described["trouble"][0].as_str().unwrap().contains(missing));
    assert_eq!(
        described,
        json!({
            "id": id.to_string(),
            "id_base64": id.to_base64(),
            "id_hex": id.to_hex(),
            "client_id": "orders-1",
            "software_name": "apache-kafka-java",
            "software_version": "4.0.0",
            "source": "192.0.2.7:4711",
            "principal": null,
            "listener": "kafka",
            "role": "producer",
            "since_unix_seconds": 0.0,
            "last_seen_unix_seconds": 60.0,
            "push_interval_seconds": 60.0,
            "subscription_id": client.1.id,
            "subscriptions": ["orders"],
            "metric_prefixes": ["app.", "org.apache.kafka.producer."],
            "connections": 1,
            "gets": 1,
            "pushes": 1,
            "pushes_of_subscription": 1,
            "refused": 0,
            "last_refusal": null,
            "gone": false,
            "metrics": {
                "seen_unix_seconds": 60.0,
                "required_present": [required[0], required[1]],
                "required_missing": [missing],
                "standard": [STANDARD_METRICS[0].name],
                "beyond": ["org.apache.kafka.producer.metadata.age"],
                "unknown": ["app.mine"],
                "unknown_count": 1,
                "not_kept": 0,
            },
            "trouble": described["trouble"],
        })
    );
    let unknown = InstanceId::from_bytes([9; 16]);
    assert_eq!(describe(&fixture.admission, &fixture.catalogue, unknown, at(0)), None);
}

fn missing(asked: &[&str], sent: &[&str]) -> Vec<&'static str> {
    let shared = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    coverage::missing_required(&shared(sent), &shared(asked))
}

#[test]
fn only_requested_metrics_of_the_clients_role_are_missing() {
    let (rate, total) = (STANDARD_METRICS[0].name, STANDARD_METRICS[1].name);
    for all in ["*", "", "org.apache.kafka."] {
        assert_eq!(missing(&[all], &[rate]), required_of_producers(), "`{all}`");
    }
    assert_eq!(missing(&["*"], &required_of_producers()), [""; 0], "all are sent");
    assert_eq!(missing(&[total], &[rate]), [total]);
    assert_eq!(missing(&["*", "app."], &[rate]), [""; 0], "together with others `*` is an ordinary prefix");
    assert_eq!(
        missing(&["*"], &["org.apache.kafka.admin.client.request.rate"]),
        [""; 0],
        "admin clients have no required metrics"
    );
    assert_eq!(missing(&["*"], &["org.apache.kafka.consumer.share.poll.idle.ratio.avg"]), [""; 0]);
    assert_eq!(missing(&["*"], &["org.apache.kafka.consumer.request.rate", "org.apache.kafka.stream.x"]).len(), 3);
    assert_eq!(missing(&["*"], &[]), [""; 0], "its role is unknown");
}

#[test]
fn limit_of_unknown_names_obeyed() {
    let names: Vec<String> = (0..coverage::MAX_UNKNOWN).map(|n| format!("app.{n:02}")).collect();
    let metrics = described_with(&names);
    assert_eq!((metrics.unknown.clone(), metrics.unknown_count), (names, coverage::MAX_UNKNOWN));
}

#[test]
fn limit_of_unknown_names_violated() {
    let names: Vec<String> = (0..=coverage::MAX_UNKNOWN).map(|n| format!("app.{n:02}")).collect();
    let metrics = described_with(&names);
    assert_eq!((metrics.unknown.as_slice(), metrics.unknown_count), (&names[..coverage::MAX_UNKNOWN], names.len()));
}

fn described_with(names: &[String]) -> MetricCoverage {
    let fixture = ClientsFixture::new(&["*"]);
    let client = fixture.join(java("orders-1"), 0);
    fixture.push(&client, &names.iter().map(String::as_str).collect::<Vec<_>>(), 60);
    fixture.describe(&client, 61).metrics.unwrap()
}

#[test]
fn clients_are_filtered_by_software_client_id_and_subscription() {
    let fixture = ClientsFixture::new(&["*"]);
    fixture.join(java("orders-1"), 0);
    fixture.join(java("billing"), 1);
    fixture.join(named_client("orders-2", "confluent-kafka-python", "2.6.0-rdkafka-2.6.0"), 2);
    fixture.join(Client::default(), 3);
    let found = |filter: ClientFilter| {
        let list = fixture.list(&filter);
        assert_eq!(list.known, 4);
        let ids = list.clients.iter().map(|client| client.client_id.clone().unwrap_or_default()).collect::<Vec<_>>();
        (list.matching, ids.join(" "))
    };
    let some = |text: &str| Some(text.to_owned());
    let by = ClientFilter::default;
    assert_eq!(found(by()), (4, " orders-2 billing orders-1".into()), "the most recently active first");
    assert_eq!(found(ClientFilter { limit: 2, ..by() }), (4, " orders-2".into()));
    assert_eq!(found(ClientFilter { software: some("rdkafka"), ..by() }), (1, "orders-2".into()));
    assert_eq!(found(ClientFilter { software: some("java 4.0"), ..by() }), (2, "billing orders-1".into()));
    assert_eq!(found(ClientFilter { client_id: some("orders"), limit: 1, ..by() }), (2, "orders-2".into()));
    assert_eq!(found(ClientFilter { subscription: some("orders"), ..by() }), (2, "orders-2 orders-1".into()));
    assert_eq!(
        found(ClientFilter { subscription: some("order"), ..by() }),
        (0, String::new()),
        "the full name is required"
    );
    assert_eq!(
        found(ClientFilter { subscription: some("orders"), software: some("java"), ..by() }),
        (1, "orders-1".into())
    );
}

/// The only problem of a client.
fn only_problem(description: &ClientDescription) -> &str {
    assert_eq!(description.summary.trouble.len(), 1, "{:?}", description.summary.trouble);
    &description.summary.trouble[0]
}

#[test]
fn a_client_that_never_pushed_is_listed_with_its_deadline() {
    let fixture = ClientsFixture::new(&["*"]);
    let client = fixture.join(java("orders-1"), 0);
    let (early, late) = (fixture.describe(&client, 80), fixture.describe(&client, 180));
    for (description, ago) in [(early, "80 seconds ago"), (late, "3 minutes ago")] {
        let problem = only_problem(&description);
        assert!(problem.starts_with("never pushed") && problem.contains(ago), "{problem}");
    }
}

#[test]
fn a_client_that_is_asked_for_nothing_is_listed_with_the_reason() {
    let fixture = ClientsFixture::new(&["*"]);
    let billing = fixture.join(java("billing"), 0);
    assert!(only_problem(&fixture.describe(&billing, 1)).starts_with("no metrics requested"));
    let excluding = ClientsFixture::new(&[]);
    let orders = excluding.join(java("orders-1"), 0);
    assert!(only_problem(&excluding.describe(&orders, 1)).contains("`orders`"));
}

#[test]
fn a_client_that_sends_nothing_or_falls_silent_has_a_problem() {
    let fixture = ClientsFixture::new(&["app.of.nobody."]);
    let client = fixture.join(java("orders-1"), 0);
    fixture.push(&client, &[], 60);
    assert!(only_problem(&fixture.describe(&client, 61)).starts_with("its pushes contain no metrics"));
    let fixture = ClientsFixture::new(&["*"]);
    let client = fixture.join(java("orders-1"), 0);
    fixture.push(&client, &required_of_producers(), 60);
    assert_eq!(fixture.describe(&client, 180).summary.trouble, [""; 0]);
    assert!(only_problem(&fixture.describe(&client, 200)).starts_with("no request for 2 minutes"));
    fixture.admission.disconnected(ONE, at(61));
    let gone = fixture.describe(&client, 200);
    assert!(gone.summary.gone && gone.summary.trouble.is_empty());
}

#[test]
fn a_client_with_a_new_subscription_has_no_problem() {
    let fixture = ClientsFixture::new(&["*"]);
    let client = fixture.join(java("orders-1"), 0);
    fixture.push(&client, &required_of_producers(), 60);
    let rule = SubscriptionRule::new("orders", vec!["app.".into()], Some(60_000), &[]).unwrap();
    fixture.admission.reconfigure(AdmissionConfig { subscriptions: vec![rule], ..AdmissionConfig::default() });
    let again = fixture.join(Client::clone(&client.0), 90);
    assert_ne!(again.1.id, client.1.id);
    let described = fixture.describe(&again, 91).summary;
    assert_eq!((described.trouble, described.pushes, described.pushes_of_subscription), (vec![], 1, 0));
    fixture.push(&again, &[], 150);
    assert!(only_problem(&fixture.describe(&again, 151)).starts_with("its pushes contain no metrics"));
    assert_eq!(fixture.describe(&again, 151).summary.pushes_of_subscription, 1);
}

#[test]
fn a_recent_refusal_is_a_problem_with_its_remedy() {
    let fixture = ClientsFixture::new(&["*"]);
    let client = fixture.join(java("orders-1"), 0);
    fixture.push(&client, &required_of_producers(), 60);
    let large = Refusal::TooLarge("2 bytes".into());
    (0..3).for_each(|_| fixture.admission.record_refusal(client.1.instance_id, &large));
    let described = fixture.describe(&client, 70);
    let remedy = problems::remedy("too_large");
    for limit in ["push-bytes", "decompressed-bytes", "decompression-ratio"] {
        assert!(remedy.contains(&format!("`limits.{limit}`")), "{remedy}");
    }
    assert_eq!(only_problem(&described), format!("refused 3 times, last too_large: {remedy}"));
    let expected = LastRefusal { code: "too_large", at: at(60), remedy };
    assert_eq!((described.summary.refused, described.last_refusal), (3, Some(expected)));
    fixture.push(&client, &required_of_producers(), 240);
    let later = fixture.describe(&client, 242);
    assert_eq!(
        (later.summary.trouble.len(), later.last_refusal.is_some()),
        (0, true),
        "the refusal is no longer recent"
    );
}

#[test]
fn a_changed_subscription_is_no_problem_unless_it_repeats() {
    let fixture = ClientsFixture::new(&["*"]);
    let client = fixture.join(java("orders-1"), 0);
    fixture.push(&client, &required_of_producers(), 60);
    let unknown = Refusal::UnknownSubscription { given: 1, current: 2 };
    fixture.admission.record_refusal(client.1.instance_id, &unknown);
    assert_eq!(fixture.describe(&client, 62).summary.trouble, [""; 0]);
    (0..2).for_each(|_| fixture.admission.record_refusal(client.1.instance_id, &unknown));
    assert!(only_problem(&fixture.describe(&client, 62)).starts_with("refused 3 times, last unknown_subscription"));
}

#[test]
fn every_problem_names_its_remedy() {
    let unmatched = |fixture: &ClientsFixture, client_id: &str, seconds| {
        only_problem(&fixture.describe(&fixture.join(java(client_id), 0), seconds)).to_owned()
    };
    let fixture = ClientsFixture::new(&["*"]);
    let silent = fixture.join(java("orders-2"), 0);
    fixture.push(&silent, &required_of_producers(), 60);
    let incomplete = fixture.join(java("orders-3"), 0);
    fixture.push(&incomplete, &required_of_producers()[..1], 60);
    let empty = fixture.join(java("orders-4"), 0);
    fixture.push(&empty, &[], 60);
    let mut sentences = vec![
        unmatched(&fixture, "billing", 1),
        unmatched(&ClientsFixture::new(&[]), "orders-1", 1),
        unmatched(&fixture, "orders-1", 80),
        unmatched(&fixture, "orders-1", 180),
        only_problem(&fixture.describe(&silent, 200)).to_owned(),
        only_problem(&fixture.describe(&incomplete, 61)).to_owned(),
        only_problem(&fixture.describe(&empty, 61)).to_owned(),
    ];
    sentences.extend(Refusal::CODES.map(|code| format!("refused once, last {code}: {}", problems::remedy(code))));
    // The name of the file must not depend on the module, which may move.
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("problems", sentences.join("\n"));
    });
}

#[test]
fn every_refusal_has_a_remedy() {
    let other = problems::remedy("of a later version");
    for code in Refusal::CODES {
        assert_ne!(problems::remedy(code), other, "{code}");
    }
}

#[test]
fn a_list_has_the_documented_keys() {
    let fixture = ClientsFixture::new(&["*"]);
    fixture.join(Client::default(), 0);
    let list = serde_json::to_value(fixture.list(&ClientFilter::default())).unwrap();
    assert_eq!((&list["known"], &list["matching"]), (&json!(1), &json!(1)));
    let client = &list["clients"][0];
    for unknown in ["client_id", "software_name", "source", "principal", "role"] {
        assert_eq!(client[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(client["push_interval_seconds"], json!(MINUTE.as_secs_f64()));
}
