//! Pushes through the three stages, and the ledger of all pushes received.

use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::admission;
use crate::catalogue::ClientRole;
use crate::decode;
use crate::dispatch::{Slot, SlotConfig, Wants};
use barnabas_base::InstanceId;

struct IntakeFixture {
    reception: IntakePipeline,
    dispatch: Dispatch,
    kinds: Arc<Mutex<Vec<&'static str>>>,
    _listening: crate::event::ListenerGuard,
}

fn fixture() -> IntakeFixture {
    let events = Events::new();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let recorded = kinds.clone();
    let _listening = events.listen(Topic::ALL, move |event| recorded.lock().unwrap().push(event.kind()));
    let dispatch = Dispatch::new(events.clone());
    let admission = Arc::new(Admission::new(admission::AdmissionConfig::default()));
    let decoder = Decoder::new(decode::DecodeConfig::default());
    IntakeFixture {
        reception: IntakePipeline::new(admission, decoder, dispatch.clone(), events),
        dispatch,
        kinds,
        _listening,
    }
}

impl IntakeFixture {
    fn take_kinds(&self) -> Vec<&'static str> {
        let mut kinds = std::mem::take(&mut *self.kinds.lock().unwrap());
        // Emitted with every expiry.
        kinds.retain(|kind| *kind != "clients.counted");
        kinds
    }
}

/// A gauge with one point, which contains only its time.
fn metrics() -> Bytes {
    metrics_named("m")
}

fn metrics_named(name: &str) -> Bytes {
    let point = [&[0x19][..], &[1; 8]].concat();
    let nest = |tag: u8, body: &[u8]| [&[tag, body.len() as u8], body].concat();
    let metric = [nest(0x0a, name.as_bytes()), nest(0x2a, &nest(0x0a, &point))].concat();
    nest(0x0a, &nest(0x12, &nest(0x12, &metric))).into()
}

fn push(client: &Arc<Client>, wire: Bytes) -> Push {
    Push {
        client: client.clone(),
        ingress: Ingress::Embedder,
        received_at: SystemTime::now(),
        terminating: false,
        subscription_id: None,
        codec: 0,
        format: crate::push::Format::Protobuf,
        wire,
        push_interval: None,
        node_id: None,
        trace_parent: None,
    }
}

fn notices(slot: &Slot) -> usize {
    slot.snapshot().notices
}

#[test]
fn every_push_is_in_one_term_of_the_ingress_ledger() {
    let fixture = fixture();
    let anyone = Arc::new(Client { client_id: Some("a".into()), ..Client::default() });
    let deliver = |push: Push| fixture.reception.deliver(push);
    assert!(!fixture.reception.offers_telemetry());
    assert_eq!(deliver(push(&anyone, metrics())), Ok(Receipt::Unwanted), "no slot is open");
    assert_eq!(fixture.take_kinds(), ["push.received", "push.unwanted"]);
    let wants = Wants::new(vec![("client_id".into(), "a".into())]).unwrap();
    fixture.dispatch.open("sink", SlotConfig { wants, ..SlotConfig::default() }).unwrap();
    assert!(fixture.reception.offers_telemetry());
    assert_eq!(deliver(push(&anyone, metrics())), Ok(Receipt::Accepted(1)));
    assert_eq!(fixture.take_kinds(), ["push.received", "ledger.moved", "push.accepted"]);
    assert_eq!(deliver(push(&anyone, Bytes::new())), Ok(Receipt::Empty));
    assert_eq!(fixture.take_kinds(), ["push.received", "push.empty"]);
    assert_eq!(deliver(push(&Arc::default(), metrics())), Ok(Receipt::Unwanted));
    assert!(deliver(Push { codec: 9, ..push(&anyone, metrics()) }).is_err());
    assert!(deliver(push(&anyone, Bytes::from_static(&[0xff; 3]))).is_err());
    let ledger = fixture.reception.ledger();
    assert!(ledger.is_balanced());
    assert_eq!((ledger.received, ledger.accepted, ledger.empty, ledger.unwanted), (6, 1, 1, 2));
    assert_eq!(ledger.refused.into_iter().collect::<Vec<_>>(), [("invalid_record", 1), ("unsupported_compression", 1)]);
}

