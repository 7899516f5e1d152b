//! When a batch is ready, what it contains, and which worker gets it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, advance, timeout};

use super::support::*;
use crate::dispatch::key::{lane_of, ordering_hash};
use crate::dispatch::{LaneSet, Outcome, SlotConfig};
use crate::push::Ingress;

#[tokio::test(start_paused = true)]
async fn a_batch_lingers_until_its_oldest_push_has_waited() {
    let (dispatch, slot, holder) = one_slot(SlotConfig::default());
    dispatch.dispatch(payload(0, 0, 100));
    advance(99 * MS).await;
    dispatch.dispatch(payload(1, 1, 100));
    assert!(lease_now(&slot, &holder).await.is_none());
    advance(MS).await;
    let batch = lease_now(&slot, &holder).await.expect("the oldest has lingered");
    assert_eq!(tags(&batch), [0, 1]);
    assert_eq!((batch.len(), batch.bytes(), batch.points()), (2, 200, 2));
    assert_eq!(batch.queue_wait(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_worker_wakes_for_the_first_push_and_for_a_full_batch() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_pushes: 3, ..SlotConfig::default() });
    let worker = tokio::spawn({
        let (slot, holder) = (slot.clone(), holder.clone());
        async move {
            let first = lease_soon(&slot, &holder).await.map(|batch| (tags(&batch), batch.queue_wait()));
            (first, lease_soon(&slot, &holder).await.map(|batch| tags(&batch)))
        }
    });
    tokio::task::yield_now().await;
    // There is one client, so only the first push is put into an empty lane.
    for tag in 0..3 {
        send(&dispatch, 0, tag, 100);
        tokio::task::yield_now().await;
    }
    let (first, second) = worker.await.unwrap();
    assert_eq!(first, Some((vec![0, 1, 2], Duration::ZERO)), "full, so it does not linger");
    assert_eq!(second, Some(vec![0, 1, 2]), "it was dropped unsettled");
}

