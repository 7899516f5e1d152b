//! Notices that a client is gone.

use super::support::*;
use crate::dispatch::queue::MAX_NOTICES;
use crate::dispatch::{LeasedBatch, Outcome, SlotConfig, Wants};

fn gone_clients(batch: &LeasedBatch) -> Vec<Option<String>> {
    batch.gone().iter().map(|departed| departed.client.client_id.as_deref().map(str::to_owned)).collect()
}

fn names_of(n: u8) -> Vec<Option<String>> {
    vec![Some(format!("client-{n}"))]
}

#[tokio::test(start_paused = true)]
async fn a_notice_comes_with_or_after_the_last_push() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_pushes: 2, ..without_linger() });
    (0..3).for_each(|tag| send(&dispatch, 0, tag, 100));
    dispatch.notify_gone(departed(0));
    let first = lease_now(&slot, &holder).await.expect("two pushes");
    assert_eq!((tags(&first), gone_clients(&first)), (vec![0, 1], vec![]));
    first.settle(Outcome::Taken);
    let last = lease_now(&slot, &holder).await.expect("the last");
    assert_eq!((tags(&last), gone_clients(&last)), (vec![2], names_of(0)));
    last.settle(Outcome::Taken);
    assert!(lease_now(&slot, &holder).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_contain_only_a_notice_which_lingers_and_wakes() {
    let (dispatch, slot, holder) = one_slot(SlotConfig::default());
    let (batch, ()) = tokio::join!(lease_soon(&slot, &holder), async { dispatch.notify_gone(departed(0)) });
    let batch = batch.expect("a notice");
    assert_eq!((batch.len(), gone_clients(&batch), batch.queue_wait()), (0, names_of(0), 100 * MS));
    assert!(batch.is_empty());
    batch.settle(Outcome::Taken);
    assert_eq!(slot.ledger().accepted.pushes, 0, "notices are not in the ledger");
    assert!(lease_now(&slot, &holder).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_is_not_gone_after_its_new_push() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    dispatch.notify_gone(departed(0));
    dispatch.dispatch(payload(0, 1, 100));
    let first = lease_now(&slot, &holder).await.expect("the client's first life");
    assert_eq!((tags(&first), gone_clients(&first)), (vec![0], names_of(0)));
    first.settle(Outcome::Taken);
    let second = lease_now(&slot, &holder).await.expect("the client's second life");
    assert_eq!((tags(&second), gone_clients(&second)), (vec![1], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_retried_as_its_batch_is() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.notify_gone(departed(0));
    for outcome in [unavailable(), Outcome::Other(String::new()), trapped()] {
        lease_soon(&slot, &holder).await.expect("the notice").settle(outcome);
    }
    drop(lease_soon(&slot, &holder).await);
    let batch = lease_soon(&slot, &holder).await.expect("the notice");
    assert_eq!(gone_clients(&batch), names_of(0));
    assert_eq!(slot.snapshot().ledger.notices_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_push_drops_no_notice() {
    for outcome in [Outcome::Rejected("no".into()), Outcome::TooLarge] {
        let (dispatch, slot, holder) = one_slot(without_linger());
        dispatch.dispatch(payload(0, 0, 100));
        dispatch.notify_gone(departed(0));
        while slot.ledger().held().pushes > 0 {
            lease_soon(&slot, &holder).await.expect("the push").settle(outcome.clone());
        }
        let batch = lease_soon(&slot, &holder).await.expect("the notice");
        assert_eq!((tags(&batch), gone_clients(&batch)), (vec![], names_of(0)), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_stays_behind_the_pushes_that_are_retried() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    dispatch.dispatch(payload(1, 1, 100));
    dispatch.notify_gone(departed(0));
    dispatch.notify_gone(departed(1));
    let batch = lease_now(&slot, &holder).await.expect("all");
    let retry = tags(&batch).iter().position(|tag| *tag == 0).map(|index| index as u32).into_iter().collect();
    batch.settle(Outcome::Partial { rejected: vec![], retry, retry_after: None });
    let batch = lease_soon(&slot, &holder).await.expect("what is left");
    assert_eq!((tags(&batch), gone_clients(&batch)), (vec![0], names_of(0)), "the notice of client 1 was delivered");
}

#[tokio::test(start_paused = true)]
async fn a_poison_notice_drops_no_push() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.notify_gone(departed(0));
    (0..5).for_each(|tag| send(&dispatch, 1, tag, 100));
    let mut broken = 0;
    while let Some(batch) = lease_now(&slot, &holder).await {
        let poisoned = !batch.gone().is_empty();
        broken += u32::from(poisoned);
        batch.settle(if poisoned { trapped() } else { Outcome::Taken });
    }
    let ledger = slot.ledger();
    assert_eq!((broken, ledger.delivered.pushes, ledger.notices_dropped), (3, 5, 1));
    assert!(ledger.dropped.is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_notices_drop_the_oldest() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    (0..MAX_NOTICES).for_each(|i| dispatch.notify_gone(departed(if i == 0 { 0 } else { 1 })));
    assert_eq!(slot.ledger().notices_dropped, 0);
    dispatch.notify_gone(departed(2));
    assert_eq!((slot.ledger().notices_dropped, slot.snapshot().notices), (1, MAX_NOTICES));
    let (mut batches, mut received) = (0, Vec::new());
    while let Some(batch) = lease_now(&slot, &holder).await {
        batches += 1;
        received.extend(gone_clients(&batch));
        batch.settle(Outcome::Taken);
    }
    assert_eq!((batches, received.len()), (MAX_NOTICES / 1_024, MAX_NOTICES), "each batch is bounded as well");
    assert!(!received.contains(&Some("client-0".into())) && received.contains(&Some("client-2".into())));
}

#[tokio::test(start_paused = true)]
async fn only_slots_that_want_the_client_get_its_notice() {
    let wants = Wants::new(vec![("client_id".into(), "client-[0-4]".into())]).unwrap();
    let (dispatch, slot, _) = one_slot(SlotConfig { wants, ..without_linger() });
    dispatch.notify_gone(departed(3));
    dispatch.notify_gone(departed(5));
    assert_eq!(slot.snapshot().notices, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_never_had_a_receiver_keeps_no_notices() {
    let (dispatch, slot, _) = one_slot(without_linger());
    slot.set_serving(false);
    dispatch.dispatch(payload(0, 0, 100));
    dispatch.notify_gone(departed(0));
    assert_eq!(slot.snapshot().notices, 0);
    slot.set_serving(true);
    dispatch.dispatch(payload(0, 1, 100));
    slot.set_serving(false);
    dispatch.notify_gone(departed(0));
    assert_eq!(slot.snapshot().notices, 1, "a receiver may have seen this client");
}
