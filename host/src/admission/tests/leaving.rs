//! How clients go.

use super::*;

#[test]
fn a_terminating_push_is_never_too_soon_and_the_last() {
    let room = AdmissionFixture::new();
    let client = room.join();
    let id = client.0.instance_id.expect("it joined");
    room.push(push(&client)).expect("the first push passes");
    let gone = room.leave(&client, ONE).expect("it said so");
    assert_eq!(code(room.push(push(&client))), "invalid_request");
    assert_eq!(code(room.push(terminating_push(&client))), "invalid_request", "also a second last one");
    assert_eq!((gone.reason, gone.client.instance_id), (DepartureReason::Terminated, Some(id)));
    assert!(room.admission.terminated(id, ONE, WALL).is_none(), "told once");
    assert!(room.admission.disconnected(ONE, WALL).is_empty());
}

#[test]
fn a_terminating_push_that_was_refused_locks_nobody_out() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    let refused = Push { codec: 9, ..terminating_push(&client) };
    assert_eq!(code(room.push(refused)), "unsupported_compression");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

#[test]
fn a_terminating_push_that_a_later_stage_refused_locks_nobody_out() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    let id = client.0.instance_id.expect("it joined");
    room.push(terminating_push(&client)).expect("it passes here");
    let gone = room.admission.terminating_push_refused(id, WALL).expect("it means to go");
    assert_eq!(gone.reason, DepartureReason::Terminated);
    assert!(room.admission.terminating_push_refused(id, WALL).is_none(), "told once");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
    assert!(!room.admission.client(id).expect("it is known").gone, "it is back");
}

#[test]
fn a_terminating_push_from_another_connection_silences_no_client() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    let id = client.0.instance_id.expect("it joined");
    room.push(push(&client)).expect("the first push passes");
    // The stranger asks first, to learn the subscription id.
    let _ = room.admission.subscribe(&client.0, TWO, room.now, WALL);
    room.leave(&client, TWO).expect("receivers are told");
    assert_eq!(code(room.push(push(&client))), "throttled", "which every client survives");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
    let known = room.admission.client(id).expect("it is known");
    assert!(!known.gone);
    let on_two = room.admission.admit(push(&client), TWO, room.now);
    assert_eq!(code(on_two), "throttled", "forgotten with the first push from elsewhere");
}

#[test]
fn a_client_is_gone_with_its_last_connection() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    let now = room.after(INTERVAL).now;
    let on_two = room.admission.admit(push(&client), TWO, now);
    assert_eq!(code(on_two), "taken");
    assert!(room.admission.disconnected(ONE, WALL).is_empty(), "one is left");
    let gone = room.admission.disconnected(TWO, WALL);
    assert_eq!(gone.iter().map(|gone| gone.reason).collect::<Vec<_>>(), [DepartureReason::Disconnected]);
    assert_eq!(gone[0].client.instance_id, client.0.instance_id);
    assert_eq!(code(room.push(push(&client))), "throttled", "a new connection is no way around the pace");
    assert_eq!(code(room.subscribe(&client.0)), "taken", "librdkafka asks at once on a new connection");
    let again = room.admission.disconnected(ONE, WALL);
    assert_eq!(again.len(), 1, "it was back, so it is gone again");
}

#[test]
fn a_terminated_client_may_return_on_a_new_connection() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    room.leave(&client, ONE).expect("it is gone");
    assert!(room.admission.disconnected(ONE, WALL).is_empty(), "told once");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

#[test]
fn ttl_obeyed() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    room.after(INTERVAL * 2).push(push(&client)).expect("a push re-arms the TTL");
    let now = room.after(INTERVAL * 3 - Duration::from_millis(1)).now;
    assert!(room.admission.expire(now, WALL).is_empty());
    assert_eq!(room.admission.counts().instances, 1);
}

#[test]
fn ttl_violated() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    let now = room.after(INTERVAL * 3).now;
    let gone = room.admission.expire(now, WALL);
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].reason, gone[0].client.instance_id), (DepartureReason::Expired, client.0.instance_id));
    assert_eq!(room.admission.counts().instances, 0);
    assert!(room.admission.disconnected(ONE, WALL).is_empty(), "nothing is left of it");
}

#[test]
fn the_ttl_is_a_minute_at_least() {
    let rule = SubscriptionRule::new("s", vec![], Some(100), &[]).expect("a sound rule");
    let mut room = AdmissionFixture::with_config(AdmissionConfig { subscriptions: vec![rule], ..without_quotas() });
    room.join();
    let now = room.after(Duration::from_millis(59_999)).now;
    assert!(room.admission.expire(now, WALL).is_empty());
    let now = room.after(Duration::from_millis(1)).now;
    assert_eq!(room.admission.expire(now, WALL).len(), 1);
}

#[test]
fn thousands_expire_in_one_call() {
    let mut room = AdmissionFixture::new();
    (0..2_000).for_each(|_| drop(room.join()));
    let now = room.after(INTERVAL * 3).now;
    assert_eq!(room.admission.expire(now, WALL).len(), 2_000);
}
