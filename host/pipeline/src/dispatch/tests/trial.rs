//! A candidate on trial: whatever it does with its batches, only the serving generation drops a push.

use std::collections::BTreeSet;
use std::time::Duration;

use super::support::*;
use crate::dispatch::{Dispatch, LaneSet, LeaseHolder, Outcome, Slot};

/// A slot in which a candidate has every lane except that of client 1, which the serving generation has.
fn canary() -> (Dispatch, Slot, LeaseHolder, LeaseHolder) {
    let (dispatch, slot, serving) = one_slot(without_linger());
    let lane = crate::dispatch::key::lane_of(
        crate::dispatch::key::ordering_hash(&client(1), crate::push::Ingress::Kafka),
        slot.lanes(),
    );
    let candidate = slot.holder(2, 1);
    candidate.set_on_trial(true);
    candidate.set_lanes(LaneSet::Except(BTreeSet::from([lane])));
    serving.set_lanes(LaneSet::Only(BTreeSet::from([lane])));
    (dispatch, slot, serving, candidate)
}

fn failures() -> [Outcome; 7] {
    let partial = |rejected: Vec<u32>, retry| Outcome::Partial {
        rejected: rejected.into_iter().map(|index| (index, "never".into())).collect(),
        retry,
        retry_after: Some(60_000 * MS),
    };
    [
        trapped(),
        unavailable(),
        Outcome::TooLarge,
        Outcome::Rejected("no".into()),
        Outcome::Other("?".into()),
        partial(vec![0], vec![]),
        partial(vec![], vec![9]),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_push_that_a_candidate_declines_goes_to_the_serving_generation_without_a_counted_attempt() {
    for outcome in failures() {
        let (dispatch, slot, serving, candidate) = canary();
        send(&dispatch, 0, 0, 100);
        let settled = lease_now(&slot, &candidate).await.expect("its lane").settle(outcome.clone());
        assert_eq!((settled.dropped, settled.returned, settled.wait), (0, 1, Duration::ZERO), "{outcome:?}");
        assert!(lease_now(&slot, &candidate).await.is_none(), "it is not offered again to the candidate: {outcome:?}");
        let batch = lease_now(&slot, &serving).await.unwrap_or_else(|| panic!("lost after {outcome:?}"));
        assert_eq!(batch.deliveries().iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(), [1], "{outcome:?}");
        batch.settle(Outcome::Taken);
        assert_eq!((slot.ledger().delivered.pushes, slot.ledger().dropped.len()), (1, 0), "{outcome:?}");
        assert_consistent(&slot);
    }
}

#[tokio::test(start_paused = true)]
async fn the_serving_generation_leases_only_declined_pushes_of_a_candidates_lane() {
    let (dispatch, slot, serving, candidate) = canary();
    (0..3).for_each(|tag| send(&dispatch, 0, tag, 100));
    let batch = lease_now(&slot, &candidate).await.expect("its lane");
    assert_eq!(tags(&batch), [0, 1, 2]);
    (3..5).for_each(|tag| send(&dispatch, 0, tag, 100));
    batch.settle(Outcome::Partial { rejected: vec![(1, "no".into())], retry: vec![], retry_after: None });
    assert!(lease_now(&slot, &candidate).await.is_none(), "a client's pushes stay in order across both generations");
    let declined = lease_now(&slot, &serving).await.expect("what was declined");
    assert_eq!(tags(&declined), [1]);
    declined.settle(Outcome::Rejected("no".into()));
    assert_eq!(slot.ledger().dropped["rejected"].pushes, 1, "dropped by the serving generation");
    assert_eq!(lease_now(&slot, &candidate).await.map(|batch| tags(&batch)), Some(vec![3, 4]), "its lane again");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_finds_the_push_at_fault_and_hands_over_that_one_alone() {
    let (dispatch, slot, serving, candidate) = canary();
    (0..64).for_each(|tag| send(&dispatch, 0, tag, 100));
    let mut failed = 0;
    loop {
        let Some(batch) = lease_now(&slot, &candidate).await else {
            let Some(declined) = lease_now(&slot, &serving).await else { break };
            assert_eq!(tags(&declined), [40]);
            declined.settle(Outcome::Taken);
            continue;
        };
        let outcome = if tags(&batch).contains(&40) { Outcome::Rejected("no name".into()) } else { Outcome::Taken };
        let settled = batch.settle(outcome);
        failed += settled.returned - settled.halved;
    }
    assert_eq!((failed, slot.ledger().delivered.pushes), (1, 64), "one push counts against it, not its batch");
}

#[tokio::test(start_paused = true)]
async fn a_paused_generation_leases_no_declined_push() {
    let (dispatch, slot, serving, candidate) = canary();
    send(&dispatch, 0, 0, 100);
    lease_now(&slot, &candidate).await.expect("its lane").settle(trapped());
    serving.set_lanes(LaneSet::Only(BTreeSet::new()));
    assert!(lease_now(&slot, &serving).await.is_none());
    serving.set_lanes(LaneSet::All);
    assert!(lease_now(&slot, &serving).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_published_candidate_is_offered_the_pushes_that_it_declined() {
    let (dispatch, slot, serving, candidate) = canary();
    send(&dispatch, 0, 0, 100);
    lease_now(&slot, &candidate).await.expect("its lane").settle(unavailable());
    serving.stop();
    candidate.set_on_trial(false);
    candidate.set_lanes(LaneSet::All);
    assert_eq!(lease_now(&slot, &candidate).await.map(|batch| tags(&batch)), Some(vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_candidates_failures_do_not_slow_the_serving_generation_down() {
    let (dispatch, slot, serving, candidate) = canary();
    for tag in 0..8 {
        send(&dispatch, 0, tag, 100);
        lease_now(&slot, &candidate).await.expect("its lane").settle(unavailable());
        lease_now(&slot, &serving).await.expect("without a wait").settle(Outcome::Taken);
    }
    send(&dispatch, 1, 8, 100);
    let settled = lease_now(&slot, &serving).await.expect("its own lane").settle(unavailable());
    assert_eq!(settled.wait, 200 * MS, "the first failure in a row");
}
