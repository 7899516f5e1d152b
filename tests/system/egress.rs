//! Outgoing requests of receivers: their resources are freed when the call that opened them returns, and receivers
//! cannot push to their own host.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use barnabas::config::raw::ListenerProtocol;
use barnabas_base::InstanceId;
use barnabas_lifecycle::generation_stats::StatsSnapshot;
use barnabas_pipeline::dispatch::Outcome;
use barnabas_pipeline::event::Events;
use barnabas_runtime::artifact::Artifact;
use barnabas_runtime::capability::batch::LentBatch;
use barnabas_runtime::capability::egress::{Egress, EgressMode, Grants};
use barnabas_runtime::capability::log::{GuestLogMode, LogSink};
use barnabas_runtime::capability::state::SlotState;
use barnabas_runtime::engine::Engines;
use barnabas_runtime::instance::{Blueprint, ReceiverInstance};
use barnabas_runtime::limits::{InstanceLimits, MAX_RETAINED_HANDLES};
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::vectors;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);
/// Many times the limit of concurrent requests.
const CALLS: usize = 2_000;
const EACH_ALONE: &str = "[batch]\npushes = 1\nlinger = \"0ms\"\n[rollout]\nself-test = false\n";

static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines::new().unwrap());

/// Answers every request with the same response, without waiting for its body, and counts the requests.
struct FixedResponseServer {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FixedResponseServer {
    async fn start(status: u16, body: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, answered) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = answered.clone();
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            async move { (StatusCode::from_u16(status).unwrap(), body) }
        };
        let task = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { address, answered, task }
    }
}

