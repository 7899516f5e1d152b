//! The cost of passing a batch to a guest: nanoseconds a push, compared with a plain copy of the same bytes in the same
//! run.
//!
//! The plain copy goes to one reused buffer, the best that a host without a boundary could do. Both iterate over more
//! distinct batches than the inner caches hold, because a push that waited in a queue is not cached either.
//!
//! Run with `cargo bench -p barnabas-runtime --bench boundary`. The guest is `bench` of `tests/guests`, built by `cargo
//! xtask guests`; `BARNABAS_GUESTS` names another directory that contains `bench.wasm`.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use barnabas_base::InstanceId;
use barnabas_otlp::message as otlp;
use barnabas_pipeline::admission::Admitted;
use barnabas_pipeline::decode::{Decoded, Decoder};
use barnabas_pipeline::dispatch::{Delivery, Outcome};
use barnabas_pipeline::event::Events;
use barnabas_pipeline::push::{Client, Ingress, Push};
use barnabas_runtime::artifact;
use barnabas_runtime::artifact::Artifact;
use barnabas_runtime::capability::batch::LentBatch;
use barnabas_runtime::capability::egress::{Egress, EgressMode, Grants};
use barnabas_runtime::capability::log::{GuestLogMode, LogSink};
use barnabas_runtime::capability::state::SlotState;
use barnabas_runtime::engine::Engines;
use barnabas_runtime::instance::{Blueprint, ReceiverInstance};
use barnabas_runtime::limits::InstanceLimits;
use prost::Message as _;

const BATCHES: [usize; 3] = [1, 16, 64];
const SIZES: [usize; 3] = [256, 4 << 10, 64 << 10];
/// The mode of the guest, and the heading.
const MODES: [(&str, &str); 5] = [
    ("none", "length only"),
    ("request", "one request"),
    ("labels", "with labels"),
    ("bytes", "push by push"),
    ("view", "typed view"),
];
/// Bytes of distinct batches to iterate over, and the most batches.
const WORKING_SET: usize = 16 << 20;
const MOST_BATCHES: usize = 4_096;
/// The number of rounds of one figure: as many as fit, within bounds that make a median meaningful.
const TIME: Duration = Duration::from_millis(400);
const ROUNDS: std::ops::RangeInclusive<usize> = 11..=2_000;

fn main() -> ExitCode {
    // `cargo test --benches` runs this as well, in a profile whose figures mean nothing.
    if std::env::args().any(|arg| arg == "--test") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let guest = guest()?;
    let artifact = Artifact::from_bytes(&Engines::new().map_err(|e| e.to_string())?, &guest)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    println!("ns a push, medians; in brackets the ratio to a plain copy\n");
    let headings: String = MODES.iter().map(|(_, heading)| format!("{heading:>22}")).collect();
    println!("{:>6} {:>8} {:>10}{headings}", "batch", "bytes", "plain copy");
    for size in SIZES {
        for pushes in BATCHES {
            let batches = batches(pushes, size);
            let copy = per_push(pushes, copies(&batches));
            print!("{pushes:>6} {size:>8} {copy:>10.0}");
            for (mode, _) in MODES {
                let times = runtime.block_on(calls(&artifact, mode, &batches))?;
                let each = per_push(pushes, times);
                print!("{:>22}", format!("{each:.0} ({:.1})", each / copy));
            }
            println!();
        }
    }
    Ok(())
}

fn guest() -> Result<Vec<u8>, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "../target".into(), PathBuf::from);
    let built = std::env::var_os("BARNABAS_GUESTS").map_or_else(|| target.join("guests/wasip2"), PathBuf::from);
    artifact::read(&built.join("bench.wasm")).map_err(|problem| {
        format!("{problem}\nbuild it with `cargo xtask guests`, or set BARNABAS_GUESTS to its directory")
    })
}

