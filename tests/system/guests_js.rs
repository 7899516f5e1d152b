//! A receiver in JavaScript, and the documentation page on writing one. Both need Node.js with npm, so `cargo xtask
//! test guests-js` runs these tests, and the plain test run reports them as skipped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use barnabas_base::InstanceId;
use barnabas_pipeline::intake::Intake as _;
use barnabas_pipeline::push::sample::SampleClient;
use barnabas_tests::host::RunningHost;
use barnabas_tests::languages;
use barnabas_tests::waits::resident;

use super::languages as any;

async fn component() -> &'static std::path::Path {
    tokio::task::spawn_blocking(languages::javascript).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn every_outcome_is_typed_and_an_exception_is_reported() {
    let stack = ["Error: broken on purpose", "fail@"];
    any::every_outcome_is_typed_and_an_exception_is_told(component().await, &stack).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn rejected_settings_abort_its_start() {
    any::settings_that_it_refuses_end_its_start(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn simulated_clients_lose_nothing() {
    any::simulated_clients_lose_nothing(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn the_page_produces_working_receivers() {
    any::the_page_leads_to_receivers_that_serve("docs/javascript.md", &languages::componentize_js()).await;
}

/// How a receiver fetches: the URL, and whether it reads the body of the response.
const FETCH_CASES: [(&str, &str, bool); 4] = [
    ("204-unread", "/204", false),
    ("204-read", "/204", true),
    ("200-unread", "/200", false),
    ("200-read", "/200", true),
];
const PUSHES: u64 = 10_000;
/// Limit of queued pushes while more are sent.
const WAITING: u64 = 200;
/// Limit of redelivered pushes: about once in a thousand calls StarlingMonkey aborts with `event loop error, but no
/// exception is pending`, and the host redelivers the batch to a new instance.
const ABORTED: u64 = PUSHES / 100;
/// Wasm memory grows in pages of 64 KiB, and JavaScript collects garbage at unpredictable times.
const SETTLED_GROWTH: usize = 4 << 20;

/// An endpoint that answers 204 on one path and 200 with a body on the other.
async fn endpoint() -> (SocketAddr, Arc<AtomicU64>) {
    let requests = Arc::<AtomicU64>::default();
    let count = |status: StatusCode, body: &'static str| {
        let requests = requests.clone();
        post(async move || {
            requests.fetch_add(1, Ordering::Relaxed);
            (status, body)
        })
    };
    let router = Router::new()
        .route("/204", count(StatusCode::NO_CONTENT, ""))
        .route("/200", count(StatusCode::OK, "{\"partialSuccess\":{}}"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, requests)
}

fn held(host: &RunningHost) -> u64 {
    FETCH_CASES.iter().map(|(name, ..)| host.ledger(name).held()).max().unwrap_or_default()
}

/// The peak memory of an instance of each receiver.
fn peaks(host: &RunningHost) -> Vec<usize> {
    FETCH_CASES.iter().map(|(name, ..)| host.status(name).serving.unwrap().stats.memory_peak).collect()
}

async fn push_range(host: &RunningHost, pushes: std::ops::Range<u64>) {
    for number in pushes {
        let mut push = SampleClient::Librdkafka.push();
        // From many clients, so that the pushes are spread over many lanes.
        let mut client = (*push.client).clone();
        client.instance_id = Some(InstanceId::from_bytes(u128::from(number % 64 + 1).to_be_bytes()));
        push.client = Arc::new(client);
        host.host.reception.deliver(push).unwrap();
        if number.is_multiple_of(WAITING / 2) {
            let what = format!("push {number} to be accepted");
            barnabas_tests::eventually(&what, any::PATIENCE, || (held(host) <= WAITING / 2).then_some(())).await;
        }
    }
    barnabas_tests::eventually("empty queues", any::PATIENCE, || (held(host) == 0).then_some(())).await;
}

/// StarlingMonkey keeps the handles of a response until it collects garbage, and never reads an empty body: neither may
/// exhaust the limit of concurrent requests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn fetch_does_not_leak_requests_for_any_response() {
    let component = component().await;
    let (address, requests) = endpoint().await;
    let plugin = |(name, path, read): &(&'static str, &str, bool)| {
        let settings = format!("[settings]\nurl = \"http://{address}{path}\"\nread = {read}");
        (*name, format!("{settings}\n[grants]\nhttp = [\"{address}\"]\n[batch]\npushes = 4"))
    };
    let host = any::host(component, &FETCH_CASES.iter().map(plugin).collect::<Vec<_>>()).await;
    push_range(&host, 0..PUSHES / 2).await;
    let (half, memory) = (peaks(&host), resident());
    push_range(&host, PUSHES / 2..PUSHES).await;
    let requests = requests.load(Ordering::Relaxed);
    println!("{requests} requests; memory of an instance at most {half:?} B, then {:?} B", peaks(&host));
    println!("memory of the host {memory} B, then {} B", resident());
    for ((name, ..), (half, whole)) in FETCH_CASES.iter().zip(half.iter().zip(peaks(&host))) {
        let ledger = host.ledger(name);
        println!("{name}: {ledger}; {} redelivered; {}", ledger.redelivered(), any::last_error(&host, name));
        assert_eq!(
            (ledger.delivered(), ledger.dropped_total(), ledger.shed_total()),
            (PUSHES, 0, 0),
            "{name}: {ledger}"
        );
        assert!(ledger.redelivered() <= ABORTED, "{name}: {}", any::last_error(&host, name));
        assert!(whole <= half + SETTLED_GROWTH, "{name}: {half} B after half of the pushes, then {whole} B");
    }
    assert!(requests >= FETCH_CASES.len() as u64 * PUSHES / 4, "{requests} requests");
    host.stop().await;
}
