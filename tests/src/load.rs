//! Many client instances that push recorded metrics at a steady rate, and a sink that checks order and counts.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use barnabas_base::{Codec, InstanceId};
use barnabas_pipeline::admission::Admitted;
use barnabas_pipeline::decode::{Decoded, Decoder};
use barnabas_pipeline::push::sample;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::task::JoinSet;

use crate::raw::RawClient;
use crate::{sink, vectors};

/// The resource attribute with the sequence number of a push, from 1 for each client.
const SEQUENCE: &str = "load_sequence";

/// The load to generate.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Number of client instances, with one connection each; half of them push like the Java client, half like
    /// librdkafka.
    pub clients: usize,
    /// Pushes per second of all clients together.
    pub per_second: usize,
}

/// Clients that push until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    shared: Arc<LoadShared>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct LoadShared {
    acknowledged: AtomicU64,
    refused: Mutex<BTreeMap<i16, u64>>,
    /// When each push was acknowledged, and how long that took.
    latencies: Mutex<Vec<(Instant, Duration)>>,
}

/// Totals over all clients.
#[derive(Clone, Debug)]
pub struct LoadResult {
    /// Pushes acknowledged without an error.
    pub acknowledged: u64,
    /// Pushes that were answered with an error, by code.
    pub refused: BTreeMap<i16, u64>,
}

impl Load {
    /// Connects all clients, then starts pushing.
    pub async fn start(address: SocketAddr, rate: Rate) -> Self {
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::new(LoadShared::default()));
        let pace = Duration::from_secs_f64(rate.clients as f64 / rate.per_second as f64);
        let shapes = [
            ("apache-kafka-java", plain("java-4.0-producer-cumulative")),
            ("librdkafka", plain("librdkafka-2.16-producer-cumulative")),
        ];
        let mut clients = JoinSet::new();
        for number in 0..rate.clients {
            let (software, shape) = shapes[number % shapes.len()].clone();
            let mut client = RawClient::connect(address, &format!("load-{number}")).await;
            client.api_versions(software).await;
            // Spread over the interval, so that the clients do not push simultaneously.
            let first = pace.mul_f64(number as f64 / rate.clients as f64);
            clients.spawn(push(client, shape, (first, pace), stop.clone(), shared.clone()));
        }
        Self { stop, shared, clients }
    }

    /// Pushes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// The latencies since the last call: when each acknowledgement arrived, and how long it took.
    pub fn drain_latencies(&self) -> Vec<(Instant, Duration)> {
        std::mem::take(&mut self.shared.latencies.lock().unwrap())
    }

    /// Stops all clients once their outstanding requests are answered.
    pub async fn stop(mut self) -> LoadResult {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let refused = self.shared.refused.lock().unwrap().clone();
        LoadResult { acknowledged: self.acknowledged(), refused }
    }
}

async fn push(
    mut client: RawClient,
    shape: Arc<[u8]>,
    (first, pace): (Duration, Duration),
    stop: Arc<AtomicBool>,
    shared: Arc<LoadShared>,
) {
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + first, pace);
    // A client that is late must not send two pushes back to back: the host would have to throttle it.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sequence = 1;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let wire = zstd::bulk::compress(&[&shape[..], &sequence_resource(sequence)].concat(), 1).unwrap();
        let asked = Instant::now();
        let code = client.push(&subscribed, Codec::Zstd, &wire, false).await.expect("the connection stays open");
        if code == 0 {
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            shared.latencies.lock().unwrap().push((Instant::now(), asked.elapsed()));
            sequence += 1;
        } else {
            *shared.refused.lock().unwrap().entry(code).or_default() += 1;
        }
    }
}

/// A recorded push, decompressed.
fn plain(name: &str) -> Arc<[u8]> {
    let vector = vectors::one(name);
    let push = barnabas_pipeline::push::Push { codec: vector.codec.id(), ..sample::from_bytes(vector.wire.into()) };
    match Decoder::default().decode(Admitted::declared(push).unwrap()).unwrap() {
        Decoded::Payload(payload) => payload.bytes()[..].into(),
        Decoded::Empty => panic!("{name} contains no metrics"),
    }
}

