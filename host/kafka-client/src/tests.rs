//! Our own client against our own listener, and against servers that send invalid responses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use barnabas_base::{Codec, InstanceId};
use barnabas_ingress::budget::ByteBudget;
use barnabas_ingress::kafka;
use barnabas_ingress::subscription::testing;
use barnabas_pipeline::admission::{ClientSubscription, Refusal};
use barnabas_pipeline::event::Events;
use barnabas_pipeline::intake::{Intake, Receipt};
use barnabas_pipeline::push;
use barnabas_pipeline::push::{ConnectionId, Ingress};

const GIVEN: InstanceId = InstanceId::from_bytes([7; 16]);

/// An intake that accepts everything.
#[derive(Default)]
struct StubIntake {
    asked: Mutex<Vec<Arc<push::Client>>>,
    pushes: Mutex<Vec<push::Push>>,
}

impl Intake for StubIntake {
    fn offers_telemetry(&self) -> bool {
        true
    }

    fn subscribe(&self, client: &Arc<push::Client>, _: ConnectionId) -> Result<ClientSubscription, Refusal> {
        self.asked.lock().unwrap().push(client.clone());
        Ok(ClientSubscription {
            instance_id: client.instance_id.unwrap_or(GIVEN),
            id: 0x1234_5678,
            codecs: Codec::OFFERED.to_vec(),
            push_interval: Duration::from_millis(1500),
            max_bytes: 1 << 20,
            delta: false,
            metrics: Arc::new(["a.".into(), "b.".into()]),
        })
    }

    fn push(&self, push: push::Push, _: ConnectionId) -> Result<Receipt, Refusal> {
        let current = 0x1234_5678;
        let given = push.subscription_id.unwrap();
        self.pushes.lock().unwrap().push(push);
        if given == current { Ok(Receipt::Accepted(1)) } else { Err(Refusal::UnknownSubscription { given, current }) }
    }

    fn deliver(&self, _: push::Push) -> Result<Receipt, Refusal> {
        unreachable!("this listener has subscriptions")
    }

    fn record_refused(&self, _: Ingress, _: usize, _: &Arc<push::Client>, _: ConnectionId, _: Refusal) {}

    fn disconnected(&self, _: ConnectionId) {}
}

async fn listener() -> (SocketAddr, Arc<StubIntake>) {
    let config = kafka::KafkaListenerConfig::new("test", "127.0.0.1:0".parse().unwrap());
    let bound = kafka::bind(config).await.unwrap();
    let (address, behind) = (bound.local_addr(), Arc::<StubIntake>::default());
    let budget = ByteBudget::new(ByteBudget::DEFAULT_BYTES);
    let (intake, subscriptions) = (behind.clone(), testing::subscriptions().0);
    let handles = kafka::ListenerHandles { intake, budget, events: Events::new(), subscriptions };
    tokio::spawn(bound.serve(handles, std::future::pending()));
    (address, behind)
}

fn options() -> KafkaClientOptions {
    KafkaClientOptions {
        client_id: "asker".into(),
        software: ("some-client".into(), "1.2".into()),
        ..KafkaClientOptions::default()
    }
}