/// A push of about `size` bytes, like a client's: one resource, metrics of one point with a few attributes.
fn payload(n: usize, size: usize) -> Delivery {
    let text = |key: &str, value: String| otlp::KeyValue {
        key: key.into(),
        value: Some(otlp::AnyValue { value: Some(otlp::any_value::Value::StringValue(value)) }),
        ..otlp::KeyValue::default()
    };
    let metric = |m: usize| otlp::Metric {
        name: format!("org.apache.kafka.producer.node.request.rate.{m}"),
        data: Some(otlp::metric::Data::Gauge(otlp::Gauge {
            data_points: vec![otlp::NumberDataPoint {
                attributes: vec![text("node_id", format!("node-{m}"))],
                time_unix_nano: 1,
                value: Some(otlp::number_data_point::Value::AsDouble(m as f64)),
                ..otlp::NumberDataPoint::default()
            }],
        })),
        ..otlp::Metric::default()
    };
    let message = |metrics: usize, pad: usize| otlp::MetricsData {
        resource_metrics: vec![otlp::ResourceMetrics {
            resource: Some(otlp::Resource {
                attributes: vec![text("service.name", format!("orders-{n}")), text("pad", "x".repeat(pad))],
                ..otlp::Resource::default()
            }),
            scope_metrics: vec![otlp::ScopeMetrics {
                metrics: (0..metrics).map(metric).collect(),
                ..otlp::ScopeMetrics::default()
            }],
            ..otlp::ResourceMetrics::default()
        }],
    };
    let metrics = (1..).find(|metrics| message(metrics + 1, 0).encoded_len() > size).expect("sizes end");
    let pad = size.saturating_sub(message(metrics, 0).encoded_len());
    let client = Client {
        instance_id: Some(InstanceId::from_bytes([n as u8 + 2; 16])),
        client_id: Some(format!("orders-{n}").into()),
        software_name: Some("apache-kafka-java".into()),
        software_version: Some("4.0.0".into()),
        ..Client::default()
    };
    let push = Push {
        client: Arc::new(client),
        ingress: Ingress::Sample,
        received_at: SystemTime::now(),
        terminating: false,
        subscription_id: None,
        codec: 0,
        format: barnabas_pipeline::push::Format::Protobuf,
        wire: message(metrics, pad).encode_to_vec().into(),
        push_interval: None,
        node_id: Some(1),
        trace_parent: None,
    };
    match Admitted::declared(push).and_then(|admitted| Decoder::default().decode(admitted)) {
        Ok(Decoded::Payload(payload)) => Delivery { payload: Arc::new(payload), attempt: 1 },
        other => unreachable!("it was made as OTLP: {other:?}"),
    }
}

fn batches(pushes: usize, size: usize) -> Vec<LentBatch> {
    let batch = || LentBatch { deliveries: (0..pushes).map(|n| payload(n, size)).collect(), gone: Arc::default() };
    let enough = (WORKING_SET / (pushes * size)).clamp(2, MOST_BATCHES);
    std::iter::repeat_with(batch).take(enough).collect()
}

fn copies(batches: &[LentBatch]) -> Vec<Duration> {
    let mut out = Vec::with_capacity(pushes_of(batches) * 2 * 65_536);
    let mut turn = batches.iter().cycle();
    rounds(|| {
        let batch = turn.next().expect("a cycle over at least one batch never ends");
        out.clear();
        batch.deliveries.iter().for_each(|d| out.extend_from_slice(black_box(d.payload.bytes())));
        black_box(&out);
    })
}

fn pushes_of(batches: &[LentBatch]) -> usize {
    batches.first().map_or(0, |batch| batch.deliveries.len())
}

fn rounds(mut round: impl FnMut()) -> Vec<Duration> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < *ROUNDS.start() || (times.len() < *ROUNDS.end() && began.elapsed() < TIME) {
        let start = Instant::now();
        round();
        times.push(start.elapsed());
    }
    times
}

async fn calls(artifact: &Artifact, mode: &str, batches: &[LentBatch]) -> Result<Vec<Duration>, String> {
    let grants = Arc::new(Grants::parse(&[], &[])?);
    let blueprint = Blueprint {
        artifact: artifact.clone(),
        settings: format!(r#"{{"mode": "{mode}"}}"#).into(),
        limits: InstanceLimits { memory: 1 << 30, cpu: Duration::from_secs(60), ..InstanceLimits::default() },
        normalise: None,
        egress: Egress::new("bench".into(), grants, EgressMode::Send, Events::new()),
        state: SlotState::not_granted(),
        log: Arc::new(LogSink::new("bench".into(), 0, GuestLogMode::AllLevels)),
    };
    let (mut instance, _) = ReceiverInstance::start(&blueprint).await.map_err(|error| error.to_string())?;
    let (began, mut times) = (Instant::now(), Vec::new());
    for batch in batches.iter().cycle() {
        if times.len() >= *ROUNDS.start() && (times.len() >= *ROUNDS.end() || began.elapsed() >= TIME) {
            break;
        }
        let start = Instant::now();
        let answer = instance.export(batch.clone()).await;
        times.push(start.elapsed());
        match (answer.outcome, answer.instance) {
            (Outcome::Taken, Some(well)) => instance = well,
            (other, _) => return Err(format!("{mode}: {other:?}")),
        }
    }
    Ok(times)
}

fn per_push(pushes: usize, mut times: Vec<Duration>) -> f64 {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    median.as_nanos() as f64 / pushes as f64
}
