//! Tests of the simulator against the Kafka listener, with an intake that records requests, or with the real intake for
//! misbehaving clients.

mod faults;
mod misbehaviour;
mod secured;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::model::ClientKind;
use super::*;
use barnabas_base::{Codec, InstanceId};
use barnabas_ingress::budget::ByteBudget;
use barnabas_ingress::kafka;
use barnabas_pipeline::admission::{Admitted, ClientSubscription, Refusal};
use barnabas_pipeline::decode;
use barnabas_pipeline::decode::{Decoded, Decoder};
use barnabas_pipeline::event::Events;
use barnabas_pipeline::intake::{Intake, Receipt};
use barnabas_pipeline::push;
use barnabas_pipeline::push::{ConnectionId, Ingress, Push};

/// An intake that records requests. It accepts every push that can be decoded, like the real one.
struct RecordedIntake {
    metrics: Vec<Arc<str>>,
    interval: Duration,
    codecs: Vec<Codec>,
    push_refusal: Option<Refusal>,
    /// Number of pushes to refuse; later ones are accepted.
    refused_pushes: u64,
    /// The refusal of every Get.
    get_refusal: Option<Refusal>,
    offers: bool,
    decoder: Decoder,
    recorded: Mutex<RecordedRequests>,
}

#[derive(Default)]
struct RecordedRequests {
    gets: u64,
    refused: u64,
    pushes: u64,
    terminating: u64,
    empty: u64,
    instances: u8,
    /// Number of pushes by codec.
    codecs: BTreeMap<i8, u64>,
    clients: BTreeSet<String>,
    software: BTreeSet<String>,
    sources: BTreeSet<IpAddr>,
    principals: BTreeSet<Option<Arc<str>>>,
    connections: BTreeSet<ConnectionId>,
}

impl RecordedIntake {
    fn new() -> Self {
        Self {
            metrics: vec!["*".into()],
            interval: Duration::from_millis(100),
            codecs: Codec::OFFERED.to_vec(),
            push_refusal: None,
            refused_pushes: u64::MAX,
            get_refusal: None,
            offers: true,
            decoder: Decoder::new(decode::DecodeConfig::default()),
            recorded: Mutex::default(),
        }
    }
}

impl Intake for RecordedIntake {
    fn offers_telemetry(&self) -> bool {
        self.offers
    }

    fn subscribe(&self, client: &Arc<push::Client>, _: ConnectionId) -> Result<ClientSubscription, Refusal> {
        let mut seen = self.recorded.lock().unwrap();
        seen.gets += 1;
        if let Some(refusal) = &self.get_refusal {
            return Err(refusal.clone());
        }
        seen.instances += 1;
        Ok(ClientSubscription {
            instance_id: client.instance_id.unwrap_or(InstanceId::from_bytes([seen.instances; 16])),
            id: 5,
            codecs: self.codecs.clone(),
            push_interval: self.interval,
            max_bytes: 1 << 20,
            delta: false,
            metrics: self.metrics.clone().into(),
        })
    }

    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal> {
        let mut seen = self.recorded.lock().unwrap();
        if let Some(refusal) = self.push_refusal.as_ref().filter(|_| seen.refused < self.refused_pushes) {
            seen.refused += 1;
            return Err(refusal.clone());
        }
        seen.pushes += 1;
        seen.terminating += u64::from(push.terminating);
        *seen.codecs.entry(push.codec).or_default() += 1;
        seen.clients.insert(push.client.client_id.as_deref().unwrap().to_owned());
        seen.software.insert(push.client.software_version.as_deref().unwrap().to_owned());
        seen.sources.insert(push.client.source.unwrap().ip());
        seen.connections.insert(connection);
        seen.principals.insert(push.client.principal.clone());
        match self.decoder.decode(Admitted::declared(push)?)? {
            Decoded::Payload(_) => Ok(Receipt::Accepted(1)),
            Decoded::Empty => {
                seen.empty += 1;
                Ok(Receipt::Empty)
            }
        }
    }