#[tokio::test]
async fn our_listener_answers_every_request() {
    let (address, behind) = listener().await;
    let mut client = KafkaClient::connect(&address.to_string(), &options()).await.unwrap();
    assert_eq!((client.versions(3), client.versions(71), client.versions(999)), (Some((0, 12)), Some((0, 0)), None));
    assert!(client.offers_telemetry());
    let metadata = client.metadata().await.unwrap();
    assert_eq!(metadata.cluster_id.as_deref(), Some("barnabas"));
    let broker = BrokerAddress { node_id: 1, host: "127.0.0.1".into(), port: address.port().into() };
    assert_eq!((metadata.controller_id, metadata.brokers), (1, vec![broker]));
    let subscribed = client.get_subscription(InstanceId::NIL).await.unwrap().unwrap();
    assert_eq!(
        (subscribed.instance_id, subscribed.id, &subscribed.codecs[..]),
        (GIVEN, 0x1234_5678, &[4, 3, 1, 2][..])
    );
    assert_eq!(
        (subscribed.push_interval(), subscribed.max_bytes, subscribed.delta),
        (Duration::from_millis(1500), 1 << 20, false)
    );
    assert_eq!(subscribed.metrics, ["a.", "b."]);
    let push = TelemetryPush {
        instance_id: GIVEN,
        subscription_id: subscribed.id,
        terminating: true,
        codec: 3,
        metrics: &[b'x'; 300],
    };
    client.set_client_id("another");
    assert_eq!(client.push(&push).await.unwrap(), Ok(()));
    assert_eq!(client.push(&TelemetryPush { subscription_id: 1, ..push }).await.unwrap(), Err(ErrorCode(117)));
    let (asked, pushes) = (behind.asked.lock().unwrap(), behind.pushes.lock().unwrap());
    assert_eq!((asked[0].client_id.as_deref(), asked[0].instance_id), (Some("asker"), None));
    assert_eq!(asked[0].software_name.as_deref(), Some("some-client"));
    assert_eq!(asked[0].software_version.as_deref(), Some("1.2"));
    assert_eq!(pushes[0].client.client_id.as_deref(), Some("another"));
    assert_eq!((pushes[0].codec, pushes[0].terminating, pushes[0].wire.len()), (3, true, 300));
}

#[tokio::test]
async fn every_version_of_metadata_is_read() {
    let (address, _) = listener().await;
    let mut client = KafkaClient::connect(&address.to_string(), &options()).await.unwrap();
    for version in 1..=12 {
        client.offered = vec![(3, 0, version)];
        let metadata = client.metadata().await.unwrap();
        assert_eq!(metadata.brokers[0].port, i32::from(address.port()), "version {version}");
        assert_eq!(metadata.cluster_id.is_some(), version >= 2, "version {version}");
    }
    client.offered = vec![(3, 13, 14)];
    assert!(client.metadata().await.unwrap_err().to_string().contains("supports Metadata versions 13 to 14"));
}

#[tokio::test]
async fn it_connects_from_the_configured_source() {
    let (address, behind) = listener().await;
    let options = KafkaClientOptions { source: Some("127.0.0.9".parse().unwrap()), ..options() };
    let mut client = KafkaClient::connect(&address.to_string(), &options).await.unwrap();
    client.get_subscription(InstanceId::NIL).await.unwrap().unwrap();
    let source = behind.asked.lock().unwrap()[0].source.unwrap();
    assert_eq!(source.ip().to_string(), "127.0.0.9");
}

/// A server that accepts one connection, answers each request with the next of these byte strings, and closes.
async fn scripted(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for answer in answers {
            let len = stream.read_u32().await.unwrap();
            let mut request = vec![0; len as usize];
            stream.read_exact(&mut request).await.unwrap();
            requests.push(request);
            stream.write_all(&answer).await.unwrap();
        }
        requests
    });
    (address, serving)
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// A response to the first request, ApiVersions v3, that advertises keys 71 and 72.
fn api_versions_response() -> Vec<u8> {
    framed(
        &[&[0, 0, 0, 1][..], &[0, 0, 3], &[0, 71, 0, 0, 0, 0, 0], &[0, 72, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0]].concat(),
    )
}

async fn connect_error(answer: Vec<u8>) -> String {
    let (address, _serving) = scripted(vec![answer]).await;
    let error = KafkaClient::connect(&address, &options()).await.unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains(&address), "{said}");
    said
}