#[test]
fn a_terminating_push_is_followed_by_its_notice() {
    let fixture = fixture();
    let slot = fixture.dispatch.open("sink", SlotConfig::default()).unwrap();
    let client = Arc::new(Client { instance_id: Some(InstanceId::from_bytes([7; 16])), ..Client::default() });
    let last = |wire| Push { terminating: true, ..push(&client, wire) };
    fixture.reception.deliver(last(metrics())).unwrap();
    assert_eq!(fixture.take_kinds(), ["push.received", "ledger.moved", "push.accepted", "client.gone"]);
    fixture.reception.deliver(last(Bytes::from_static(&[0xff; 3]))).unwrap_err();
    assert_eq!(notices(&slot), 2, "also if the terminating push was invalid");
    fixture.reception.deliver(Push { codec: 9, ..last(metrics()) }).unwrap_err();
    assert_eq!(notices(&slot), 2, "a push that was not admitted reports nothing");
    fixture.reception.deliver(Push { client: Arc::default(), ..last(metrics()) }).unwrap();
    assert_eq!(notices(&slot), 2, "the client is unknown");
}

#[test]
fn a_subscribed_client_pushes_and_leaves() {
    let fixture = fixture();
    let slot = fixture.dispatch.open("sink", SlotConfig::default()).unwrap();
    let connection = ConnectionId(1);
    let unknown = Arc::new(Client::default());
    let subscription = fixture.reception.subscribe(&unknown, connection).unwrap();
    let client = Arc::new(Client { instance_id: Some(subscription.instance_id), ..Client::default() });
    let push = |id| Push { ingress: Ingress::Kafka, subscription_id: Some(id), ..push(&client, metrics()) };
    assert!(fixture.reception.push(push(subscription.id.wrapping_add(1)), connection).is_err());
    let last = Push { terminating: true, ..push(subscription.id) };
    assert_eq!(fixture.reception.push(last, connection), Ok(Receipt::Accepted(1)));
    assert_eq!(
        fixture.take_kinds(),
        [
            "subscription.answered",
            "push.received",
            "push.refused",
            "push.received",
            "ledger.moved",
            "push.accepted",
            "client.gone"
        ]
    );
    fixture.reception.disconnected(connection);
    fixture.reception.expire_clients(Instant::now());
    assert_eq!((fixture.take_kinds(), notices(&slot)), (vec![], 1), "it is reported once");
    assert_eq!(fixture.reception.ledger().received, 2, "GetTelemetrySubscriptions is not a push");
}

#[test]
fn a_client_whose_connection_ends_is_gone() {
    let fixture = fixture();
    let slot = fixture.dispatch.open("sink", SlotConfig::default()).unwrap();
    fixture.reception.subscribe(&Arc::default(), ConnectionId(1)).unwrap();
    fixture.reception.disconnected(ConnectionId(2));
    assert_eq!(notices(&slot), 0);
    fixture.reception.disconnected(ConnectionId(1));
    assert_eq!(notices(&slot), 1);
    assert_eq!(fixture.take_kinds(), ["subscription.answered", "client.gone"]);
}

#[test]
fn a_client_that_would_abort_is_offered_nothing_and_answered_by_the_rules() {
    let fixture = fixture();
    let named = |version: &str| {
        let client = Client { software_name: Some("librdkafka".into()), ..Client::default() };
        Arc::new(Client { software_version: Some(version.into()), ..client })
    };
    assert!(!fixture.reception.offers_telemetry_to(&named("2.5.3")), "no slot is open");
    let _slot = fixture.dispatch.open("sink", SlotConfig::default()).unwrap();
    assert!(fixture.reception.offers_telemetry_to(&named("2.5.3")));
    assert!(!fixture.reception.offers_telemetry_to(&named("2.5.0")));
    assert!(fixture.reception.subscribe(&named("2.5.0"), ConnectionId(1)).is_ok());
}