    fn deliver(&self, _: Push) -> Result<Receipt, Refusal> {
        unreachable!("the Kafka listener calls `push`")
    }

    fn record_refused(&self, _: Ingress, _: usize, _: &Arc<push::Client>, _: ConnectionId, _: Refusal) {}

    fn disconnected(&self, _: ConnectionId) {}
}

/// A listener that can be stopped.
struct TestListener {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn start_listener(intake: Arc<dyn Intake>, edit: impl FnOnce(&mut kafka::KafkaListenerConfig)) -> TestListener {
    let mut config = kafka::KafkaListenerConfig::new("test", "127.0.0.1:0".parse().unwrap());
    edit(&mut config);
    let bound = kafka::bind(config).await.unwrap();
    let address = bound.local_addr();
    let (shut, stopped) = oneshot::channel();
    let stopped = async move { stopped.await.unwrap_or_default() };
    let (budget, subscriptions) =
        (ByteBudget::new(ByteBudget::DEFAULT_BYTES), barnabas_ingress::subscription::testing::subscriptions().0);
    let rooms = kafka::ListenerHandles { intake, budget, events: Events::new(), subscriptions };
    let serving = tokio::spawn(bound.serve(rooms, stopped));
    TestListener { address, stop: shut, serving }
}

fn options(listener: &TestListener, clients: usize) -> SimulationOptions {
    SimulationOptions {
        time: Duration::from_millis(1500),
        ramp: Duration::from_millis(200),
        ..SimulationOptions::new(listener.address.to_string(), clients)
    }
}

async fn play(options: SimulationOptions) -> SimulationReport {
    run(options, pending(), |_| ()).await.unwrap()
}

#[tokio::test]
async fn the_counts_of_both_sides_agree() {
    let recorded = Arc::new(RecordedIntake::new());
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let sources: SourceAddresses = "127.0.0.2,127.0.0.3".parse().unwrap();
    let mut given_subscription = Vec::new();
    let report = run(SimulationOptions { sources, ..options(&listener, 24) }, pending(), |progress| {
        given_subscription.push(*progress)
    })
    .await
    .unwrap();
    let seen = recorded.recorded.lock().unwrap();
    assert_eq!((report.gets, report.pushes, report.terminating), (seen.gets, seen.pushes, seen.terminating));
    assert_eq!((report.fault.as_deref(), report.silent, report.lost, report.refused), (None, 0, 0, 0), "{report}");
    assert_eq!((seen.clients.len(), seen.connections.len(), report.opened), (24, 24, 24));
    assert!(!report.is_multiplexed() && report.errors.is_empty());
    for kind in ClientKind::ALL.map(|kind| report.kinds[&kind.to_string()]) {
        assert_eq!((kind.clients, kind.started, kind.connected, kind.pushed), (6, 6, 6, 6), "{report}");
    }
    assert_eq!(seen.sources.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.2", "127.0.0.3"]);
    assert_eq!(seen.software.len(), 4);
    // The first accepted codec, except for Java 3.7, which never compresses.
    assert_eq!(seen.codecs.keys().copied().collect::<Vec<_>>(), [Codec::None.id(), Codec::Zstd.id()]);
    assert_eq!((seen.empty, report.get_latency.count, report.push_latency.count), (0, seen.gets, seen.pushes));
    assert!(report.terminating > 0 && report.bytes_sent > 0);
    let last = given_subscription.last().unwrap();
    assert_eq!((last.pushes, last.clients, last.connected, last.silent), (report.pushes, 24, 24, 0));
    let said = report.to_string();
    assert!(said.contains("24 clients on 24 connections,") && said.contains("no faults"), "{said}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["kinds"]["librdkafka"]["pushed"], 6);
}

#[tokio::test]
async fn every_codec_is_decoded_by_the_host() {
    for codec in Codec::OFFERED {
        let recorded = Arc::new(RecordedIntake::new());
        let listener = start_listener(recorded.clone(), |_| ()).await;
        let kinds = vec![ClientKind::Java42, ClientKind::Librdkafka];
        let report = play(SimulationOptions { codecs: vec![codec], kinds, ..options(&listener, 8) }).await;
        let seen = recorded.recorded.lock().unwrap();
        assert_eq!(report.fault, None, "{codec}: {report}");
        assert_eq!(seen.codecs.keys().copied().collect::<Vec<_>>(), [codec.id()]);
        assert!(seen.pushes >= 8 && seen.empty == 0);
    }
}

#[tokio::test]
async fn metrics_that_are_not_requested_are_not_sent() {
    let recorded = Arc::new(RecordedIntake { metrics: vec!["no.such.metric.".into()], ..RecordedIntake::new() });
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let report = play(options(&listener, 4)).await;
    let seen = recorded.recorded.lock().unwrap();
    assert_eq!(report.fault, None, "{report}");
    assert!(seen.pushes > 0 && seen.empty == seen.pushes);
}

#[tokio::test]
async fn several_clients_take_turns_on_a_connection() {
    let recorded = Arc::new(RecordedIntake::new());
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let report = play(SimulationOptions { connections: 4, ..options(&listener, 40) }).await;
    let seen = recorded.recorded.lock().unwrap();
    assert_eq!((seen.connections.len(), seen.clients.len()), (4, 40));
    assert_eq!((report.fault.as_deref(), report.pushes), (None, seen.pushes), "{report}");
    assert!(report.is_multiplexed() && report.to_string().contains("several clients per connection"));
}

#[tokio::test]
async fn clients_that_are_silenced_are_counted_with_their_reasons() {
    let recorded =
        Arc::new(RecordedIntake { push_refusal: Some(Refusal::InvalidRecord("no".into())), ..RecordedIntake::new() });
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let report = play(options(&listener, 8)).await;
    assert_eq!((report.silent, report.silencing_errors, report.pushes), (8, 8, 0), "{report}");
    assert_eq!(report.errors["PushTelemetry"]["INVALID_RECORD (87)"], 8);
    assert_eq!(report.silent_because.values().flat_map(BTreeMap::values).sum::<u64>(), 8);
    let fault = report.fault.unwrap();
    assert!(fault.contains("8 clients stopped pushing for good"), "{fault}");
}

#[tokio::test]
async fn errors_that_clients_recover_from_are_no_fault() {
    let push_refusal = Some(Refusal::TooLarge("so".into()));
    let recorded = Arc::new(RecordedIntake { push_refusal, refused_pushes: 4, ..RecordedIntake::new() });
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let report = play(options(&listener, 4)).await;
    assert_eq!((report.fault.as_deref(), report.silent), (None, 0), "{report}");
    assert_eq!(report.errors["PushTelemetry"]["TELEMETRY_TOO_LARGE (118)"], 4);
}

#[tokio::test]
async fn a_listener_that_stops_is_counted_and_silences_no_client() {
    // Without requested metrics, clients have no request in flight when the listener stops.
    let (metrics, interval) = (Vec::new(), Duration::from_secs(60));
    let recorded = Arc::new(RecordedIntake { metrics, interval, ..RecordedIntake::new() });
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let playing = tokio::spawn(play(SimulationOptions {
        ramp: Duration::ZERO,
        time: Duration::from_secs(3),
        ..options(&listener, 8)
    }));
    while recorded.recorded.lock().unwrap().gets < 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Waits until the clients have read the responses, too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    listener.stop.send(()).unwrap();
    listener.serving.await.unwrap();
    let report = playing.await.unwrap();
    assert_eq!((report.lost, report.silent, report.fault.as_deref()), (8, 0, None), "{report}");
    assert!(report.refused >= 8 && report.last_error.unwrap().contains(&listener.address.to_string()));
}

/// A proxy that closes each connection at its first push.
async fn closing_proxy(host: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward_until_push(client, host));
        }
    });
    address
}

