//! The product in use: a host with two receivers, an unmodified librdkafka producer and consumer, and an OpenTelemetry
//! endpoint that decodes what arrives.
//!
//! `cargo xtask demo` builds the parts and runs this. Exit status 0 only if the endpoint decoded data points of each
//! client instance, and as many pushes of it as the client's log says were acknowledged: the host's own counters are
//! not consulted.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people, built from the test harness")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use barnabas::config::raw::ListenerProtocol;
use barnabas_base::units::HumanDuration;
use barnabas_tests::host::Setup;
use barnabas_tests::librdkafka::{self, LogListener, TelemetryLog};
use barnabas_tests::sink::{ClientTally, OtlpSink};
use rdkafka::consumer::Consumer as _;
use rdkafka::producer::Producer as _;

/// Push interval of the demo; the default of the host is 60 s.
const INTERVAL: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let length = length_from(std::env::args().skip(1));
    let sink = OtlpSink::start().await;
    let setup = setup(&sink);
    let (kafka, otlp) = (setup.address(ListenerProtocol::KafkaPlaintext), setup.address(ListenerProtocol::OtlpHttp));
    let admin = setup.config.admin.bind;
    let mut host = start_host(&setup);
    println!("host:      barnabas serve, Kafka clients on {}, OTLP/HTTP on {}, admin on http://{admin}", kafka, otlp);
    println!("receivers: console (one JSON line per data point, into {}),", log_path(&setup).display());
    println!("           otlp-http (forwards to this program's own endpoint, {})", sink.url());
    println!("clients:   a librdkafka producer and a consumer, configured only with bootstrap.servers={}", kafka);
    println!();
    if !wait_until_ready(kafka, &mut host).await {
        println!("the host did not start; its log: {}", log_path(&setup).display());
        return ExitCode::FAILURE;
    }
    let heard = run_clients(&kafka.to_string(), &sink, length).await;
    stop(host).await;
    let verdict = verdict(&heard, &sink.tally());
    let sample = console_line(&setup);
    println!();
    println!("A line of the console receiver:\n  {sample}\n");
    let code = if verdict { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if !verdict {
        println!("the host's log: {}", setup.into_folder().join("host.log").display());
    }
    next_steps();
    code
}

/// `--for 20s`; without it, until Ctrl-C.
fn length_from(mut arguments: impl Iterator<Item = String>) -> Option<Duration> {
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--for"), Some(text)) => match text.parse::<HumanDuration>() {
            Ok(span) => Some(span.0),
            Err(why) => usage(&format!("--for: {why}")),
        },
        (Some(other), _) => usage(&format!("unknown argument `{other}`")),
    }
}

fn usage(why: &str) -> ! {
    eprintln!("{why}\nusage: cargo xtask demo [--for 20s]");
    std::process::exit(2)
}

/// Built-in defaults except for the ports (free ones) and the push interval (two seconds).
fn setup(sink: &OtlpSink) -> Setup {
    Setup::new()
        .with(|written| {
            written.admin.bind = free_port();
            for listener in &mut written.listeners {
                listener.bind = free_port();
            }
            for subscription in &mut written.subscriptions {
                subscription.metrics =
                    barnabas_pipeline::catalogue::STANDARD_METRICS.map(|metric| metric.name.to_owned()).to_vec();
                subscription.interval = HumanDuration(INTERVAL);
            }
        })
        .receiver("console", "console", "")
        .forwarding("otlp-http", &sink.url())
}

fn free_port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn log_path(setup: &Setup) -> std::path::PathBuf {
    setup.folder().join("host.log")
}

/// The `barnabas` command, started like an operator would start it.
fn start_host(setup: &Setup) -> Child {
    let command = barnabas_tests::command::path();
    let log = std::fs::File::create(log_path(setup)).unwrap();
    Command::new(command)
        .args(["serve", "--config"])
        .arg(setup.write())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| {
            usage(&format!("cannot start barnabas ({error}); run the demo with `cargo xtask demo`"))
        })
}

