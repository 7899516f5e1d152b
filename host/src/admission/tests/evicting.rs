//! Clients that are forgotten for want of room are told gone.

use super::*;

/// A client of its own source with a push that was let pass.
fn established_client(room: &AdmissionFixture, n: u32) -> (Arc<Client>, i32) {
    let source = Some(std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 1)));
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    let client = Arc::new(Client { instance_id: Some(InstanceId::from_bytes(bytes)), source, ..Client::default() });
    let subscription = room.admission.subscribe(&client, ConnectionId(n.into()), room.now, WALL).expect("a first Get");
    let client = (client, subscription.id);
    room.admission.admit(push(&client), ConnectionId(n.into()), room.now).expect("a first push");
    client
}

fn expired(room: &AdmissionFixture) -> Vec<(Option<InstanceId>, DepartureReason)> {
    let gone = room.admission.expire(room.now, WALL);
    gone.into_iter().map(|gone| (gone.client.instance_id, gone.reason)).collect()
}

#[test]
fn an_evicted_client_is_reported_gone_once() {
    let room = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| established_client(&room, n));
    assert_eq!(expired(&room), [(clients[0].0.instance_id, DepartureReason::Expired)]);
    assert_eq!(expired(&room), []);
    room.admission.reconfigure(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    assert_eq!(expired(&room), [(clients[1].0.instance_id, DepartureReason::Expired)], "also when the table shrinks");
}

#[test]
fn unestablished_clients_are_evicted_without_a_report() {
    let room = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| established_client(&room, n));
    (0..1_000).for_each(|_| drop(room.join()));
    assert_eq!(expired(&room), [0, 1].map(|n: usize| (clients[n].0.instance_id, DepartureReason::Expired)));
}

#[test]
fn a_client_that_returned_or_was_reported_gone_is_not_reported_again() {
    let room = AdmissionFixture::with_config(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    let first = established_client(&room, 1);
    let second = established_client(&room, 2);
    room.admission.admit(push(&first), ONE, room.now).expect("hosts agree on subscription ids");
    assert_eq!(expired(&room), [(second.0.instance_id, DepartureReason::Expired)]);
    room.admission.disconnected(ONE, WALL).pop().expect("it is gone");
    established_client(&room, 3);
    assert_eq!(expired(&room), [], "its last connection was closed before");
}

#[test]
fn a_client_that_returns_with_a_get_stays_established() {
    let room = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| established_client(&room, n));
    room.subscribe(&clients[0].0).expect("its state is new");
    room.join();
    established_client(&room, 4);
    let reported: Vec<_> = expired(&room).into_iter().map(|(id, _)| id).collect();
    assert!(
        reported.contains(&clients[1].0.instance_id) && reported.contains(&clients[2].0.instance_id),
        "{reported:?}"
    );
    assert_eq!(reported.len(), 2);
}

#[test]
fn evicted_clients_waiting_for_a_report_obeyed_and_violated() {
    let room = AdmissionFixture::with_config(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    (0..=16_384).for_each(|n| drop(established_client(&room, n)));
    assert_eq!(room.admission.counts().unreported, 0);
    let next = established_client(&room, 16_385);
    assert_eq!(room.admission.counts().unreported, 1, "the one that was forgotten first");
    let gone = expired(&room);
    assert_eq!(gone.len(), 16_384);
    assert!(gone.iter().all(|(id, _)| *id != next.0.instance_id));
}
