//! Pushes that their listener could not read.

use super::*;

const LARGE: usize = 3 << 20;

fn with_source_rates(rates: impl FnOnce(&mut Rates)) -> AdmissionFixture {
    let mut config = config(&["*"]);
    rates(&mut config.quotas.source);
    AdmissionFixture::with_config(config)
}

fn too_large(fixture: &AdmissionFixture, client: &Arc<Client>) {
    fixture.admission.charge_oversized_push(client, ONE, LARGE, fixture.now, WALL);
}

#[test]
fn a_client_that_sends_nothing_else_stays_known() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    for _ in 0..5 {
        fixture.after(INTERVAL * 2);
        too_large(&fixture, &client.0);
        assert_eq!(fixture.admission.expire(fixture.now, WALL).len(), 0);
    }
    let known = fixture.admission.client(client.0.instance_id.expect("it has one")).expect("its TTL is renewed");
    assert_eq!((known.pushes, known.refused), (5, 5));
    assert_eq!(known.last_refusal.map(|(code, _)| code), Some("too_large"));
    assert_eq!(code(fixture.push(push(&client))), "admitted", "and a push that is small enough is admitted");
}

#[test]
fn bytes_that_were_not_read_count_obeyed() {
    let fixture = with_source_rates(|source| source.push_bytes = Some(2 * LARGE as u64));
    let client = fixture.join();
    too_large(&fixture, &client.0);
    assert_eq!(code(fixture.push(push(&client))), "admitted", "some quota is left");
}

#[test]
fn bytes_that_were_not_read_count_violated() {
    for known_sender in [true, false] {
        let fixture = with_source_rates(|source| source.push_bytes = Some(LARGE as u64));
        let client = fixture.join();
        let sender = if known_sender { client.0.clone() } else { new_client() };
        too_large(&fixture, &sender);
        assert_eq!(code(fixture.push(push(&client))), "over_quota", "also where the sender is unknown");
        too_large(&fixture, &sender);
        let known = fixture.admission.client(client.0.instance_id.expect("it has one")).expect("it is known");
        assert_eq!(known.refused, if known_sender { 3 } else { 1 });
    }
}

#[test]
fn pushes_that_were_not_read_count() {
    let fixture = with_source_rates(|source| source.pushes = 3);
    let client = fixture.join();
    (0..3).for_each(|_| too_large(&fixture, &client.0));
    assert_eq!(code(fixture.push(push(&client))), "over_quota");
}

#[test]
fn an_unknown_client_is_inserted_within_the_quota() {
    let fixture = with_source_rates(|source| source.new_clients = 2);
    (1..=5).for_each(|n| too_large(&fixture, &client_with_id(InstanceId::from_bytes([n; 16]))));
    too_large(&fixture, &client_with_id(InstanceId::NIL));
    too_large(&fixture, &client_with_id(InstanceId::ONE));
    assert_eq!(fixture.admission.counts().instances, 2);
}
