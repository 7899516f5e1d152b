//! What becomes of a batch, by outcome.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::support::*;
use crate::dispatch::{Fault, Outcome, PushTally, Settlement, SlotConfig};

fn partial(rejected: &[u32], retry: &[u32]) -> Outcome {
    let rejected = rejected.iter().map(|index| (*index, "never".to_owned())).collect();
    Outcome::Partial { rejected, retry: retry.to_vec(), retry_after: None }
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_batch_is_offered_again_after_the_backoff() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..3).for_each(|tag| send(&dispatch, 0, tag, 100));
    let settled = lease_now(&slot, &holder).await.expect("three").settle(unavailable());
    assert_eq!((settled.returned, settled.wait), (3, 200 * MS), "the first wait is the shortest");
    assert!(lease_now(&slot, &holder).await.is_none());
    assert_eq!(slot.snapshot().waiting_lanes, 1);
    let batch = lease_soon(&slot, &holder).await.expect("after the wait");
    assert_eq!(tags(&batch), [0, 1, 2]);
    assert!(batch.deliveries().iter().all(|delivery| delivery.attempt == 2));
    assert_eq!(slot.ledger().redelivered, PushTally { pushes: 3, bytes: 300 });
}

#[tokio::test(start_paused = true)]
async fn waits_grow_with_failures_in_a_row_and_are_capped() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { max_age: Duration::from_secs(1 << 30), ..without_linger() });
    dispatch.dispatch(payload(0, 0, 100));
    let (least, most) = (200 * MS, Duration::from_secs(30));
    let mut ceiling = least;
    for _ in 0..20 {
        let wait = lease_soon(&slot, &holder).await.expect("again").settle(unavailable()).wait;
        assert!(wait >= least && wait <= ceiling, "{wait:?} of {ceiling:?}");
        ceiling = (ceiling * 2).min(most);
    }
    lease_soon(&slot, &holder).await.expect("again").settle(Outcome::Taken);
    dispatch.dispatch(payload(0, 1, 100));
    let wait = lease_soon(&slot, &holder).await.expect("the next").settle(unavailable()).wait;
    assert_eq!(wait, least, "a success resets the failures");
}