impl Drop for FixedResponseServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The receiver `leaks` with these settings in addition to the URL, and with egress to that URL.
fn leaks_blueprint(to: SocketAddr, settings: &str) -> Blueprint {
    let artifact = std::fs::read(barnabas_tests::guests::path("leaks")).unwrap();
    let grants = Arc::new(Grants::parse(&[to.to_string()], &[]).unwrap());
    Blueprint {
        artifact: Artifact::from_bytes(&ENGINES, &artifact).unwrap(),
        settings: format!(r#"{{"url": "http://{to}/"{settings}}}"#).into(),
        limits: InstanceLimits { cpu: PATIENCE, ..InstanceLimits::default() },
        normalise: None,
        egress: Egress::new("leaks".into(), grants, EgressMode::Send, Events::new()),
        state: SlotState::not_granted(),
        log: Arc::new(LogSink::new("leaks".into(), 1, GuestLogMode::AllLevels)),
    }
}

/// Makes this number of calls and asserts that each is delivered; replaces the instance when it holds too many handles,
/// like a worker would.
async fn call_repeatedly(blueprint: &Blueprint, calls: usize) {
    let mut at_hand = None;
    for call in 0..calls {
        let instance: ReceiverInstance = match at_hand.take() {
            Some(instance) => instance,
            None => ReceiverInstance::start(blueprint).await.unwrap_or_else(|error| panic!("{error}")).0,
        };
        let batch = LentBatch { deliveries: Arc::default(), gone: Arc::default() };
        let answer = instance.export(batch).await;
        assert_eq!(answer.outcome, Outcome::Taken, "call {call}");
        at_hand = answer.instance.filter(|_| answer.handles <= MAX_RETAINED_HANDLES);
    }
}

#[tokio::test]
async fn responses_that_a_receiver_never_drops_are_freed_after_their_call() {
    for (status, body, read) in [(204, "", false), (204, "", true), (200, "ok", false), (200, "ok", true)] {
        let sink = FixedResponseServer::start(status, body).await;
        let blueprint = leaks_blueprint(sink.address, &format!(r#", "read": {read}"#));
        call_repeatedly(&blueprint, CALLS).await;
        assert_eq!(sink.answered.load(Ordering::SeqCst), CALLS, "{status} {read}");
        assert_eq!(blueprint.egress.in_flight(), 0, "{status} {read}");
    }
}

#[tokio::test]
async fn requests_that_a_receiver_never_finishes_or_awaits_end_with_their_call() {
    let sink = FixedResponseServer::start(200, "ok").await;
    for settings in [r#", "finish": false"#, r#", "wait": false"#, r#", "finish": false, "wait": false"#] {
        let blueprint = leaks_blueprint(sink.address, settings);
        call_repeatedly(&blueprint, 200).await;
        // A request that the receiver does not await is cancelled by its own task.
        eventually("all requests to end", PATIENCE, || (blueprint.egress.in_flight() == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn responses_without_a_body_are_freed_within_a_call() {
    let sink = FixedResponseServer::start(204, "").await;
    call_repeatedly(&leaks_blueprint(sink.address, r#", "requests": 100"#), 1).await;
    assert_eq!(sink.answered.load(Ordering::SeqCst), 100);
}

/// Pushes once from each of this number of clients.
async fn push(host: &RunningHost, clients: usize) {
    let vector = vectors::one("java-4.0-producer-cumulative.lz4");
    for _ in 0..clients {
        let mut client = RawClient::connect(host.kafka(), "leaked").await;
        client.api_versions("apache-kafka-java").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
    }
}

/// Statistics of `leaks` after this number of batches, in each of which it keeps the handles of this number of
/// requests.
async fn run_leaks(batches: usize, requests: usize) -> StatsSnapshot {
    let sink = FixedResponseServer::start(204, "").await;
    let rest = format!(
        "[settings]\nurl = \"http://{0}/\"\nrequests = {requests}\n[grants]\nhttp = [\"{0}\"]\n[limits]\ninstances = 1\n\
         cpu = \"1m\"\n{EACH_ALONE}",
        sink.address
    );
    let host = Setup::new().receiver("leaky", "leaks", &rest).start().await;
    push(&host, batches).await;
    let all = || (host.ledger("leaky").delivered() >= batches as u64).then_some(());
    eventually("all pushes to be delivered", PATIENCE, all).await;
    let vitals = host.status("leaky").serving.expect("the plugin serves").stats;
    host.stop().await;
    vitals
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_handles_obeyed() {
    let vitals = run_leaks(8, 10).await;
    assert_eq!((vitals.replaced, vitals.crashes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_handles_violated() {
    let vitals = run_leaks(20, 60).await;
    assert!(vitals.replaced >= 3, "replaced {} times", vitals.replaced);
    assert_eq!(vitals.crashes, 0, "the instance is replaced before it fails");
    assert_eq!(vitals.live, 1);
}

/// A host that forwards to its own OTLP listener.
async fn host_forwarding_to_itself(grants: &str) -> RunningHost {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().with(|written| {
        let mut otlp = written.listeners.iter_mut().filter(|listener| listener.protocol == ListenerProtocol::OtlpHttp);
        otlp.next().unwrap().bind = free;
    });
    let url = format!("http://{free}/v1/metrics");
    let rest = format!("[settings]\nendpoint = {url:?}\n[grants]\nhttp = [\"{free}\"]\n{grants}{EACH_ALONE}");
    setup.receiver("mirror", "otlp-http", &rest).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_does_not_send_to_its_own_host() {
    let host = host_forwarding_to_itself("").await;
    push(&host, 1).await;
    let error = eventually("an error in the log", PATIENCE, || {
        host.status("mirror").serving.and_then(|serving| serving.stats.messages.last_error)
    })
    .await;
    assert!(error.text.contains("is a listener of this host"), "{}", error.text);
    assert!(error.text.contains("`own-listeners = true`"), "{}", error.text);
    assert_eq!(host.ledger("mirror").accepted(), 1, "no push came back");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_sends_to_its_own_host_if_that_is_granted() {
    let host = host_forwarding_to_itself("own-listeners = true\n").await;
    push(&host, 1).await;
    eventually("pushes to come back", PATIENCE, || (host.ledger("mirror").accepted() >= 3).then_some(())).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_destination_is_named_when_the_receiver_is_loaded() {
    let (granted, asked) = (OtlpSink::start().await, OtlpSink::start().await);
    let rest = format!("[settings]\nendpoint = {:?}\n[grants]\nhttp = [\"{}\"]\n", asked.url(), granted.address());
    let host = Setup::new().receiver("lost", "otlp-http", &rest).start().await;
    let failure = host.status("lost").failure.expect("the self-test fails");
    let named = format!("it requested {}; the grants are {}", asked.address(), granted.address());
    assert!(failure.contains(&named), "{failure}");
    assert!(!failure.contains("although every request succeeded"), "{failure}");
    host.stop().await;
}
