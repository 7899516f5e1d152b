//! A real Prometheus 3 with its OTLP endpoint, built with Go; the responses of Prometheus, for a sink that stands in
//! for it; and pushes that Prometheus rejects.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric::Data, number_data_point::Value,
};
use prost::Message as _;
use tempfile::TempDir;

use crate::sink::CannedResponse;

/// Prometheus 3.16 as a Go module.
const MODULE: &str = "github.com/prometheus/prometheus/cmd/prometheus@v0.316.0";
/// Startup timeout.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server process that is killed on drop.
pub struct Prometheus {
    server: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// The program, built once and cached in cargo's target folder.
fn program() -> PathBuf {
    let version = MODULE.rsplit('@').next().unwrap();
    let folder = crate::command::path().with_file_name("prometheus").join(version);
    let program = folder.join("prometheus");
    if !program.is_file() {
        let mut go = Command::new("go");
        // Without the cloud service discoveries the build takes a quarter of the time.
        go.args(["install", "-tags", "remove_all_sd", MODULE]).env("GOBIN", &folder);
        let output = go.output().unwrap_or_else(|error| panic!("cannot run Go: {error}; install Go"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Go cannot build {MODULE}:\n{said}");
    }
    program
}

impl Prometheus {
    /// Starts it on a free loopback port, with the flag and the configuration of docs/sinks.md and these additional
    /// flags, and waits until it answers. Blocks the thread: it may have to build the program.
    pub fn start(flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let configuration = crate::doc_page::file("docs/sinks.md", "prometheus.yml");
        std::fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        // The port was free a moment ago: Prometheus does not report the port that it would choose itself.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = Command::new(program());
        server.current_dir(&folder).args(["--config.file=prometheus.yml", "--web.enable-otlp-receiver"]);
        server.arg(format!("--web.listen-address={address}")).args(flags);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let server = server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let prometheus = Self { server, address, folder };
        let deadline = Instant::now() + PATIENCE;
        while prometheus.get("/-/ready").is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < deadline, "Prometheus did not start: {}", prometheus.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    /// The URL for receivers to post to.
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/otlp/v1/metrics", self.address)
    }

    /// The newest values of a PromQL expression (a series or a sum over series), by the remaining labels.
    pub fn query(&self, expression: &str) -> serde_json::Value {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, body) = self.get(&format!("/api/v1/query?query={escaped}")).expect("Prometheus answers");
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer["data"]["result"].clone()
    }

    /// Number of requests to its OTLP endpoint by status code, from its own metrics.
    pub fn otlp_requests(&self) -> Vec<(u16, u64)> {
        let (_, body) = self.get("/metrics").expect("Prometheus answers");
        let counts = body.lines().filter_map(|line| {
            let line = line.strip_prefix("prometheus_http_requests_total{code=\"")?;
            let (code, rest) = line.split_once("\",handler=\"/api/v1/otlp/v1/metrics\"} ")?;
            Some((code.parse().ok()?, rest.trim().parse::<f64>().ok()? as u64))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `None` while the server does not answer.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let head = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address);
        let answer = exchange(&self.address.to_string(), &head, &[])?;
        Some((answer.status, answer.body))
    }
}

/// A response without the parts that differ between servers: its date, and the connection headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkResponse {
    /// Status code.
    pub status: u16,
    /// Headers of an error response that describe its body, sorted by name.
    pub headers: Vec<String>,
    /// The body as text.
    pub body: String,
}

impl SinkResponse {
    /// The response of the OTLP endpoint at `url` to this push. Blocks the thread.
    pub fn post(url: &str, push: &[u8]) -> Self {
        let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
        let head = format!(
            "POST /{path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            push.len()
        );
        exchange(address, &head, push).unwrap_or_else(|| panic!("no response from {url}"))
    }
}

fn exchange(address: &str, head: &str, body: &[u8]) -> Option<SinkResponse> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let tells = |line: &String| status >= 400 && (line.starts_with("content-type:") || line.starts_with("x-content"));
    let mut headers: Vec<String> = lines.map(str::to_ascii_lowercase).filter(tells).collect();
    headers.sort_unstable();
    Some(SinkResponse { status, headers, body: body.to_owned() })
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The response of the OTLP endpoint of Prometheus 3.16 to a request, for a server without feature flags and without
/// stored samples; `None` is 200. An error in one metric makes it reject the whole request. `cargo xtask test
/// prometheus` compares this function with the real server. (Where a resource has attributes, the real server repeats
/// the message about a sample for `target_info`.)
pub fn respond_like_prometheus(request: &ExportMetricsServiceRequest) -> Option<CannedResponse> {
    let metrics = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let faults: Vec<PrometheusError> = metrics.flat_map(|scope| &scope.metrics).filter_map(check_metric).collect();
    if faults.is_empty() {
        return None;
    }
    // A sample that cannot be stored is a client error (400); a metric that cannot be translated is reported as a
    // server error (500).
    let status = if faults.iter().any(|fault| matches!(fault, PrometheusError::Sample(_))) { 400 } else { 500 };
    let lines = faults.iter().map(|fault| match fault {
        PrometheusError::Sample(line) | PrometheusError::Translation(line) => format!("{line}\n"),
    });
    let headers = vec![
        ("content-type", "text/plain; charset=utf-8".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    Some(CannedResponse { status, headers, body: lines.collect::<String>().into_bytes() })
}

enum PrometheusError {
    Translation(String),
    Sample(String),
}

fn check_metric(metric: &Metric) -> Option<PrometheusError> {
    let (points, temporality) = match &metric.data {
        Some(Data::Sum(sum)) => (&sum.data_points[..], Some(sum.aggregation_temporality())),
        Some(Data::Gauge(gauge)) => (&gauge.data_points[..], None),
        _ => (&[][..], None),
    };
    if temporality.is_some_and(|temporality| temporality != AggregationTemporality::Cumulative) {
        let words = format!("invalid temporality and type combination for metric {:?}", metric.name);
        return Some(PrometheusError::Translation(words));
    }
    if metric.name.is_empty() {
        return Some(PrometheusError::Translation("normalization for metric \"\" resulted in empty name".to_owned()));
    }
    let ahead = nanos(SystemTime::now()) + nanos_of(Duration::from_mins(10));
    let future = points.iter().any(|point| point.time_unix_nano > ahead);
    future.then(|| PrometheusError::Sample("out of bounds: timestamp is too far in the future".to_owned()))
}

fn nanos(time: SystemTime) -> u64 {
    nanos_of(time.duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// Pushes, as `MetricsData`, that sinks accept or that Prometheus rejects.
pub mod pushes {
    use super::*;

    /// A series whose sample count is the number of stored pushes.
    pub const SOUND: &str = "barnabas.test.sound";

    fn point(time: SystemTime) -> NumberDataPoint {
        NumberDataPoint { time_unix_nano: nanos(time), value: Some(Value::AsDouble(1.0)), ..NumberDataPoint::default() }
    }

    fn gauge(name: &str, time: SystemTime) -> Metric {
        let data = Data::Gauge(Gauge { data_points: vec![point(time)] });
        Metric { name: name.to_owned(), data: Some(data), ..Metric::default() }
    }

    fn push(metrics: Vec<Metric>) -> Vec<u8> {
        let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
        MetricsData { resource_metrics: vec![resource] }.encode_to_vec()
    }

    /// One gauge with the current time.
    pub fn sound() -> Vec<u8> {
        push(vec![gauge(SOUND, SystemTime::now())])
    }

    /// A gauge with an empty name next to a valid one: no series can be named after it.
    pub fn nameless() -> Vec<u8> {
        push(vec![gauge(SOUND, SystemTime::now()), gauge("", SystemTime::now())])
    }

    /// A gauge with tomorrow's timestamp: a client whose clock is wrong.
    pub fn with_future_timestamp() -> Vec<u8> {
        push(vec![gauge(SOUND, SystemTime::now() + Duration::from_hours(24))])
    }

    /// A sum with delta temporality.
    pub fn delta() -> Vec<u8> {
        let start = NumberDataPoint { start_time_unix_nano: nanos(SystemTime::now()) - 1, ..point(SystemTime::now()) };
        let temporality = AggregationTemporality::Delta.into();
        let sum = Sum { data_points: vec![start], aggregation_temporality: temporality, is_monotonic: true };
        let data = Some(Data::Sum(sum));
        push(vec![Metric { name: "barnabas.test.delta".to_owned(), data, ..Metric::default() }])
    }
}
