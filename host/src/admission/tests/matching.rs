//! Patterns and the room's lock.

use super::*;
use crate::admission::answer::hook;

/// A room that `during` happens to while patterns are tried for a client; it is told how often they were.
fn room(during: impl Fn(&Admission, usize) + 'static) -> Arc<Admission> {
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
    let told = admission.subscribe(client, ONE, Instant::now(), WALL).expect("a first Get, or one after a change");
    (told.instance_id, told.metrics.iter().map(ToString::to_string).collect())
}

#[test]
fn patterns_are_tried_without_the_lock() {
    let room = room(|admission, _| assert!(admission.state.try_lock().is_ok(), "nobody waits meanwhile"));
    let (id, told) = metrics(&room, &nobody());
    assert_eq!(told, "a.");
    room.reconfigure(config(&["b."]));
    assert_eq!(metrics(&room, &known(id)).1, "b.", "an old client after a change");
}

#[test]
fn what_was_matched_against_an_older_configuration_is_matched_again() {
    let room = room(|admission, times| {
        if times == 1 {
            admission.reconfigure(config(&["b."]));
        }
    });
    assert_eq!(metrics(&room, &nobody()).1, "b.");
    assert_eq!(room.counts().instances, 1);
}

#[test]
fn a_configuration_that_never_rests_is_read_under_the_lock_in_the_end() {
    let room = room(|admission, _| {
        if admission.state.try_lock().is_ok() {
            admission.reconfigure(config(&["c."]));
        }
    });
    assert_eq!(metrics(&room, &nobody()).1, "c.");
}

#[test]
fn two_requests_of_one_new_client_make_one_state() {
    let id = InstanceId::from_bytes([7; 16]);
    let room = room(move |admission, times| {
        if times == 1 {
            let other = Arc::new(Client { client_id: Some("other".into()), ..Client::clone(&known(id)) });
            admission.subscribe(&other, TWO, Instant::now(), WALL).expect("a first Get");
        }
    });
    let second = room.subscribe(&known(id), ONE, Instant::now(), WALL);
    assert_eq!((code(second), room.counts().instances), ("throttled", 1));
    let captured = room.client(id).expect("it is known").client.client_id.clone();
    assert_eq!(captured.as_deref(), Some("other"), "it was first");
    room.lock().table.assert_consistent();
}
