//! Which pushes are admitted.

use super::*;

#[test]
fn an_admitted_push_carries_its_interval() {
    let fixture = AdmissionFixture::new();
    let (push, codec) = fixture.push(push(&fixture.join())).expect("the first push is admitted").into_parts();
    assert_eq!((push.push_interval, codec), (Some(INTERVAL), Codec::Zstd));
}

#[test]
fn errors_are_found_in_apaches_order() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 8, ..config(&["*"]) });
    let client = fixture.join();
    let nil = push(&(client_with_id(InstanceId::NIL), 0));
    assert_eq!(code(fixture.push(nil)), "invalid_request");
    let wrong = Push { subscription_id: Some(client.1 ^ 1), codec: 9, wire: vec![0; 9].into(), ..push(&client) };
    assert_eq!(code(fixture.push(wrong.clone())), "unknown_subscription");
    assert_eq!(code(fixture.push(wrong.clone())), "throttled");
    let wrong = Push { subscription_id: Some(client.1), ..wrong };
    assert_eq!(code(fixture.after(INTERVAL).push(wrong.clone())), "unsupported_compression");
    let wrong = Push { codec: 0, ..wrong };
    assert_eq!(code(fixture.after(INTERVAL).push(wrong)), "too_large");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
}

#[test]
fn wire_limit_obeyed() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 7, ..config(&["*"]) });
    assert_eq!(code(fixture.push(push(&fixture.join()))), "admitted");
}

#[test]
fn wire_limit_violated() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 6, ..config(&["*"]) });
    assert_eq!(code(fixture.push(push(&fixture.join()))), "too_large");
}

#[test]
fn rate_rule_obeyed() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    assert_eq!(code(fixture.after(INTERVAL / 2).push(push(&client))), "admitted", "Java's earliest first push");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
    assert_eq!(code(fixture.after(INTERVAL).subscribe(&client.0)), "admitted");
}

#[test]
fn rate_rule_violated() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    assert_eq!(code(fixture.subscribe(&client.0)), "throttled");
    assert_eq!(code(fixture.push(push(&client))), "admitted");
    assert_eq!(code(fixture.after(INTERVAL / 2).push(push(&client))), "throttled");
    assert_eq!(code(fixture.subscribe(&client.0)), "throttled");
}

#[test]
fn a_client_that_notices_a_change_is_not_throttled_for_it() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    fixture.push(push(&client)).expect("the first push is admitted");
    fixture.admission.reconfigure(config(&["other."]));
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "unknown_subscription");
    let subscription = fixture.subscribe(&client.0).expect("the Get after that error is allowed early");
    assert_ne!(subscription.id, client.1);
    let client = (client.0, subscription.id);
    assert_eq!(code(fixture.after(INTERVAL / 2).push(push(&client))), "admitted");
    assert_eq!(code(fixture.push(push(&client))), "throttled");
}

#[test]
fn early_gets_do_not_bypass_the_rate_rule() {
    let fixture = AdmissionFixture::new();
    let client = fixture.join();
    let wrong = || Push { subscription_id: Some(client.1 ^ 1), ..push(&client) };
    assert_eq!(code(fixture.push(wrong())), "unknown_subscription");
    assert_eq!(code(fixture.subscribe(&client.0)), "admitted");
    assert_eq!(code(fixture.push(wrong())), "unknown_subscription");
    assert_eq!(code(fixture.subscribe(&client.0)), "throttled");
    assert_eq!(code(fixture.push(wrong())), "throttled");
}