#[tokio::test(start_paused = true)]
async fn batches_that_fail_together_are_one_failure() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_pushes: 1, ..without_linger() });
    (0..6).for_each(|n| send(&dispatch, n, n.into(), 100));
    let mut out = Vec::new();
    while let Some(batch) = lease_now(&slot, &holder).await {
        out.push(batch);
    }
    assert!(out.len() > 3);
    advance(MS).await;
    for batch in out {
        assert_eq!(batch.settle(unavailable()).wait, 200 * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn the_sinks_retry_after_applies_up_to_five_minutes() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    for (asked, waited) in [(90, 90), (86_400, 300)] {
        let batch = lease_soon(&slot, &holder).await.expect("it is due");
        let retry_after = Some(Duration::from_secs(asked));
        assert_eq!(batch.settle(Outcome::Unavailable { retry_after, reason: String::new() }).wait.as_secs(), waited);
    }
    slot.retry_now();
    assert!(lease_now(&slot, &holder).await.is_some(), "a new generation need not wait");
}

#[tokio::test(start_paused = true)]
async fn a_push_that_fails_past_its_age_limit_is_dropped() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    advance(14 * 60_000 * MS).await;
    dispatch.dispatch(payload(0, 1, 100));
    advance(60_000 * MS).await;
    let settled = lease_now(&slot, &holder).await.expect("both").settle(unavailable());
    assert_eq!((settled.dropped, settled.returned), (1, 1));
    assert_eq!(slot.ledger().dropped["expired"].pushes, 1);
    assert_eq!(lease_soon(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_halved_until_one_push_is_at_fault() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..8).for_each(|tag| send(&dispatch, 0, tag, if tag == 5 { 9_000 } else { 100 }));
    let (mut offers, mut taken) = (Vec::new(), Vec::new());
    while let Some(batch) = lease_now(&slot, &holder).await {
        offers.push(batch.len());
        if batch.bytes() > 5_000 {
            batch.settle(Outcome::TooLarge);
        } else {
            taken.extend(tags(&batch));
            batch.settle(Outcome::Taken);
        }
        assert_consistent(&slot);
    }
    assert_eq!(offers, [8, 4, 4, 2, 1, 1, 2]);
    assert_eq!(taken, [0, 1, 2, 3, 4, 6, 7], "in order, and none twice");
    let ledger = slot.ledger();
    assert_eq!(ledger.dropped["too-large"], PushTally { pushes: 1, bytes: 9_000 });
    assert_eq!((ledger.delivered.pushes, ledger.held().pushes), (7, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_batch_is_halved_until_the_push_at_fault_is_alone() {
    for poison in [0, 31, 63] {
        let (dispatch, slot, holder) = one_slot(without_linger());
        // One push per client, so in many lanes.
        (0..64).for_each(|n| send(&dispatch, n, n.into(), 100));
        let (mut calls, mut dead) = (0, Vec::new());
        while let Some(batch) = lease_now(&slot, &holder).await {
            calls += 1;
            let poisoned = tags(&batch).contains(&poison);
            let tags = tags(&batch);
            let outcome = if poisoned { Outcome::Rejected("no name".into()) } else { Outcome::Taken };
            if batch.settle(outcome).dropped > 0 {
                dead.extend(tags);
            }
            assert_consistent(&slot);
        }
        assert_eq!(dead, [poison]);
        assert!(calls <= 2 * 6 + 1, "{calls} calls to find one of 64");
        let ledger = slot.ledger();
        assert_eq!((ledger.delivered.pushes, ledger.dropped["rejected"].pushes), (63, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_only_poison_pushes_costs_at_most_two_calls_a_push() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..64).for_each(|n| send(&dispatch, n, n.into(), 100));
    let mut calls = 0;
    while let Some(batch) = lease_now(&slot, &holder).await {
        calls += 1;
        batch.settle(Outcome::Rejected("none of it".into()));
    }
    assert_eq!(slot.ledger().dropped["rejected"].pushes, 64);
    assert!(calls < 2 * 64, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn an_unexplained_failure_of_one_push_drops_no_other_push() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..16).for_each(|n| send(&dispatch, n, n.into(), 100));
    let mut calls = 0;
    while slot.ledger().held().pushes > 0 {
        let batch = lease_soon(&slot, &holder).await.expect("again");
        calls += 1;
        let poisoned = tags(&batch).contains(&7);
        batch.settle(if poisoned { Outcome::Other("no idea".into()) } else { Outcome::Taken });
    }
    let ledger = slot.ledger();
    assert_eq!((ledger.delivered.pushes, ledger.dropped["other"].pushes), (15, 1));
    let attempts = SlotConfig::default().max_unexplained_failures;
    assert!(calls <= attempts + 2 * 4 + 1, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_every_push_drops_none_before_its_age_limit() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..8).for_each(|n| send(&dispatch, n, n.into(), 100));
    let (began, outage) = (Instant::now(), SlotConfig::default().max_age / 2);
    while began.elapsed() < outage {
        lease_soon(&slot, &holder).await.expect("again").settle(Outcome::Other("500".into()));
    }
    assert_eq!((slot.ledger().held().pushes, slot.ledger().dropped.len()), (8, 0));
    while slot.ledger().held().pushes > 0 {
        lease_soon(&slot, &holder).await.expect("the sink is back").settle(Outcome::Taken);
    }
    assert_eq!(slot.ledger().delivered.pushes, 8);
}

#[tokio::test(start_paused = true)]
async fn halves_are_kept_apart_across_lanes_from_new_pushes() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..10).for_each(|n| send(&dispatch, n, n.into(), 100));
    lease_now(&slot, &holder).await.expect("ten").settle(Outcome::TooLarge);
    (0..10).for_each(|n| send(&dispatch, n, u64::from(n) + 10, 100));
    let batch = lease_now(&slot, &holder).await.expect("a half");
    assert!(batch.len() <= 5, "{:?}", tags(&batch));
}

#[tokio::test(start_paused = true)]
async fn a_partial_outcome_divides_the_batch() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..6).for_each(|tag| send(&dispatch, 0, tag, 100));
    let batch = lease_now(&slot, &holder).await.expect("six");
    dispatch.dispatch(payload(0, 6, 100));
    let settled = batch.settle(partial(&[1, 4], &[4, 2, 5, 2]));
    assert_eq!(settled, Settlement { delivered: 2, dropped: 2, returned: 2, halved: 0, shed: 0, wait: 200 * MS });
    assert_eq!(slot.ledger().dropped["rejected"].pushes, 2, "a push in both lists is rejected");
    let batch = lease_soon(&slot, &holder).await.expect("the rest");
    assert_eq!(tags(&batch), [2, 5, 6], "in front of the pushes that arrived since");
    assert_eq!(batch.deliveries().iter().map(|d| d.attempt).collect::<Vec<_>>(), [2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_partial_outcome_without_retries_does_not_delay_the_lane() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..2).for_each(|tag| send(&dispatch, 0, tag, 100));
    let settled = lease_now(&slot, &holder).await.expect("two").settle(partial(&[0], &[]));
    assert_eq!((settled.delivered, settled.dropped, settled.wait), (1, 1, Duration::ZERO));
    dispatch.dispatch(payload(0, 2, 100));
    assert!(lease_now(&slot, &holder).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn only_the_lanes_of_retried_pushes_wait() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..2).for_each(|n| send(&dispatch, n, n.into(), 100));
    let batch = lease_now(&slot, &holder).await.expect("two clients");
    assert_eq!(tags(&batch), [0, 1]);
    batch.settle(partial(&[], &[0]));
    (0..2).for_each(|n| send(&dispatch, n, u64::from(n) + 2, 100));
    assert_eq!(lease_now(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![3]));
}

#[tokio::test(start_paused = true)]
async fn an_index_outside_the_batch_invalidates_the_result() {
    for outcome in [partial(&[2], &[0]), partial(&[], &[7])] {
        let (dispatch, slot, holder) = one_slot(without_linger());
        (0..2).for_each(|tag| send(&dispatch, 0, tag, 100));
        let settled = lease_now(&slot, &holder).await.expect("two").settle(outcome);
        assert_eq!((settled.delivered, settled.returned), (0, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn unexplained_failures_end_in_a_drop() {
    for (outcome, cause) in
        [(Outcome::Other("?".into()), "other"), (Outcome::Faulted(Fault::Host, "no store".into()), "host")]
    {
        let (dispatch, slot, holder) = one_slot(without_linger());
        send(&dispatch, 0, 0, 100);
        for _ in 0..9 {
            lease_soon(&slot, &holder).await.expect("again").settle(unavailable());
        }
        for _ in 0..4 {
            assert_eq!(lease_soon(&slot, &holder).await.expect("again").settle(outcome.clone()).returned, 1, "{cause}");
        }
        // Because the receiver accepts others, the push is at fault.
        send(&dispatch, 1, 1, 100);
        let other = lease_now(&slot, &holder).await.expect("the push of the other client");
        assert_eq!(tags(&other), [1]);
        other.settle(Outcome::Taken);
        assert_eq!(lease_soon(&slot, &holder).await.expect("the fifth").settle(outcome.clone()).dropped, 1);
        assert_eq!(slot.ledger().dropped[cause].pushes, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_made_an_instance_fail_is_retried_once_as_a_whole() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..3).for_each(|tag| send(&dispatch, 0, tag, 100));
    let settled = lease_now(&slot, &holder).await.expect("three").settle(trapped());
    assert_eq!(
        settled,
        Settlement { returned: 3, ..Settlement::default() },
        "without a wait: the fresh instance decides when"
    );
    let batch = lease_now(&slot, &holder).await.expect("three");
    assert_eq!(tags(&batch), [0, 1, 2]);
    batch.settle(Outcome::Taken);
    assert_eq!(slot.ledger().delivered.pushes, 3);
}

#[tokio::test(start_paused = true)]
async fn a_poison_push_drops_no_other_push() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { lanes: 3, ..without_linger() });
    let poison = 13;
    (0..30).for_each(|tag| send(&dispatch, (tag % 7) as u8, tag, 100));
    let (mut broken, mut taken) = (0, Vec::new());
    while let Some(batch) = lease_now(&slot, &holder).await {
        if tags(&batch).contains(&poison) {
            broken += 1;
            batch.settle(trapped());
        } else {
            taken.extend(tags(&batch));
            batch.settle(Outcome::Taken);
        }
        assert_consistent(&slot);
    }
    assert_eq!(broken, 3, "in the whole batch, in the whole batch again, and alone");
    for n in 0..7 {
        let of_client: Vec<u64> = taken.iter().copied().filter(|tag| tag % 7 == n).collect();
        assert!(of_client.is_sorted() && of_client.len() == (0..30).filter(|t| t % 7 == n && *t != poison).count());
    }
    let ledger = slot.ledger();
    assert_eq!((ledger.dropped["trap"].pushes, ledger.delivered.pushes), (1, 29));
}

#[tokio::test(start_paused = true)]
async fn a_suspected_push_is_added_to_no_started_batch() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    send(&dispatch, 0, 0, 100);
    let older = lease_now(&slot, &holder).await.expect("client 0");
    (1..3).for_each(|tag| send(&dispatch, 1, tag, 100));
    for _ in 0..2 {
        lease_now(&slot, &holder).await.expect("client 1").settle(trapped());
    }
    drop(older);
    for alone in [0, 1] {
        let batch = lease_now(&slot, &holder).await.expect("one by one");
        assert_eq!(tags(&batch), [alone]);
        batch.settle(Outcome::Taken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_failed_alone_is_retried_once() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    assert_eq!(lease_now(&slot, &holder).await.expect("one").settle(trapped()).returned, 1);
    let fault = Outcome::Faulted(Fault::CpuLimit, "spins".into());
    assert_eq!(lease_now(&slot, &holder).await.expect("one").settle(fault).dropped, 1);
    assert_eq!(slot.ledger().dropped["cpu-limit"].pushes, 1);
}

#[tokio::test(start_paused = true)]
async fn another_generation_judges_suspected_pushes_afresh() {
    let (dispatch, slot, old) = one_slot(without_linger());
    (0..3).for_each(|tag| send(&dispatch, 0, tag, 100));
    for _ in 0..2 {
        lease_now(&slot, &old).await.expect("three").settle(trapped());
    }
    let alone = lease_now(&slot, &old).await.expect("one");
    assert_eq!(alone.len(), 1);
    drop(alone);
    let repaired = slot.holder(2, 1);
    assert_eq!(lease_now(&slot, &repaired).await.map(|batch| batch.len()), Some(3));
}
