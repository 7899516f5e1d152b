//! Evicted clients are reported as gone.

use super::*;

/// A client with its own source and an admitted push.
fn established_client(fixture: &AdmissionFixture, n: u32) -> (Arc<Client>, i32) {
    let source = Some(std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 1)));
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    let client = Arc::new(Client { instance_id: Some(InstanceId::from_bytes(bytes)), source, ..Client::default() });
    let subscription =
        fixture.admission.subscribe(&client, ConnectionId(n.into()), fixture.now, WALL).expect("a first Get");
    let client = (client, subscription.id);
    fixture.admission.admit(push(&client), ConnectionId(n.into()), fixture.now).expect("a first push");
    client
}

fn expired(fixture: &AdmissionFixture) -> Vec<(Option<InstanceId>, DepartureReason)> {
    let gone = fixture.admission.expire(fixture.now, WALL);
    gone.into_iter().map(|gone| (gone.client.instance_id, gone.reason)).collect()
}

#[test]
fn an_evicted_client_is_reported_gone_once() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| established_client(&fixture, n));
    assert_eq!(expired(&fixture), [(clients[0].0.instance_id, DepartureReason::Expired)]);
    assert_eq!(expired(&fixture), []);
    fixture.admission.reconfigure(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    assert_eq!(
        expired(&fixture),
        [(clients[1].0.instance_id, DepartureReason::Expired)],
        "also when the table shrinks"
    );
}

#[test]
fn unestablished_clients_are_evicted_without_a_report() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| established_client(&fixture, n));
    (0..1_000).for_each(|_| drop(fixture.join()));
    assert_eq!(expired(&fixture), [0, 1].map(|n: usize| (clients[n].0.instance_id, DepartureReason::Expired)));
}

#[test]
fn a_client_that_returned_or_was_reported_gone_is_not_reported_again() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    let first = established_client(&fixture, 1);
    let second = established_client(&fixture, 2);
    fixture.admission.admit(push(&first), ONE, fixture.now).expect("hosts agree on subscription ids");
    assert_eq!(expired(&fixture), [(second.0.instance_id, DepartureReason::Expired)]);
    fixture.admission.disconnected(ONE, WALL).pop().expect("it is gone");
    established_client(&fixture, 3);
    assert_eq!(expired(&fixture), [], "its last connection was closed before");
}

#[test]
fn a_client_that_returns_with_a_get_stays_established() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| established_client(&fixture, n));
    fixture.subscribe(&clients[0].0).expect("its state is inserted anew");
    fixture.join();
    established_client(&fixture, 4);
    let reported: Vec<_> = expired(&fixture).into_iter().map(|(id, _)| id).collect();
    assert!(
        reported.contains(&clients[1].0.instance_id) && reported.contains(&clients[2].0.instance_id),
        "{reported:?}"
    );
    assert_eq!(reported.len(), 2);
}

#[test]
fn evicted_clients_waiting_for_a_report_obeyed_and_violated() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    (0..=16_384).for_each(|n| drop(established_client(&fixture, n)));
    assert_eq!(fixture.admission.counts().unreported, 0);
    let next = established_client(&fixture, 16_385);
    assert_eq!(fixture.admission.counts().unreported, 1, "the one that was evicted first");
    let gone = expired(&fixture);
    assert_eq!(gone.len(), 16_384);
    assert!(gone.iter().all(|(id, _)| *id != next.0.instance_id));
}