#[test]
fn a_refusal_by_a_later_stage_is_recorded_for_the_client() {
    let fixture = fixture();
    let _slot = fixture.dispatch.open("sink", SlotConfig::default()).unwrap();
    let subscription = fixture.reception.subscribe(&Arc::default(), ConnectionId(1)).unwrap();
    let client = Arc::new(Client { instance_id: Some(subscription.instance_id), ..Client::default() });
    let bad = Push { subscription_id: Some(subscription.id), ..push(&client, Bytes::from_static(b"\xff\xff")) };
    let refusal = fixture.reception.push(bad, ConnectionId(1)).unwrap_err();
    let known = fixture.reception.admission.client(subscription.instance_id).unwrap();
    assert_eq!((known.refused, known.last_refusal.map(|(code, _)| code)), (1, Some(refusal.code())));
}

#[test]
fn the_metrics_of_a_subscribed_client_outlive_its_departure() {
    let fixture = fixture();
    let connection = ConnectionId(1);
    let subscription = fixture.reception.subscribe(&Arc::default(), connection).unwrap();
    let id = subscription.instance_id;
    let client = Arc::new(Client { instance_id: Some(id), ..Client::default() });
    let subscribed_push =
        |wire| Push { ingress: Ingress::Kafka, subscription_id: Some(subscription.id), ..push(&client, wire) };
    let metrics_of = || fixture.reception.client(id).unwrap().metrics;
    assert_eq!(metrics_of(), None);
    let name = "org.apache.kafka.producer.of.a.later.release";
    fixture.reception.push(subscribed_push(metrics_named(name)), connection).unwrap();
    assert_eq!(metrics_of().unwrap().unknown, [name]);
    fixture
        .reception
        .push(Push { terminating: true, ..subscribed_push(Bytes::from_static(&[0xff; 3])) }, connection)
        .unwrap_err();
    let described = fixture.reception.client(id).unwrap();
    assert_eq!(
        (described.summary.role, described.summary.gone),
        (Some(ClientRole::Producer), true),
        "it keeps its role"
    );
    assert_eq!(described.metrics.unwrap().unknown, [name]);
    assert_eq!(
        described.last_refusal.map(|refusal| refusal.code),
        Some("invalid_record"),
        "refusals by decode count as well"
    );

    let unsubscribed = Arc::new(Client { instance_id: Some(InstanceId::from_bytes([7; 16])), ..Client::default() });
    fixture.reception.deliver(push(&unsubscribed, metrics())).unwrap();
    assert_eq!(
        fixture.reception.catalogue.sent_metrics(InstanceId::from_bytes([7; 16])),
        None,
        "no entry without a subscription"
    );
    let too_large = Refusal::TooLarge(String::new());
    fixture.reception.record_refused(Ingress::Kafka, 9, &client, connection, too_large);
    assert_eq!(fixture.reception.client(id).unwrap().summary.refused, 2, "refusals by the listener count as well");
}

#[test]
fn only_an_accepted_terminating_push_locks_its_client_out() {
    let fixture = fixture();
    let connection = ConnectionId(1);
    let subscription = fixture.reception.subscribe(&Arc::default(), connection).unwrap();
    let client = Arc::new(Client { instance_id: Some(subscription.instance_id), ..Client::default() });
    let last = |wire| Push { terminating: true, subscription_id: Some(subscription.id), ..push(&client, wire) };
    let refused = fixture.reception.push(last(Bytes::from_static(&[0xff; 3])), connection).unwrap_err();
    assert_eq!((refused.code(), fixture.take_kinds().last()), ("invalid_record", Some(&"client.gone")));
    assert!(fixture.reception.push(last(metrics()), connection).is_ok(), "a corrected push is accepted");
    let after = fixture.reception.push(last(metrics()), connection).unwrap_err();
    assert_eq!(after.code(), "invalid_request");
}
