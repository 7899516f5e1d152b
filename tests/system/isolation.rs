//! Receivers that fail affect only their own pushes.

use std::time::Duration;

use barnabas_base::InstanceId;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::vectors;

const PATIENCE: Duration = Duration::from_secs(60);
const TIGHT: &str = "[limits]\ncpu = \"200ms\"\ndeadline = \"600ms\"\nmemory = \"32MiB\"\ninstances = 1\n[batch]\nlinger = \"10ms\"\n[rollout]\nself-test = false\n";

/// Pushes once from each of this number of clients; each push must be acknowledged.
async fn push(host: &RunningHost, clients: usize) {
    let vector = vectors::one("librdkafka-2.16-producer-cumulative.zstd");
    for _ in 0..clients {
        let mut client = RawClient::connect(host.kafka(), "neighbour").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        let code = client.push(&subscribed, vector.codec, &vector.wire, false).await;
        assert_eq!(code, Some(0), "a failing receiver does not affect clients");
    }
}

/// The other plugin delivers everything, and the failing one drops everything with this cause.
async fn check_contained(guest: &str, settings: &str, cause: &str) {
    check_contained_with(TIGHT, guest, settings, cause).await;
}

async fn check_contained_with(limits: &str, guest: &str, settings: &str, cause: &str) {
    let host =
        Setup::new().receiver("bad", guest, &format!("{settings}{limits}")).receiver("good", "taker", "").start().await;
    push(&host, 5).await;
    barnabas_tests::eventually("five deliveries of the other plugin", PATIENCE, || {
        (host.ledger("good").delivered() == 5).then_some(())
    })
    .await;
    let bad = barnabas_tests::eventually("two drops of the failing plugin", PATIENCE, || {
        Some(host.ledger("bad")).filter(|ledger| ledger.dropped_total() == 2)
    })
    .await;
    assert_eq!(bad.dropped(cause), 2, "{bad}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_traps_loses_only_its_own_pushes() {
    check_contained("traps", "", "trap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_spins_is_stopped_by_its_cpu_limit() {
    // With a long deadline, so that the CPU limit stops it even on a busy machine.
    check_contained_with(&TIGHT.replace("600ms", "10m"), "spins", "", "cpu-limit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_sleeps_is_stopped_by_its_deadline_and_not_by_its_cpu_limit() {
    check_contained("sleeps", "", "deadline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_allocates_without_bound_is_stopped_by_its_memory_limit() {
    check_contained("hoards", "", "memory-limit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_on_first_delivery_lose_nothing() {
    let host = Setup::new().receiver("flaky", "traps", &format!("[settings]\nattempts = 1\n{TIGHT}")).start().await;
    push(&host, 8).await;
    let ledger = barnabas_tests::eventually("eight deliveries", PATIENCE, || {
        Some(host.ledger("flaky")).filter(|ledger| ledger.delivered() == 8)
    })
    .await;
    assert!(ledger.redelivered() > 0, "some pushes were redelivered: {ledger}");
    assert_eq!(ledger.dropped_total() + ledger.shed_total(), 0, "{ledger}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_lines_is_cut_and_counted() {
    let host = Setup::new().receiver("loud", "floods_log", TIGHT).start().await;
    push(&host, 1).await;
    barnabas_tests::eventually("the queue to be empty", PATIENCE, || (host.ledger("loud").held() == 0).then_some(()))
        .await;
    let lines = host.log_lines("loud");
    assert!(lines.len() <= 1_000, "{} lines are stored", lines.len());
    assert!(lines.iter().all(|line| line.len() <= 10_000));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_is_requested_even_while_the_only_receiver_cannot_start() {
    let host = Setup::new().receiver("refuses", "refuses_start", "").start().await;
    push(&host, 3).await;
    let ledger = host.ledger("refuses");
    assert_eq!((ledger.accepted(), ledger.shed("no-receiver")), (3, 3), "{ledger}");
    host.stop().await;
}