/// One additional resource that makes the push unique: a complete message, since Protobuf messages concatenate.
fn sequence_resource(sequence: u64) -> Vec<u8> {
    let value = Some(AnyValue { value: Some(Value::StringValue(sequence.to_string())) });
    let attribute = KeyValue { key: SEQUENCE.into(), value, ..KeyValue::default() };
    let gauge = Gauge { data_points: vec![NumberDataPoint::default()] };
    let metric = Metric { name: "load.sequence".into(), data: Some(Data::Gauge(gauge)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = Some(Resource { attributes: vec![attribute], ..Resource::default() });
    let resource = ResourceMetrics { resource, scope_metrics: vec![scope], ..ResourceMetrics::default() };
    MetricsData { resource_metrics: vec![resource] }.encode_to_vec()
}

/// An OTLP/HTTP endpoint that stores only counters. It checks that the pushes of each client arrive in order and at
/// least once.
pub struct Counter {
    address: SocketAddr,
    state: Arc<CounterState>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct CounterState {
    clients: Mutex<BTreeMap<String, ClientSequence>>,
    /// The status to answer with instead of 200; 0 means 200.
    status: std::sync::atomic::AtomicU16,
    requests: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct ClientSequence {
    last: u64,
    repeated: u64,
    missing: u64,
}

/// What arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Distinct clients.
    pub clients: usize,
    /// Distinct pushes.
    pub pushes: u64,
    /// Pushes that arrived again.
    pub repeated: u64,
    /// Pushes that arrived before an older push of the same client: out of order, or the older one is missing.
    pub missing: u64,
}

impl Counter {
    /// Listens on a free loopback port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::<CounterState>::default();
        let router = axum::Router::new().fallback(count).with_state(books.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state: books, task }
    }

    /// The URL for receivers to post to.
    pub fn url(&self) -> String {
        format!("http://{}/v1/metrics", self.address)
    }

    /// Answers all further requests with this status; `None` is 200.
    pub fn always(&self, status: Option<u16>) {
        self.state.status.store(status.unwrap_or(0), Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// What arrived so far.
    pub fn arrived(&self) -> Arrived {
        let clients = self.state.clients.lock().unwrap();
        let start = Arrived { clients: clients.len(), ..Arrived::default() };
        clients.values().fold(start, |sum, client| Arrived {
            pushes: sum.pushes + client.last - client.missing,
            repeated: sum.repeated + client.repeated,
            missing: sum.missing + client.missing,
            ..sum
        })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn count(State(books): State<Arc<CounterState>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    books.requests.fetch_add(1, Ordering::Relaxed);
    let status = books.status.load(Ordering::Relaxed);
    if status != 0 {
        return StatusCode::from_u16(status).unwrap();
    }
    let mut plain = body.to_vec();
    if headers.contains_key("content-encoding") {
        plain.clear();
        flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
    }
    let request = ExportMetricsServiceRequest::decode(&plain[..]).unwrap();
    let mut clients = books.clients.lock().unwrap();
    for resource in &request.resource_metrics {
        // Most resources have no sequence number, and a push has many resources.
        if !has_sequence(resource) {
            continue;
        }
        let labels = sink::labels(resource);
        let (Some(sequence), Some(client)) = (labels.get(SEQUENCE), labels.get("client_instance_id")) else { continue };
        let (sequence, client): (u64, _) = (sequence.parse().unwrap(), clients.entry(client.clone()).or_default());
        if sequence <= client.last {
            client.repeated += 1;
        } else {
            client.missing += sequence - client.last - 1;
            client.last = sequence;
        }
    }
    StatusCode::OK
}

fn has_sequence(resource: &ResourceMetrics) -> bool {
    resource.resource.iter().flat_map(|resource| &resource.attributes).any(|attribute| attribute.key == SEQUENCE)
}

/// The smallest value that `percent` of the values do not exceed.
pub fn percentile(waits: &mut [Duration], percent: f64) -> Duration {
    waits.sort_unstable();
    let at = ((waits.len() as f64 * percent / 100.0) as usize).min(waits.len().saturating_sub(1));
    waits.get(at).copied().unwrap_or_default()
}
