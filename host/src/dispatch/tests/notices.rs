//! Notices that a client is gone.

use super::support::*;
use crate::dispatch::queue::MAX_NOTICES;
use crate::dispatch::{Batch, Outcome, SlotConfig, Wants};

fn gone(batch: &Batch) -> Vec<Option<String>> {
    batch.gone().iter().map(|departed| departed.client.client_id.as_deref().map(str::to_owned)).collect()
}

fn of(n: u8) -> Vec<Option<String>> {
    vec![Some(format!("client-{n}"))]
}

#[tokio::test(start_paused = true)]
async fn a_notice_comes_with_or_after_the_last_push() {
    let (dispatch, slot, holder) = one_slot(SlotConfig { batch_pushes: 2, ..prompt() });
    (0..3).for_each(|tag| send(&dispatch, 0, tag, 100));
    dispatch.gone(departed(0));
    let first = at_once(&slot, &holder).await.expect("two pushes");
    assert_eq!((tags(&first), gone(&first)), (vec![0, 1], vec![]));
    first.settle(Outcome::Taken);
    let last = at_once(&slot, &holder).await.expect("the last");
    assert_eq!((tags(&last), gone(&last)), (vec![2], of(0)));
    last.settle(Outcome::Taken);
    assert!(at_once(&slot, &holder).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_hold_a_notice_alone_which_lingers_and_wakes() {
    let (dispatch, slot, holder) = one_slot(SlotConfig::default());
    let (batch, ()) = tokio::join!(soon(&slot, &holder), async { dispatch.gone(departed(0)) });
    let batch = batch.expect("a notice");
    assert_eq!((batch.len(), gone(&batch), batch.queue_wait()), (0, of(0), 100 * MS));
    assert!(batch.is_empty());
    batch.settle(Outcome::Taken);
    assert_eq!(slot.ledger().accepted.pushes, 0, "notices are not in the ledger");
    assert!(at_once(&slot, &holder).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_is_not_gone_after_its_new_push() {
    let (dispatch, slot, holder) = one_slot(prompt());
    dispatch.dispatch(payload(0, 0, 100));
    dispatch.gone(departed(0));
    dispatch.dispatch(payload(0, 1, 100));
    let first = at_once(&slot, &holder).await.expect("the first life");
    assert_eq!((tags(&first), gone(&first)), (vec![0], of(0)));
    first.settle(Outcome::Taken);
    let second = at_once(&slot, &holder).await.expect("the second life");
    assert_eq!((tags(&second), gone(&second)), (vec![1], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_retried_as_its_batch_is() {
    let (dispatch, slot, holder) = one_slot(prompt());
    dispatch.gone(departed(0));
    for outcome in [unavailable(), Outcome::Other(String::new()), trap()] {
        soon(&slot, &holder).await.expect("the notice").settle(outcome);
    }
    drop(soon(&slot, &holder).await);
    let batch = soon(&slot, &holder).await.expect("the notice");
    assert_eq!(gone(&batch), of(0));
    assert_eq!(slot.snapshot().ledger.notices_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_given_up_takes_no_notice_with_it() {
    for outcome in [Outcome::Rejected("no".into()), Outcome::TooLarge] {
        let (dispatch, slot, holder) = one_slot(prompt());
        dispatch.dispatch(payload(0, 0, 100));
        dispatch.gone(departed(0));
        while slot.ledger().held().pushes > 0 {
            soon(&slot, &holder).await.expect("the push").settle(outcome.clone());
        }
        let batch = soon(&slot, &holder).await.expect("the notice");
        assert_eq!((tags(&batch), gone(&batch)), (vec![], of(0)), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_stays_behind_the_pushes_that_are_retried() {
    let (dispatch, slot, holder) = one_slot(prompt());
    dispatch.dispatch(payload(0, 0, 100));
    dispatch.dispatch(payload(1, 1, 100));
    dispatch.gone(departed(0));
    dispatch.gone(departed(1));
    let batch = at_once(&slot, &holder).await.expect("all");
    let retry = tags(&batch).iter().position(|tag| *tag == 0).map(|index| index as u32).into_iter().collect();
    batch.settle(Outcome::Partial { rejected: vec![], retry, retry_after: None });
    let batch = soon(&slot, &holder).await.expect("what is left");
    assert_eq!((tags(&batch), gone(&batch)), (vec![0], of(0)), "client 1's was heard");
}

#[tokio::test(start_paused = true)]
async fn a_poison_notice_takes_no_push_with_it() {
    let (dispatch, slot, holder) = one_slot(prompt());
    dispatch.gone(departed(0));
    (0..5).for_each(|tag| send(&dispatch, 1, tag, 100));
    let mut broken = 0;
    while let Some(batch) = at_once(&slot, &holder).await {
        let poisoned = !batch.gone().is_empty();
        broken += u32::from(poisoned);
        batch.settle(if poisoned { trap() } else { Outcome::Taken });
    }
    let ledger = slot.ledger();
    assert_eq!((broken, ledger.delivered.pushes, ledger.notices_dropped), (3, 5, 1));
    assert!(ledger.dead_lettered.is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_notices_drop_the_oldest() {
    let (dispatch, slot, holder) = one_slot(prompt());
    (0..MAX_NOTICES).for_each(|i| dispatch.gone(departed(if i == 0 { 0 } else { 1 })));
    assert_eq!(slot.ledger().notices_dropped, 0);
    dispatch.gone(departed(2));
    assert_eq!((slot.ledger().notices_dropped, slot.snapshot().notices), (1, MAX_NOTICES));
    let (mut batches, mut heard) = (0, Vec::new());
    while let Some(batch) = at_once(&slot, &holder).await {
        batches += 1;
        heard.extend(gone(&batch));
        batch.settle(Outcome::Taken);
    }
    assert_eq!((batches, heard.len()), (MAX_NOTICES / 1_024, MAX_NOTICES), "each batch is bounded too");
    assert!(!heard.contains(&Some("client-0".into())) && heard.contains(&Some("client-2".into())));
}

#[tokio::test(start_paused = true)]
async fn only_who_wants_the_client_hears_of_it() {
    let wants = Wants::new(vec![("client_id".into(), "client-[0-4]".into())]).unwrap();
    let (dispatch, slot, _) = one_slot(SlotConfig { wants, ..prompt() });
    dispatch.gone(departed(3));
    dispatch.gone(departed(5));
    assert_eq!(slot.snapshot().notices, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_never_had_a_receiver_keeps_no_notices() {
    let (dispatch, slot, _) = one_slot(prompt());
    slot.set_serving(false);
    dispatch.dispatch(payload(0, 0, 100));
    dispatch.gone(departed(0));
    assert_eq!(slot.snapshot().notices, 0);
    slot.set_serving(true);
    dispatch.dispatch(payload(0, 1, 100));
    slot.set_serving(false);
    dispatch.gone(departed(0));
    assert_eq!(slot.snapshot().notices, 1, "a receiver may have heard of this one");
}
