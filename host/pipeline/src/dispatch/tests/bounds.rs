//! Behaviour at the limits of a slot.

use super::support::*;
use crate::dispatch::{Outcome, PushTally, SlotConfig};

fn shed(slot: &crate::dispatch::Slot) -> u64 {
    slot.ledger().shed.get("queue-full").map_or(0, |tally| tally.pushes)
}

#[tokio::test(start_paused = true)]
async fn bytes_obeyed() {
    let (dispatch, slot, _) = one_slot(SlotConfig { max_bytes: 1_000, ..without_linger() });
    (0..10).for_each(|n| send(&dispatch, n, n.into(), 100));
    assert_eq!((slot.ledger().queued, shed(&slot)), (PushTally { pushes: 10, bytes: 1_000 }, 0));
}

#[tokio::test(start_paused = true)]
async fn bytes_violated_sheds_the_oldest() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { max_bytes: 1_000, ..without_linger() });
    (0..10).for_each(|n| send(&dispatch, n, n.into(), 100));
    dispatch.dispatch(payload(0, 10, 201));
    assert_consistent(&slot);
    assert_eq!((slot.ledger().queued, shed(&slot)), (PushTally { pushes: 8, bytes: 901 }, 3));
    let mut left = tags(&lease_now(&slot, &holder).await.expect("the rest"));
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test(start_paused = true)]
async fn pushes_obeyed_and_violated() {
    let (dispatch, slot, _) = one_slot(SlotConfig { max_pushes: 5, ..without_linger() });
    (0..5).for_each(|tag| send(&dispatch, 0, tag, 100));
    assert_eq!(shed(&slot), 0);
    dispatch.dispatch(payload(1, 5, 100));
    assert_eq!((shed(&slot), slot.ledger().queued.pushes), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_push_larger_than_the_slot_is_shed_without_displacing_another() {
    let (dispatch, slot, _) = one_slot(SlotConfig { max_bytes: 1_000, ..without_linger() });
    dispatch.dispatch(payload(0, 0, 900));
    dispatch.dispatch(payload(0, 1, 1_001));
    let ledger = slot.ledger();
    assert_eq!(ledger.shed["queue-full"], PushTally { pushes: 1, bytes: 1_001 });
    assert_eq!((ledger.queued.bytes, ledger.accepted.pushes), (900, 2));
}

#[tokio::test(start_paused = true)]
async fn pushes_in_flight_count_towards_the_bounds_and_are_never_shed() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { max_bytes: 1_000, ..without_linger() });
    dispatch.dispatch(payload(0, 0, 800));
    let batch = lease_now(&slot, &holder).await.expect("one");
    dispatch.dispatch(payload(0, 1, 150));
    dispatch.dispatch(payload(0, 2, 300));
    assert_eq!(
        slot.ledger().shed["queue-full"].bytes,
        300,
        "it would not fit even into an empty queue: the new push is shed"
    );
    dispatch.dispatch(payload(0, 3, 200));
    let ledger = slot.ledger();
    assert_eq!((ledger.shed["queue-full"].pushes, ledger.held().bytes), (2, 1_000));
    drop(batch);
    assert_eq!(lease_now(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![0, 3]));
}

#[tokio::test(start_paused = true)]
async fn returned_pushes_never_overflow_the_slot() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { max_pushes: 4, ..without_linger() });
    (0..4).for_each(|tag| send(&dispatch, 0, tag, 100));
    let batch = lease_now(&slot, &holder).await.expect("four");
    dispatch.dispatch(payload(1, 4, 100));
    batch.settle(unavailable());
    assert_eq!((slot.ledger().held().pushes, shed(&slot)), (4, 1));
    dispatch.dispatch(payload(1, 5, 100));
    assert_eq!((slot.ledger().held().pushes, shed(&slot)), (4, 2));
    assert_eq!(lease_now(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![5]), "client 0 waits");
    assert_eq!(
        lease_soon(&slot, &holder).await.map(|batch| tags(&batch)),
        Some(vec![5]),
        "abandoned, so it is first again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_smaller_bound_takes_effect_with_the_next_push() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..10).for_each(|tag| send(&dispatch, 0, tag, 100));
    slot.reconfigure(SlotConfig { max_pushes: 3, ..without_linger() });
    assert_eq!(slot.ledger().queued.pushes, 10);
    dispatch.dispatch(payload(0, 10, 100));
    let batch = lease_now(&slot, &holder).await.expect("three");
    assert_eq!(tags(&batch), [8, 9, 10]);
    batch.settle(Outcome::Taken);
    assert_consistent(&slot);
}
