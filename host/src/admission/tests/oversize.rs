//! Pushes that their door could not read.

use super::*;

const LARGE: usize = 3 << 20;

fn with_source_rates(rates: impl FnOnce(&mut Rates)) -> AdmissionFixture {
    let mut config = config(&["*"]);
    rates(&mut config.quotas.source);
    AdmissionFixture::with_config(config)
}

fn too_large(room: &AdmissionFixture, client: &Arc<Client>) {
    room.admission.charge_oversized_push(client, ONE, LARGE, room.now, WALL);
}

#[test]
fn a_client_that_sends_nothing_else_stays_known() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    for _ in 0..5 {
        room.after(INTERVAL * 2);
        too_large(&room, &client.0);
        assert_eq!(room.admission.expire(room.now, WALL).len(), 0);
    }
    let known = room.admission.client(client.0.instance_id.expect("it has one")).expect("its TTL is armed anew");
    assert_eq!((known.pushes, known.refused), (5, 5));
    assert_eq!(known.last_refusal.map(|(code, _)| code), Some("too_large"));
    assert_eq!(code(room.push(push(&client))), "taken", "and what is small enough is served");
}

#[test]
fn bytes_that_were_not_read_count_obeyed() {
    let room = with_source_rates(|source| source.push_bytes = Some(2 * LARGE as u64));
    let client = room.join();
    too_large(&room, &client.0);
    assert_eq!(code(room.push(push(&client))), "taken", "there is a rest");
}

#[test]
fn bytes_that_were_not_read_count_violated() {
    for known_sender in [true, false] {
        let room = with_source_rates(|source| source.push_bytes = Some(LARGE as u64));
        let client = room.join();
        let sender = if known_sender { client.0.clone() } else { new_client() };
        too_large(&room, &sender);
        assert_eq!(code(room.push(push(&client))), "over_quota", "also where nobody knows whose they were");
        too_large(&room, &sender);
        let known = room.admission.client(client.0.instance_id.expect("it has one")).expect("it is known");
        assert_eq!(known.refused, if known_sender { 3 } else { 1 });
    }
}

#[test]
fn pushes_that_were_not_read_count() {
    let room = with_source_rates(|source| source.pushes = 3);
    let client = room.join();
    (0..3).for_each(|_| too_large(&room, &client.0));
    assert_eq!(code(room.push(push(&client))), "over_quota");
}

#[test]
fn an_unknown_client_is_inserted_within_the_quota() {
    let room = with_source_rates(|source| source.new_clients = 2);
    (1..=5).for_each(|n| too_large(&room, &client_with_id(InstanceId::from_bytes([n; 16]))));
    too_large(&room, &client_with_id(InstanceId::NIL));
    too_large(&room, &client_with_id(InstanceId::ONE));
    assert_eq!(room.admission.counts().instances, 2);
}