async fn wait_until_ready(address: std::net::SocketAddr, host: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline && host.try_wait().unwrap().is_none() {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Runs the clients for a while, prints what arrives, and closes them; librdkafka then sends a last push.
async fn run_clients(
    bootstrap: &str,
    sink: &OtlpSink,
    length: Option<Duration>,
) -> BTreeMap<&'static str, TelemetryLog> {
    let (producer, producer_ear) = librdkafka::producer(bootstrap, "demo-producer");
    let (consumer, consumer_ear) = librdkafka::consumer(bootstrap, "demo-consumer");
    consumer.subscribe(&["demo"]).unwrap();
    let ears = BTreeMap::from([("producer", producer_ear), ("consumer", consumer_ear)]);
    let (started, mut shown) = (Instant::now(), Instant::now());
    let mut end = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = &mut end => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        // Each poll runs some of the client's log callbacks.
        for _ in 0..50 {
            producer.poll(Duration::ZERO);
            let _ = consumer.poll(Duration::ZERO);
        }
        if shown.elapsed() >= INTERVAL {
            shown = Instant::now();
            show(started.elapsed(), &ears, &sink.tally());
        }
        if length.is_some_and(|length| started.elapsed() >= length) {
            break;
        }
    }
    // Dropped on separate threads, because librdkafka blocks until its last push is answered.
    let _ = producer.client().fatal_error();
    tokio::task::spawn_blocking(move || drop((producer, consumer))).await.unwrap();
    ears.into_iter().map(|(name, ear)| (name, ear.snapshot())).collect()
}

/// Prints one line per client.
fn show(elapsed: Duration, ears: &BTreeMap<&'static str, LogListener>, tally: &BTreeMap<String, ClientTally>) {
    for (name, ear) in ears {
        let said = ear.snapshot();
        let id = said.instance_id.unwrap_or_else(|| "(no id yet)".into());
        let arrived = tally.get(&id).cloned().unwrap_or_default();
        println!(
            "{:>4} s  {name:<8} {id:<22}  pushes acknowledged {:>3}, arrived {:>3}, points {:>5}, metrics {:>2}",
            elapsed.as_secs(),
            said.acknowledged,
            arrived.pushes.len(),
            arrived.points,
            arrived.names.len(),
        );
    }
    let _ = std::io::stdout().flush();
}

/// Sends SIGTERM and waits: the host answers the requests it has read, drains its queues and stops its receivers.
async fn stop(mut host: Child) {
    let _ = Command::new("kill").arg(host.id().to_string()).status();
    let waited = tokio::task::spawn_blocking(move || host.wait()).await.unwrap();
    println!("host exited: {}", waited.map_or_else(|e| e.to_string(), |status| status.to_string()));
}

/// Checks that the pushes that each client logged as acknowledged have arrived, as decoded by the endpoint. A last push
/// may arrive without the client having waited for its acknowledgement.
fn verdict(heard: &BTreeMap<&'static str, TelemetryLog>, tally: &BTreeMap<String, ClientTally>) -> bool {
    println!();
    let mut all = true;
    for (name, said) in heard {
        let arrived = said.instance_id.as_ref().and_then(|id| tally.get(id)).cloned().unwrap_or_default();
        let good = said.acknowledged > 0 && arrived.points > 0 && arrived.pushes.len() >= said.acknowledged;
        all &= good;
        println!(
            "{} {name}: the client says {} pushes were acknowledged; the endpoint decoded {} pushes of it with {} points{}",
            if good { "ok  " } else { "FAIL" },
            said.acknowledged,
            arrived.pushes.len(),
            arrived.points,
            if said.refused.is_empty() { String::new() } else { format!("; refused: {:?}", said.refused) },
        );
    }
    all
}

fn console_line(setup: &Setup) -> String {
    let log = std::fs::read_to_string(log_path(setup)).unwrap_or_default();
    let line = log.lines().rev().find(|line| line.contains("org.apache.kafka"));
    line.map_or_else(|| "(none: see the log)".into(), str::to_owned)
}

fn next_steps() {
    println!("Try next:");
    println!(
        "  cargo run -p barnabas-cli -- plugin run --help        a receiver on a recorded push, without any client"
    );
    println!("  cargo run -p barnabas-cli -- config                   every setting with its default");
    println!("  cargo run -p barnabas-cli -- serve                    the host, with receivers from ./plugins.d");
}
