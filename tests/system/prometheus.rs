//! `plugins/otlp-http` in front of a real Prometheus 3, which is built with Go; so `cargo xtask test prometheus` runs
//! these tests, and the plain test run reports them as skipped. The tests in `forwarding` use a sink with the same
//! responses.

use std::time::Duration;

use barnabas_tests::host::RunningHost;
use barnabas_tests::ledger::LedgerView;
use barnabas_tests::prometheus::{self, Prometheus, SinkResponse, pushes};
use barnabas_tests::single_batch;
use barnabas_tests::sink::OtlpSink;

const PATIENCE: Duration = Duration::from_secs(60);

async fn start(flags: &'static [&'static str]) -> Prometheus {
    tokio::task::spawn_blocking(|| Prometheus::start(flags)).await.unwrap()
}

async fn settled(host: &RunningHost, pushes: u64) -> LedgerView {
    barnabas_tests::eventually("the ledger to settle", PATIENCE, || {
        Some(host.ledger("otlp")).filter(|ledger| ledger.delivered() + ledger.dropped_total() == pushes)
    })
    .await
}

/// The newest reason for which pushes were not accepted.
fn last_error(host: &RunningHost) -> String {
    host.status("otlp").serving.unwrap().stats.messages.last_error.map(|error| error.text).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Go: cargo xtask test prometheus"]
async fn the_sink_of_the_plain_tests_gives_identical_responses() {
    let (sink, prometheus) = (OtlpSink::start().await, start(&[]).await);
    sink.respond_with(prometheus::respond_like_prometheus);
    for (what, push) in [
        ("sound", pushes::sound()),
        ("nameless", pushes::nameless()),
        ("delta", pushes::delta()),
        ("of tomorrow", pushes::with_future_timestamp()),
        // Concatenated Protobuf messages are one message.
        ("two nameless ones", [pushes::nameless(), pushes::sound(), pushes::nameless()].concat()),
        ("both kinds", [pushes::nameless(), pushes::with_future_timestamp()].concat()),
        ("no metrics", Vec::new()),
    ] {
        let (real, ours) = (prometheus.url(), sink.url());
        let ask = move || [real, ours].map(|url| SinkResponse::post(&url, &push));
        let [real, ours] = tokio::task::spawn_blocking(ask).await.unwrap();
        println!("{what}: {real:?}");
        assert_eq!(real, ours, "{what}");
    }
}

/// The effects of 63 valid pushes of other clients and one that Prometheus rejects with this message.
async fn one_among_sound_ones(poison: Vec<u8>, words: &str, most: u64) {
    let prometheus = start(&[]).await;
    let host = single_batch::host(&prometheus.url()).await;
    let mut all = vec![pushes::sound(); 63];
    all.insert(21, poison);
    single_batch::push_together(&host, &all).await;
    let ledger = settled(&host, 64).await;
    let requests = prometheus.otlp_requests();
    println!("{ledger}; requests by status: {requests:?}; {}", last_error(&host));
    assert_eq!((ledger.delivered(), ledger.dropped_total()), (63, 1), "{ledger}");
    assert!(last_error(&host).contains(words), "{}", last_error(&host));
    let requests: u64 = requests.iter().map(|(_, count)| count).sum();
    assert!(requests <= most, "{requests} requests for 64 pushes");
    let count = format!("count({}{{client_id=~\"client-.+\"}})", pushes::SOUND.replace('.', "_"));
    let series = barnabas_tests::eventually("series", PATIENCE, || {
        prometheus.query(&count).pointer("/0/value/1").and_then(|value| Some(value.as_str()?.to_owned()))
    })
    .await;
    assert_eq!(series, "63", "one series for each client");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Go: cargo xtask test prometheus"]
async fn one_push_without_a_name_harms_only_itself() {
    let words = "answered 500: normalization for metric \"\" resulted in empty name";
    // A server error is first retried four times, and once more if no other push was accepted before the failing push
    // was alone.
    one_among_sound_ones(pushes::nameless(), words, 5 + SEARCH).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Go: cargo xtask test prometheus"]
async fn one_push_of_tomorrow_harms_only_itself() {
    let words = "answered 400: out of bounds: timestamp is too far in the future";
    one_among_sound_ones(pushes::with_future_timestamp(), words, SEARCH).await;
}

/// Requests to find one of 64: 2 × log2(64) + 1.
const SEARCH: u64 = 13;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Go: cargo xtask test prometheus"]
async fn delta_temporality_needs_a_flag() {
    let prometheus = start(&[]).await;
    let host = single_batch::host(&prometheus.url()).await;
    single_batch::push_together(&host, &vec![pushes::delta(); 8]).await;
    let words = "invalid temporality and type combination for metric \"barnabas.test.delta\"";
    // Prometheus accepts none of the pushes, so they stay queued until an operator sets the flag, and the status has
    // the reason.
    barnabas_tests::eventually("the reason", PATIENCE, || last_error(&host).contains(words).then_some(())).await;
    let ledger = host.ledger("otlp");
    println!("{ledger}; {}", last_error(&host));
    assert_eq!((ledger.delivered(), ledger.dropped_total()), (0, 0), "{ledger}");
    host.stop().await;

    let prometheus = start(&["--enable-feature=otlp-deltatocumulative"]).await;
    let host = single_batch::host(&prometheus.url()).await;
    single_batch::push_together(&host, &vec![pushes::delta(); 8]).await;
    assert_eq!(settled(&host, 8).await.delivered(), 8);
    host.stop().await;
}