#[tokio::test]
async fn a_broker_that_does_not_know_our_version_is_asked_in_the_oldest() {
    let old = framed(&[0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 2]);
    let oldest = framed(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 5, 0, 18, 0, 0, 0, 2]);
    let (address, serving) = scripted(vec![old, oldest]).await;
    let client = KafkaClient::connect(&address, &options()).await.unwrap();
    assert_eq!((client.versions(3), client.offers_telemetry()), (Some((0, 5)), false));
    let requests = serving.await.unwrap();
    // Key 18 in version 3 with the software's name, then in version 0 without a body.
    assert_eq!((&requests[0][..4], &requests[1][..4]), (&[0, 18, 0, 3][..], &[0, 18, 0, 0][..]));
    assert_eq!(&requests[1][4..], [&[0, 0, 0, 2, 0, 5][..], b"asker"].concat());
}

#[tokio::test]
async fn impossible_lengths_are_refused_before_anything_is_allocated() {
    for length in [-1, i32::MIN, MAX_ANSWER_BYTES as i32 + 1, i32::from_be_bytes(*b"HTTP")] {
        let said = connect_error(length.to_be_bytes().to_vec()).await;
        assert!(said.contains(&format!("announces {length} bytes")), "{said}");
    }
}

#[tokio::test]
async fn truncated_and_foreign_answers_are_refused() {
    let said = connect_error([&[0, 0, 1, 0][..], &[1; 9]].concat()).await;
    assert!(said.contains("closed inside the answer"), "{said}");
    let said = connect_error(framed(&[0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0])).await;
    assert!(said.contains("answered request 2 instead of 1"), "{said}");
    let said = connect_error(framed(&[0, 0])).await;
    assert!(said.contains("cannot be decoded"), "{said}");
    // Announces more entries than there are bytes.
    let said = connect_error(framed(&[0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f])).await;
    assert!(said.contains("entries"), "{said}");
    let said = connect_error(framed(&[0, 0, 0, 1, 0, 58, 1, 0, 0, 0, 0, 0])).await;
    assert!(said.contains("SASL_AUTHENTICATION_FAILED (58)"), "{said}");
    let said = connect_error(Vec::new()).await;
    assert!(said.contains("did not answer ApiVersions v3"), "{said}");
}

#[tokio::test]
async fn a_connection_closed_in_flight_is_reported_and_not_used_again() {
    let (address, serving) = scripted(vec![api_versions_response(), Vec::new()]).await;
    let mut client = KafkaClient::connect(&address, &options()).await.unwrap();
    assert!(client.offers_telemetry());
    let said = format!("{:#}", client.get_subscription(GIVEN).await.unwrap_err());
    assert!(said.contains(&address) && said.contains("GetTelemetrySubscriptions v0"), "{said}");
    assert_eq!(serving.await.unwrap().len(), 2);
    let said = client.get_subscription(GIVEN).await.unwrap_err().to_string();
    assert!(said.contains("connect again"), "{said}");
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&api_versions_response()).await.unwrap();
        stream
    });
    let options = KafkaClientOptions { timeout: Duration::from_millis(200), ..options() };
    let mut client = KafkaClient::connect(&address, &options).await.unwrap();
    let _stream = silent.await.unwrap();
    let said = format!("{:#}", client.get_subscription(GIVEN).await.unwrap_err());
    assert!(said.contains("timed out after 200ms"), "{said}");
    assert!(client.get_subscription(GIVEN).await.unwrap_err().to_string().contains("connect again"));
}

#[tokio::test]
async fn the_first_address_that_answers_is_used() {
    let (address, _) = listener().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let both = format!("{free}, {address}");
    assert_eq!(KafkaClient::connect(&both, &options()).await.unwrap().address(), address.to_string());
    let said = format!("{:#}", KafkaClient::connect(&format!("{free},nonsense"), &options()).await.unwrap_err());
    assert!(said.contains(&free.to_string()) && said.contains("cannot connect to nonsense"), "{said}");
    let said = KafkaClient::connect(" ,", &options()).await.unwrap_err().to_string();
    assert!(said.contains("host:port"), "{said}");
}

#[tokio::test]
async fn a_close_between_requests_is_detected() {
    let (address, _serving) = scripted(vec![api_versions_response()]).await;
    let mut client = KafkaClient::connect(&address, &options()).await.unwrap();
    assert!(client.closed().await.to_string().contains("closed the connection"));
}
