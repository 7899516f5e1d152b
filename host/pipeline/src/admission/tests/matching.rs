//! Pattern matching and the lock of admission.

use super::*;
use crate::admission::assignment::hook;

/// An admission for which `during` is called while patterns are matched for a client, with the number of times so far.
fn admission_with_hook(during: impl Fn(&Admission, usize) + 'static) -> Arc<Admission> {
    let admission = Arc::new(Admission::new(config(&["a."])));
    let (inside, mut times) = (Arc::downgrade(&admission), 0);
    hook::set(move || {
        let Some(admission) = inside.upgrade() else { return };
        times += 1;
        during(&admission, times);
    });
    admission
}

fn metrics(admission: &Admission, client: &Arc<Client>) -> (InstanceId, String) {
    let subscription =
        admission.subscribe(client, ONE, Instant::now(), WALL).expect("a first Get, or one after a change");
    (subscription.instance_id, subscription.metrics.iter().map(ToString::to_string).collect())
}

#[test]
fn patterns_are_matched_without_the_lock() {
    let admission =
        admission_with_hook(|admission, _| assert!(admission.state.try_lock().is_ok(), "no other client waits"));
    let (id, matched) = metrics(&admission, &new_client());
    assert_eq!(matched, "a.");
    admission.reconfigure(config(&["b."]));
    assert_eq!(metrics(&admission, &client_with_id(id)).1, "b.", "a known client after a change");
}

#[test]
fn a_match_against_an_older_configuration_is_repeated() {
    let admission = admission_with_hook(|admission, times| {
        if times == 1 {
            admission.reconfigure(config(&["b."]));
        }
    });
    assert_eq!(metrics(&admission, &new_client()).1, "b.");
    assert_eq!(admission.counts().instances, 1);
}

#[test]
fn a_configuration_that_keeps_changing_is_matched_under_the_lock() {
    let admission = admission_with_hook(|admission, _| {
        if admission.state.try_lock().is_ok() {
            admission.reconfigure(config(&["c."]));
        }
    });
    assert_eq!(metrics(&admission, &new_client()).1, "c.");
}

#[test]
fn two_requests_of_one_new_client_insert_one_state() {
    let id = InstanceId::from_bytes([7; 16]);
    let admission = admission_with_hook(move |admission, times| {
        if times == 1 {
            let other = Arc::new(Client { client_id: Some("other".into()), ..Client::clone(&client_with_id(id)) });
            admission.subscribe(&other, TWO, Instant::now(), WALL).expect("a first Get");
        }
    });
    let second = admission.subscribe(&client_with_id(id), ONE, Instant::now(), WALL);
    assert_eq!((code(second), admission.counts().instances), ("throttled", 1));
    let captured = admission.client(id).expect("it is known").client.client_id.clone();
    assert_eq!(captured.as_deref(), Some("other"), "it was first");
    admission.lock().table.assert_consistent();
}
