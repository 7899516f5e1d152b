//! Which pushes pass.

use super::*;

#[test]
fn an_admitted_push_knows_its_interval() {
    let room = AdmissionFixture::new();
    let (push, codec) = room.push(push(&room.join())).expect("the first push passes").into_parts();
    assert_eq!((push.push_interval, codec), (Some(INTERVAL), Codec::Zstd));
}

#[test]
fn faults_are_found_in_apaches_order() {
    let mut room = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 8, ..config(&["*"]) });
    let client = room.join();
    let nil = push(&(client_with_id(InstanceId::NIL), 0));
    assert_eq!(code(room.push(nil)), "invalid_request");
    let wrong = Push { subscription_id: Some(client.1 ^ 1), codec: 9, wire: vec![0; 9].into(), ..push(&client) };
    assert_eq!(code(room.push(wrong.clone())), "unknown_subscription");
    assert_eq!(code(room.push(wrong.clone())), "throttled");
    let wrong = Push { subscription_id: Some(client.1), ..wrong };
    assert_eq!(code(room.after(INTERVAL).push(wrong.clone())), "unsupported_compression");
    let wrong = Push { codec: 0, ..wrong };
    assert_eq!(code(room.after(INTERVAL).push(wrong)), "too_large");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

#[test]
fn wire_limit_obeyed() {
    let room = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 7, ..config(&["*"]) });
    assert_eq!(code(room.push(push(&room.join()))), "taken");
}

#[test]
fn wire_limit_violated() {
    let room = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 6, ..config(&["*"]) });
    assert_eq!(code(room.push(push(&room.join()))), "too_large");
}

#[test]
fn rate_rule_obeyed() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "taken", "Java's earliest first push");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
    assert_eq!(code(room.after(INTERVAL).subscribe(&client.0)), "taken");
}

#[test]
fn rate_rule_violated() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    assert_eq!(code(room.subscribe(&client.0)), "throttled");
    assert_eq!(code(room.push(push(&client))), "taken");
    assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "throttled");
    assert_eq!(code(room.subscribe(&client.0)), "throttled");
}

#[test]
fn a_client_that_learns_of_a_change_is_not_throttled_for_it() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    room.push(push(&client)).expect("the first push passes");
    room.admission.reconfigure(config(&["other."]));
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "unknown_subscription");
    let subscription = room.subscribe(&client.0).expect("the Get after that error is excused");
    assert_ne!(subscription.id, client.1);
    let client = (client.0, subscription.id);
    assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "taken");
    assert_eq!(code(room.push(push(&client))), "throttled");
}

#[test]
fn early_gets_do_not_bypass_the_rate_rule() {
    let room = AdmissionFixture::new();
    let client = room.join();
    let wrong = || Push { subscription_id: Some(client.1 ^ 1), ..push(&client) };
    assert_eq!(code(room.push(wrong())), "unknown_subscription");
    assert_eq!(code(room.subscribe(&client.0)), "taken");
    assert_eq!(code(room.push(wrong())), "unknown_subscription");
    assert_eq!(code(room.subscribe(&client.0)), "throttled");
    assert_eq!(code(room.push(wrong())), "throttled");
}
