//! Opening, closing, serving, and pushes that several slots share.

use std::sync::{Arc, Mutex};

use super::support::*;
use crate::dispatch::{Dispatch, Ledger, Outcome, PushTally, SlotAlreadyOpen, SlotConfig, Wants};
use crate::event::{EventData, Events, LedgerTerm, Topic};
use crate::intake::Receipt;

#[tokio::test(start_paused = true)]
async fn a_name_can_be_opened_only_once() {
    let dispatch = Dispatch::new(Events::new());
    assert!(!dispatch.has_slots());
    dispatch.open("a", without_linger()).unwrap();
    assert_eq!(dispatch.open("a", without_linger()).err(), Some(SlotAlreadyOpen("a".into())));
    assert!(dispatch.has_slots() && dispatch.slot("a").is_some());
    dispatch.close("a").expect("it is open");
    assert!(dispatch.close("a").is_none() && !dispatch.has_slots());
    dispatch.open("a", without_linger()).expect("closed, so it can be opened again");
}

#[tokio::test(start_paused = true)]
async fn each_slot_gets_what_it_wants_in_shared_memory() {
    let dispatch = Dispatch::new(Events::new());
    assert_eq!(dispatch.dispatch(payload(0, 0, 100)), Receipt::Unwanted, "no slot is open");
    let only = |pattern: &str| SlotConfig {
        wants: Wants::new(vec![("client_id".into(), pattern.into())]).unwrap(),
        ..without_linger()
    };
    let a = dispatch.open("a", only("client-[12]")).unwrap();
    let b = dispatch.open("b", only("client-[23]")).unwrap();
    assert_eq!(dispatch.dispatch(payload(0, 0, 100)), Receipt::Unwanted);
    assert_eq!(dispatch.dispatch(payload(1, 1, 100)), Receipt::Accepted(1));
    assert_eq!(dispatch.dispatch(payload(2, 2, 100)), Receipt::Accepted(2));
    let (in_a, in_b) = (lease_now(&a, &a.holder(1, 1)).await.unwrap(), lease_now(&b, &b.holder(1, 1)).await.unwrap());
    assert_eq!((tags(&in_a), tags(&in_b)), (vec![1, 2], vec![2]));
    assert!(Arc::ptr_eq(&in_a.deliveries()[1].payload, &in_b.deliveries()[0].payload));
    in_a.settle(trapped());
    assert_eq!(b.ledger().in_flight.pushes, 1, "a failure in one slot does not affect another");
}

#[tokio::test(start_paused = true)]
async fn closing_sheds_queued_pushes_and_lets_batches_in_flight_settle() {
    // Enough lanes that each client has its own.
    let (dispatch, slot, holder) = one_slot(SlotConfig { lanes: 251, ..without_linger() });
    (0..2).for_each(|n| send(&dispatch, n, n.into(), 100));
    let taken = lease_now(&slot, &holder).await.expect("two");
    (2..4).for_each(|n| send(&dispatch, n, n.into(), 100));
    let failed = lease_now(&slot, &holder).await.expect("two more");
    dispatch.dispatch(payload(5, 5, 100));
    let waiting = tokio::spawn({
        let slot = slot.clone();
        async move { lease_soon(&slot, &slot.holder(2, 1)).await.is_none() }
    });
    dispatch.close_all();
    assert!(waiting.await.unwrap());
    assert_eq!(taken.settle(Outcome::Taken).delivered, 2);
    assert_eq!(failed.settle(unavailable()).shed, 2);
    assert_eq!(dispatch.dispatch(payload(0, 9, 100)), Receipt::Unwanted);
    let ledger = slot.ledger();
    assert_eq!((ledger.shed["removed"].pushes, ledger.delivered.pushes, ledger.accepted.pushes), (3, 2, 5));
    assert_eq!(ledger.held(), PushTally::default());
    assert_consistent(&slot);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_does_not_serve_sheds_and_keeps_its_queue() {
    let (dispatch, slot, holder) = one_slot(without_linger());
    dispatch.dispatch(payload(0, 0, 100));
    slot.set_serving(false);
    assert_eq!(dispatch.dispatch(payload(0, 1, 100)), Receipt::Accepted(1), "the client sees no difference");
    slot.set_serving(true);
    dispatch.dispatch(payload(0, 2, 100));
    assert_eq!(slot.ledger().shed["no-receiver"].pushes, 1);
    assert_eq!(lease_now(&slot, &holder).await.map(|batch| tags(&batch)), Some(vec![0, 2]));
}

#[tokio::test(start_paused = true)]
async fn events_report_every_move_of_the_ledger() {
    let events = Events::new();
    let reported = Arc::new(Mutex::new(Ledger::default()));
    let ledger_of_events = reported.clone();
    let _listening = events.listen(&[Topic::LedgerMoved], move |event| {
        let EventData::LedgerMoved { from, to, pushes, size, .. } = &event.data else { return };
        let (mut ledger, count) =
            (ledger_of_events.lock().unwrap(), PushTally { pushes: *pushes as u64, bytes: *size as u64 });
        match from {
            None => ledger.accepted.add(count),
            Some(LedgerTerm::Queued) => ledger.queued = minus(ledger.queued, count),
            Some(LedgerTerm::InFlight) => ledger.in_flight = minus(ledger.in_flight, count),
            Some(end) => panic!("{end:?} is final"),
        }
        match to {
            LedgerTerm::Queued => ledger.queued.add(count),
            LedgerTerm::InFlight => ledger.in_flight.add(count),
            LedgerTerm::Delivered => ledger.delivered.add(count),
            LedgerTerm::Dropped(cause) => ledger.dropped.entry(cause).or_default().add(count),
            LedgerTerm::Shed(cause) => ledger.shed.entry(cause).or_default().add(count),
        }
    });
    let dispatch = Dispatch::new(events);
    let slot = dispatch.open("a", SlotConfig { max_pushes: 8, batch_pushes: 4, ..without_linger() }).unwrap();
    let holder = slot.holder(1, 1);
    (0..12).for_each(|tag| send(&dispatch, (tag % 3) as u8, tag, 100));
    let partial = Outcome::Partial { rejected: vec![(0, "no".into())], retry: vec![1], retry_after: None };
    for outcome in [partial, unavailable(), Outcome::TooLarge, trapped(), Outcome::Taken] {
        lease_soon(&slot, &holder).await.expect("there is work").settle(outcome);
    }
    drop(lease_soon(&slot, &holder).await);
    dispatch.close("a");
    let reported = reported.lock().unwrap().clone();
    assert!(reported.is_balanced() && reported.delivered.pushes > 0 && reported.shed.len() == 2);
    let truth = slot.ledger();
    assert_eq!(reported, Ledger { redelivered: PushTally::default(), ..truth });
}

fn minus(from: PushTally, part: PushTally) -> PushTally {
    PushTally { pushes: from.pushes - part.pushes, bytes: from.bytes - part.bytes }
}
