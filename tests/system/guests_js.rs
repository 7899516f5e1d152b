//! A receiver in JavaScript, and the page that tells how to write one. They need Node.js with npm, so `cargo xtask test
//! guests-js` runs them, and the plain tests say that they were skipped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use barnabas::intake::Intake as _;
use barnabas::push::InstanceId;
use barnabas::push::sample::SampleClient;
use barnabas_tests::host::RunningHost;
use barnabas_tests::languages;
use barnabas_tests::waits::resident;

use super::languages as any;

async fn component() -> &'static std::path::Path {
    tokio::task::spawn_blocking(languages::javascript).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn every_outcome_is_typed_and_an_exception_is_told() {
    let stack = ["Error: broken on purpose", "fail@"];
    any::every_outcome_is_typed_and_an_exception_is_told(component().await, &stack).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn settings_that_it_refuses_end_its_start() {
    any::settings_that_it_refuses_end_its_start(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn simulated_clients_lose_nothing() {
    any::simulated_clients_lose_nothing(component().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn the_page_leads_to_receivers_that_serve() {
    any::the_page_leads_to_receivers_that_serve("docs/javascript.md", &languages::componentize_js()).await;
}

/// How a receiver fetches: where to, and whether it reads the body of the answer.
const FETCH_CASES: [(&str, &str, bool); 4] = [
    ("204-unread", "/204", false),
    ("204-read", "/204", true),
    ("200-unread", "/200", false),
    ("200-read", "/200", true),
];
const PUSHES: u64 = 10_000;
/// Pushes that may wait for their receivers while more are brought in.
const WAITING: u64 = 200;
/// Pushes that may be offered again: about once in some thousand calls StarlingMonkey aborts with `event loop error, but no
/// exception is pending`, and the host offers the batch to a fresh instance.
const ABORTED: u64 = PUSHES / 100;
/// A memory of WebAssembly grows by pages of 64 KiB, and JavaScript collects its garbage when it likes.
const SETTLED_GROWTH: usize = 4 << 20;

/// An endpoint that answers 204 on one path and 200 with a body on another.
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

/// The most memory that an instance of each receiver had.
fn peaks(host: &RunningHost) -> Vec<usize> {
    FETCH_CASES.iter().map(|(name, ..)| host.status(name).serving.unwrap().vitals.memory_peak).collect()
}

async fn push_range(host: &RunningHost, pushes: std::ops::Range<u64>) {
    for number in pushes {
        let mut push = SampleClient::Librdkafka.push();
        // Of many clients, so that they fall into many lanes.
        let mut client = (*push.client).clone();
        client.instance_id = Some(InstanceId::from_bytes(u128::from(number % 64 + 1).to_be_bytes()));
        push.client = Arc::new(client);
        host.host.reception.deliver(push).unwrap();
        if number.is_multiple_of(WAITING / 2) {
            let what = format!("the receivers to take push {number}");
            barnabas_tests::eventually(&what, any::PATIENCE, || (held(host) <= WAITING / 2).then_some(())).await;
        }
    }
    barnabas_tests::eventually("empty queues", any::PATIENCE, || (held(host) == 0).then_some(())).await;
}

/// StarlingMonkey keeps the handles of an answer until it collects its garbage, and never reads a body that is empty: a
/// place for a request must be free all the same.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js with npm: cargo xtask test guests-js"]
async fn fetch_works_for_ever_whatever_is_answered_and_read() {
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
        println!("{name}: {ledger}; {} offered again; {}", ledger.redelivered(), any::last_error(&host, name));
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