#[tokio::test(start_paused = true)]
async fn a_worker_wakes_for_a_lane_whose_waiting_push_was_shed() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { max_pushes: 1, ..without_linger() });
    send(&dispatch, 0, 0, 100);
    lease_now(&slot, &holder).await.expect("one").settle(unavailable());
    send(&dispatch, 1, 1, 100);
    lease_now(&slot, &holder).await.expect("the push that displaced the first").settle(Outcome::Taken);
    let (batch, ()) = tokio::join!(lease_soon(&slot, &holder), async { send(&dispatch, 0, 2, 100) });
    let batch = batch.expect("the lane's wait ends");
    assert_eq!((tags(&batch), batch.queue_wait()), (vec![2], 200 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_bytes_and_a_larger_push_goes_alone() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_bytes: 1_000, ..SlotConfig::default() });
    dispatch.dispatch(payload(0, 0, 600));
    assert!(lease_now(&slot, &holder).await.is_none());
    dispatch.dispatch(payload(0, 1, 400));
    dispatch.dispatch(payload(0, 2, 5_000));
    let mut seen = Vec::new();
    while let Some(batch) = lease_now(&slot, &holder).await {
        seen.push(tags(&batch));
        batch.settle(Outcome::Taken);
    }
    assert_eq!(seen, [vec![0, 1], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_has_one_leased_batch_and_other_lanes_are_free() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    let first = lease_now(&slot, &holder).await.expect("a push is there");
    dispatch.dispatch(payload(0, 1, 100));
    dispatch.dispatch(payload(1, 2, 100));
    let second = lease_now(&slot, &holder).await.expect("the push of another client");
    assert_eq!(tags(&second), [2]);
    assert!(lease_now(&slot, &holder).await.is_none(), "client 0 is out");
    first.settle(Outcome::Taken);
    assert_eq!(lease_now(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_lanes_to_the_other_workers() {
    let config = SlotConfig { lanes: 4, ..without_linger() };
    let (dispatch, slot, _) = one_slot(config);
    let holder = slot.holder(1, 2);
    (0..40).for_each(|n| send(&dispatch, n, n.into(), 100));
    let lanes = |batch: &crate::dispatch::LeasedBatch| -> BTreeSet<usize> {
        batch.deliveries().iter().map(|d| lane_of(ordering_hash(d.payload.client(), Ingress::Kafka), 4)).collect()
    };
    let first = lease_now(&slot, &holder).await.expect("half of the lanes");
    let second = lease_now(&slot, &holder).await.expect("the other half");
    assert_eq!((lanes(&first).len(), lanes(&second).len()), (2, 2));
    assert!(lanes(&first).is_disjoint(&lanes(&second)));
    assert_eq!(first.len() + second.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_lane_comes_first() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_pushes: 2, ..without_linger() });
    for (n, tag) in [(3, 0), (1, 1), (2, 2), (1, 3)] {
        dispatch.dispatch(payload(n, tag, 100));
    }
    assert_eq!(lease_now(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![0, 1]));
}

#[tokio::test(start_paused = true)]
async fn lanes_are_divided_between_two_generations_and_returned() {
    let (dispatch, slot, serving) = one_slot(SlotConfig { lanes: 2, ..without_linger() });
    let candidate = slot.holder(2, 1);
    let canary = BTreeSet::from([1]);
    candidate.set_lanes(LaneSet::Only(canary.clone()));
    serving.set_lanes(LaneSet::Except(canary));
    (0..20).for_each(|n| send(&dispatch, n, n.into(), 100));
    let old = lease_now(&slot, &serving).await.expect("lane 0");
    let new = lease_now(&slot, &candidate).await.expect("lane 1");
    assert_eq!((old.generation(), new.generation(), old.len() + new.len()), (1, 2, 20));
    let in_hand = tags(&new);
    drop(new);
    candidate.stop();
    assert!(lease_soon(&slot, &candidate).await.is_none());
    assert!(lease_now(&slot, &serving).await.is_none(), "lane 1 does not belong to the old generation yet");
    serving.set_lanes(LaneSet::All);
    let again = lease_now(&slot, &serving).await.expect("the candidate's work");
    assert_eq!(tags(&again), in_hand);
    assert_eq!(again.deliveries()[0].attempt, 1, "an abandoned offer is not an attempt");
    assert_eq!(slot.ledger().redelivered.pushes, in_hand.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_swap_hands_over_the_pushes_of_the_old_generation() {
    let (dispatch, slot, old) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    let leased = lease_now(&slot, &old).await.expect("a push is there");
    let waiting = tokio::spawn({
        let (slot, old) = (slot.clone(), old.clone());
        async move { lease_soon(&slot, &old).await.is_none() }
    });
    tokio::task::yield_now().await;
    old.stop();
    assert!(waiting.await.unwrap(), "a waiting worker of the old generation gets no batch");
    let new = slot.holder(2, 1);
    dispatch.dispatch(payload(0, 1, 100));
    assert!(lease_now(&slot, &new).await.is_none(), "the old generation has not settled");
    leased.settle(Outcome::Taken);
    assert_eq!(lease_now(&slot, &new).await.map(|batch| tags(&batch)), Some(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_batch_goes_back_to_the_front() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    let batch = lease_now(&slot, &holder).await.expect("a push is there");
    dispatch.dispatch(payload(0, 1, 100));
    drop(batch);
    assert_consistent(&slot);
    let batch = lease_now(&slot, &holder).await.expect("both");
    assert_eq!(tags(&batch), [0, 1]);
    assert_eq!(batch.deliveries().iter().map(|d| d.attempt).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(slot.ledger().redelivered.pushes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_worker_wakes_for_a_batch_that_another_abandons() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    send(&dispatch, 0, 0, 100);
    let batch = lease_now(&slot, &holder).await.expect("a push is there");
    let (again, ()) = tokio::join!(lease_soon(&slot, &holder), async { drop(batch) });
    assert_eq!(again.map(|batch| tags(&batch)), Some(vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_push_that_was_offered_before_does_not_linger_again() {
    let day = 86_400_000 * MS;
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_pushes: 4, linger: day, ..SlotConfig::default() });
    (0..4).for_each(|tag| send(&dispatch, 0, tag, 100));
    let one = Outcome::Partial { rejected: vec![], retry: vec![3], retry_after: None };
    lease_now(&slot, &holder).await.expect("it is full").settle(one);
    assert_eq!(lease_soon(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![3]));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_lease_takes_nothing() {
    let (dispatch, slot, holder) = one_slot(SlotConfig::default());
    dispatch.dispatch(payload(0, 0, 100));
    assert!(timeout(99 * MS, slot.lease(&holder)).await.is_err());
    assert_eq!(slot.ledger().queued.pushes, 1);
    assert!(timeout(MS, slot.lease(&holder)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_linger_and_ends_when_all_is_settled() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { linger: 3_600_000 * MS, ..SlotConfig::default() });
    dispatch.dispatch(payload(0, 0, 100));
    let deadline = Instant::now() + 1_000 * MS;
    let worker = async {
        let batch = lease_soon(&slot, &holder).await.expect("a drain is under way");
        assert_eq!(slot.ledger().queued.pushes, 0);
        tokio::time::sleep(10 * MS).await;
        batch.settle(Outcome::Taken);
    };
    let (drained, ()) = tokio::join!(slot.drain(deadline), worker);
    assert!(drained && Instant::now() < deadline);
    dispatch.dispatch(payload(0, 1, 100));
    assert!(lease_now(&slot, &holder).await.is_none(), "it lingers again");
    assert!(!slot.drain(Instant::now() + MS).await, "no worker is serving");
}