async fn forward_until_push(mut client: TcpStream, host: SocketAddr) -> std::io::Result<()> {
    let mut behind = TcpStream::connect(host).await?;
    loop {
        let request = frame(&mut client).await?;
        if request[4..6] == [0, 72] {
            return Ok(());
        }
        behind.write_all(&request).await?;
        client.write_all(&frame(&mut behind).await?).await?;
    }
}

async fn frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let len = stream.read_u32().await?;
    let mut frame = len.to_be_bytes().to_vec();
    frame.resize(4 + len as usize, 0);
    stream.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

#[tokio::test]
async fn a_close_in_flight_silences_older_java_clients_and_no_others() {
    let listener = start_listener(Arc::new(RecordedIntake::new()), |_| ()).await;
    let bootstrap = closing_proxy(listener.address).await.to_string();
    let report = play(SimulationOptions { bootstrap, ..options(&listener, 8) }).await;
    let silent: Vec<u64> = ClientKind::ALL.iter().map(|kind| report.kinds[&kind.to_string()].silent).collect();
    assert_eq!((silent, report.pushes), (vec![2, 2, 0, 0], 0), "{report}");
    assert!(report.lost >= 8 && report.fault.unwrap().contains("4 clients stopped pushing for good"));
}

#[tokio::test]
async fn a_client_that_never_connects_is_a_fault() {
    let listener = start_listener(Arc::new(RecordedIntake::new()), |config| config.max_connections = 2).await;
    let report = play(SimulationOptions { ramp: Duration::ZERO, ..options(&listener, 6) }).await;
    assert!(report.never_connected >= 4, "{report}");
    assert!(report.fault.unwrap().contains("never had a connection"));
}

