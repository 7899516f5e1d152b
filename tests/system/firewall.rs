//! A failing receiver does not affect clients: unmodified librdkafka producers whose pushes go to a single receiver
//! that fails in every possible way.

use std::time::Duration;

use barnabas_lifecycle::change::{Actor, ChangeOutcome, ManifestPatch, PluginChange, RolloutOverride};
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::librdkafka::{self, LogListener};
use rdkafka::producer::BaseProducer;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
const PROMPT: &str = "[batch]\nlinger = \"10ms\"\n[rollout]\nself-test = false\n";
/// UNKNOWN_SUBSCRIPTION_ID and THROTTLING_QUOTA_EXCEEDED in librdkafka's wording: the client continues after these.
const SURVIVABLE: [&str; 2] = ["outdated subscription ID", THROTTLED];
const THROTTLED: &str = "Throttling quota";

/// An unmodified producer and its log.
struct WatchedProducer {
    producer: BaseProducer<LogListener>,
    log: LogListener,
}

impl WatchedProducer {
    fn new(host: &RunningHost, client_id: &str) -> Self {
        let (producer, ear) = librdkafka::producer(&host.bootstrap(), client_id);
        Self { producer, log: ear }
    }

    /// Polls the producer until `ready` returns `Some`.
    async fn until<T>(&self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        eventually(what, PATIENCE, || {
            self.producer.poll(Duration::ZERO);
            ready()
        })
        .await
    }

    /// Waits until `more` further pushes were acknowledged according to the client's log.
    async fn keeps_pushing(&self, what: &str, more: usize) {
        let wanted = self.log.snapshot().acknowledged + more;
        self.until(what, || (self.log.snapshot().acknowledged >= wanted).then_some(())).await;
    }

    /// Asserts that no response disabled the client's telemetry, then closes it.
    async fn close_without_fatal_errors(self) {
        let said = self.log.snapshot();
        let survivable = |line: &String| SURVIVABLE.iter().any(|why| line.contains(why));
        let failed = said.lines.iter().filter(|line| line.contains("Telemetry") && line.contains("failed"));
        let fatal: Vec<_> = failed.filter(|line| !survivable(line)).collect();
        assert!(fatal.is_empty() && said.refused.iter().all(survivable), "{fatal:?} {:?}", said.refused);
        tokio::task::spawn_blocking(move || drop(self.producer)).await.unwrap();
    }
}

async fn change(host: &RunningHost, change: PluginChange) {
    let ending = host.host.plugins.change_and_wait(Actor::Embedder, change).await.unwrap();
    assert_eq!(ending.verdict, ChangeOutcome::Done, "{}", ending.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_acknowledged_while_the_only_receiver_traps_on_every_batch() {
    let host = Setup::new().receiver("bad", "traps", PROMPT).start().await;
    let producer = WatchedProducer::new(&host, "orders");
    producer.keeps_pushing("the first pushes", 3).await;
    producer.until("dropped pushes", || (host.ledger("bad").dropped("trap") >= 2).then_some(())).await;
    producer.keeps_pushing("pushes after some were dropped", 5).await;
    let late = WatchedProducer::new(&host, "late");
    late.keeps_pushing("a client that connects later", 2).await;
    assert_eq!(host.ledger("bad").delivered(), 0);
    for client in [producer, late] {
        client.close_without_fatal_errors().await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_acknowledged_while_the_only_receiver_is_paused() {
    let host = Setup::new().receiver("sink", "taker", PROMPT).start().await;
    let producer = WatchedProducer::new(&host, "orders");
    producer.keeps_pushing("the first pushes", 2).await;
    change(&host, PluginChange::Pause("sink".into())).await;
    let at_pause = host.ledger("sink").accepted();
    let three = || (host.ledger("sink").accepted() >= at_pause + 3).then_some(());
    producer.until("three pushes while it is paused", three).await;
    producer.keeps_pushing("acknowledgements while it is paused", 3).await;
    let late = WatchedProducer::new(&host, "late");
    late.keeps_pushing("a client that connects while it is paused", 3).await;
    let waiting = host.ledger("sink");
    assert!(waiting.held() >= 6 && waiting.shed_total() == 0, "{waiting}");
    change(&host, PluginChange::Resume("sink".into())).await;
    let all = || (host.ledger("sink").delivered() >= waiting.accepted()).then_some(());
    producer.until("the queued pushes to be delivered", all).await;
    for client in [producer, late] {
        client.close_without_fatal_errors().await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_above_the_limit_of_its_connection_is_throttled_and_recovers() {
    let setup = Setup::new().with(|written| written.limits.connection.pushes = 60);
    let host = setup.receiver("sink", "taker", PROMPT).start().await;
    let producer = WatchedProducer::new(&host, "orders");
    let throttled = |why: &String| why.contains(THROTTLED);
    let over_quota = || host.host.reception.ledger().refused.contains_key("over_quota").then_some(());
    producer.until("the limit", over_quota).await;
    producer
        .until("the throttling in its log", || producer.log.snapshot().refused.iter().any(throttled).then_some(()))
        .await;
    producer.keeps_pushing("pushes after it was throttled", 3).await;
    producer.close_without_fatal_errors().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_acknowledged_while_the_only_receiver_is_swapped() {
    let settings = format!("[settings]\nname = \"a\"\n{PROMPT}");
    let host = Setup::new().receiver("sink", "taker", &settings).start().await;
    let producer = WatchedProducer::new(&host, "orders");
    producer.keeps_pushing("the first pushes", 2).await;
    for name in ["b", "c"] {
        let settings = json!({ "name": name }).as_object().unwrap().clone();
        let wanted = ManifestPatch { settings, ..ManifestPatch::default() };
        let swap = change(&host, PluginChange::Swap("sink".into(), wanted, RolloutOverride::default()));
        tokio::join!(swap, producer.keeps_pushing("pushes during and after a swap", 5));
    }
    let serving = host.status("sink").serving.unwrap();
    assert_eq!(serving.generation, 3);
    let ledger = host.ledger("sink");
    assert_eq!(ledger.dropped_total() + ledger.shed_total(), 0, "{ledger}");
    producer.close_without_fatal_errors().await;
    host.stop().await;
}
