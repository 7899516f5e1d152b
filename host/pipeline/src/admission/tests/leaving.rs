//! How clients leave.

use super::*;

#[test]
fn a_terminating_push_is_never_too_early_and_ends_the_client() {
    let fixture = AdmissionFixture::new();
    let client = fixture.join();
    let id = client.0.instance_id.expect("it joined");
    fixture.push(push(&client)).expect("the first push is admitted");
    let gone = fixture.leave(&client, ONE).expect("it announced it");
    assert_eq!(code(fixture.push(push(&client))), "invalid_request");
    assert_eq!(code(fixture.push(terminating_push(&client))), "invalid_request", "a second terminating push as well");
    assert_eq!((gone.reason, gone.client.instance_id), (DepartureReason::Terminated, Some(id)));
    assert!(fixture.admission.terminated(id, ONE, WALL).is_none(), "reported once");
    assert!(fixture.admission.disconnected(ONE, WALL).is_empty());
}

#[test]
fn a_terminating_push_that_was_refused_locks_nobody_out() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let refused = Push { codec: 9, ..terminating_push(&client) };
    assert_eq!(code(fixture.push(refused)), "unsupported_compression");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
}

#[test]
fn a_terminating_push_that_a_later_stage_refused_locks_nobody_out() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let id = client.0.instance_id.expect("it joined");
    fixture.push(terminating_push(&client)).expect("it is admitted here");
    let gone = fixture.admission.terminating_push_refused(id, WALL).expect("it is leaving");
    assert_eq!(gone.reason, DepartureReason::Terminated);
    assert!(fixture.admission.terminating_push_refused(id, WALL).is_none(), "reported once");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
    assert!(!fixture.admission.client(id).expect("it is known").gone, "it is back");
}

#[test]
fn a_terminating_push_from_another_connection_silences_no_client() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let id = client.0.instance_id.expect("it joined");
    fixture.push(push(&client)).expect("the first push is admitted");
    // The other sender first requests the subscription id.
    let _ = fixture.admission.subscribe(&client.0, TWO, fixture.now, WALL);
    fixture.leave(&client, TWO).expect("receivers are notified");
    assert_eq!(code(fixture.push(push(&client))), "throttled", "which every client retries");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
    let known = fixture.admission.client(id).expect("it is known");
    assert!(!known.gone);
    let on_two = fixture.admission.admit(push(&client), TWO, fixture.now);
    assert_eq!(code(on_two), "throttled", "the lockout ended with the first push from elsewhere");
}

#[test]
fn a_client_is_gone_with_its_last_connection() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let now = fixture.after(INTERVAL).now;
    let on_two = fixture.admission.admit(push(&client), TWO, now);
    assert_eq!(code(on_two), "admitted");
    assert!(fixture.admission.disconnected(ONE, WALL).is_empty(), "one is left");
    let gone = fixture.admission.disconnected(TWO, WALL);
    assert_eq!(gone.iter().map(|gone| gone.reason).collect::<Vec<_>>(), [DepartureReason::Disconnected]);
    assert_eq!(gone[0].client.instance_id, client.0.instance_id);
    assert_eq!(code(fixture.push(push(&client))), "throttled", "a new connection does not bypass the rate rule");
    assert_eq!(
        code(fixture.subscribe(&client.0)),
        "admitted",
        "librdkafka requests its subscription immediately on a new connection"
    );
    let again = fixture.admission.disconnected(ONE, WALL);
    assert_eq!(again.len(), 1, "it was back, so it is gone again");
}

#[test]
fn a_terminated_client_may_return_on_a_new_connection() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    fixture.leave(&client, ONE).expect("it is gone");
    assert!(fixture.admission.disconnected(ONE, WALL).is_empty(), "reported once");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
}

#[test]
fn ttl_obeyed() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    fixture.after(INTERVAL * 2).push(push(&client)).expect("a push renews the TTL");
    let now = fixture.after(INTERVAL * 3 - Duration::from_millis(1)).now;
    assert!(fixture.admission.expire(now, WALL).is_empty());
    assert_eq!(fixture.admission.counts().instances, 1);
}

#[test]
fn ttl_violated() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let now = fixture.after(INTERVAL * 3).now;
    let gone = fixture.admission.expire(now, WALL);
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].reason, gone[0].client.instance_id), (DepartureReason::Expired, client.0.instance_id));
    assert_eq!(fixture.admission.counts().instances, 0);
    assert!(fixture.admission.disconnected(ONE, WALL).is_empty(), "its state is removed");
}

#[test]
fn the_ttl_is_a_minute_at_least() {
    let rule = SubscriptionRule::new("s", vec![], Some(100), &[]).expect("a valid rule");
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { subscriptions: vec![rule], ..without_quotas() });
    fixture.join();
    let now = fixture.after(Duration::from_millis(59_999)).now;
    assert!(fixture.admission.expire(now, WALL).is_empty());
    let now = fixture.after(Duration::from_millis(1)).now;
    assert_eq!(fixture.admission.expire(now, WALL).len(), 1);
}

#[test]
fn thousands_expire_in_one_call() {
    let mut fixture = AdmissionFixture::new();
    (0..2_000).for_each(|_| drop(fixture.join()));
    let now = fixture.after(INTERVAL * 3).now;
    assert_eq!(fixture.admission.expire(now, WALL).len(), 2_000);
}