#[tokio::test]
async fn it_stops_in_an_orderly_way_on_request() {
    let recorded = Arc::new(RecordedIntake::new());
    let listener = start_listener(recorded.clone(), |_| ()).await;
    let options = SimulationOptions { time: Duration::from_secs(3600), ..options(&listener, 8) };
    let stop = async {
        while recorded.recorded.lock().unwrap().clients.len() < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let report = run(options, stop, |_| ()).await.unwrap();
    assert_eq!((report.fault.as_deref(), report.unfinished), (None, 0), "{report}");
    assert_eq!(report.terminating, recorded.recorded.lock().unwrap().terminating);
    assert!(report.terminating > 0);
}

#[tokio::test]
async fn invalid_options_are_refused_with_a_remedy() {
    let sound = SimulationOptions::new("127.0.0.1:1", 10);
    for (options, words) in [
        (SimulationOptions { clients: 0, ..sound.clone() }, "--clients 0"),
        (SimulationOptions { clients: usize::MAX, ..sound.clone() }, "use 1 to"),
        (SimulationOptions { connections: 11, ..sound.clone() }, "--connections 11"),
        (SimulationOptions { connections: 0, ..sound.clone() }, "--connections 0"),
        (SimulationOptions { kinds: Vec::new(), ..sound.clone() }, "--kinds"),
        (SimulationOptions { time: Duration::ZERO, ..sound.clone() }, "--seconds"),
        (SimulationOptions { misbehave: 1.5, ..sound.clone() }, "--misbehave 1.5"),
        (SimulationOptions { misbehave: f64::NAN, ..sound.clone() }, "--misbehave NaN"),
        (SimulationOptions { clients: 9_000_000, connections: 9_000_000, ..sound.clone() }, "open files"),
        (sound, "cannot connect to 127.0.0.1:1"),
    ] {
        let said = format!("{:#}", run(options, pending(), |_| ()).await.unwrap_err());
        assert!(said.contains(words), "`{said}` should say `{words}`");
    }
}

#[test]
fn misbehaving_connections_are_spread_and_counted_exactly() {
    for (connections, share, rogues) in [(100, 0.05, 5), (7, 0.5, 4), (10, 0.001, 1), (10, 0.0, 0), (3, 1.0, 3)] {
        let options = SimulationOptions { misbehave: share, ..SimulationOptions::new("", connections) };
        let ordinals: Vec<_> = (0..connections).filter_map(|number| options.rogue(number)).collect();
        assert_eq!(ordinals, (0..rogues).collect::<Vec<_>>(), "{share} of {connections}");
    }
}
