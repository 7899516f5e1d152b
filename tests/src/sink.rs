//! An OTLP/HTTP endpoint that decodes requests with the reference schema and answers as a test requires.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, metric::Data};
use prost::Message as _;
use tokio::task::JoinHandle;

/// One decoded request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Request headers.
    pub headers: HeaderMap,
    /// Bytes on the wire.
    pub size: usize,
    /// Decoded by `opentelemetry-proto`.
    pub request: ExportMetricsServiceRequest,
}

/// A response for the sink to send; by default it sends 200 and an empty body.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    /// Status code.
    pub status: u16,
    /// Additional headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

#[derive(Default)]
struct SinkState {
    received: Vec<Received>,
    answers: VecDeque<CannedResponse>,
    always: Option<CannedResponse>,
    responder: Option<SinkResponder>,
    refused: usize,
}

/// Chooses a response by the content of a request; `None` is 200.
pub type SinkResponder = fn(&ExportMetricsServiceRequest) -> Option<CannedResponse>;

/// A running sink; it stops on drop.
pub struct OtlpSink {
    address: SocketAddr,
    inner: Arc<Mutex<SinkState>>,
    task: JoinHandle<()>,
}

/// The data points of one client instance at the sink.
#[derive(Clone, Debug, Default)]
pub struct ClientTally {
    /// Distinct pushes (by the `push_id` label, if the receiver is configured to send it).
    pub pushes: BTreeSet<String>,
    /// Data points.
    pub points: usize,
    /// Metric names.
    pub names: BTreeSet<String>,
    /// Resource attributes of the newest push.
    pub labels: BTreeMap<String, String>,
}

impl OtlpSink {
    /// Listens on a free loopback port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(SinkState::default()));
        let router = axum::Router::new().fallback(receive).with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner, task }
    }

    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for receivers to post to.
    pub fn url(&self) -> String {
        format!("http://{}/v1/metrics", self.address)
    }

    /// Queues a response.
    pub fn answer(&self, status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) {
        self.inner.lock().unwrap().answers.push_back(CannedResponse { status, headers, body });
    }

    /// Sets the response for when none is queued; `None` is 200.
    pub fn always(&self, status: Option<u16>) {
        self.inner.lock().unwrap().always =
            status.map(|status| CannedResponse { status, headers: vec![], body: vec![] });
    }

    /// Sets a function that chooses the response when none is queued or set.
    pub fn respond_with(&self, judge: SinkResponder) {
        self.inner.lock().unwrap().responder = Some(judge);
    }

    /// All requests that were answered with 200.
    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().unwrap().received.clone()
    }

    /// Number of requests that were answered with another status.
    pub fn refused(&self) -> usize {
        self.inner.lock().unwrap().refused
    }

    /// Data points by client instance id.
    pub fn tally(&self) -> BTreeMap<String, ClientTally> {
        let mut tallies: BTreeMap<String, ClientTally> = BTreeMap::new();
        for resource in self.received().iter().flat_map(|r| &r.request.resource_metrics) {
            let labels = labels(resource);
            let client = labels.get("client_instance_id").cloned().unwrap_or_default();
            tallies.entry(client).or_default().add(resource, labels);
        }
        tallies
    }
}

impl Drop for OtlpSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ClientTally {
    fn add(&mut self, resource: &ResourceMetrics, labels: BTreeMap<String, String>) {
        self.pushes.extend(labels.get("push_id").cloned());
        for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            self.points += points(metric);
            self.names.insert(metric.name.clone());
        }
        self.labels = labels;
    }
}

/// Resource attributes as text.
pub fn labels(resource: &ResourceMetrics) -> BTreeMap<String, String> {
    let attributes = resource.resource.iter().flat_map(|r| &r.attributes);
    attributes.map(|kv| (kv.key.clone(), text(kv.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Number of data points of a metric, of any kind.
pub fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
    }
}

async fn receive(State(inner): State<Arc<Mutex<SinkState>>>, headers: HeaderMap, body: Bytes) -> Response {
    let size = body.len();
    let plain = match headers.get("content-encoding").map(|v| v.to_str().unwrap_or("?")) {
        None | Some("identity") => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            if flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut plain).is_err() {
                return StatusCode::BAD_REQUEST.into_response();
            }
            plain
        }
        Some(_) => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
    };
    let Ok(request) = ExportMetricsServiceRequest::decode(&plain[..]) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut inner = inner.lock().unwrap();
    let answer = inner.answers.pop_front().or_else(|| inner.always.clone());
    let answer = answer.or_else(|| inner.responder.and_then(|judge| judge(&request)));
    if answer.as_ref().is_none_or(|a| a.status == 200) {
        inner.received.push(Received { headers, size, request });
    } else {
        inner.refused += 1;
    }
    let answer = answer.unwrap_or(CannedResponse { status: 200, headers: vec![], body: vec![] });
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
