//! Clients that are forgotten for want of room are told gone.

use super::*;

/// A client of its own source with a push that was let pass.
fn pushes(room: &Room, n: u32) -> (Arc<Client>, i32) {
    let source = Some(std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 1)));
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    let client = Arc::new(Client { instance_id: Some(InstanceId::from_bytes(bytes)), source, ..Client::default() });
    let told = room.admission.subscribe(&client, ConnectionId(n.into()), room.now, WALL).expect("a first Get");
    let client = (client, told.id);
    room.admission.admit(push(&client), ConnectionId(n.into()), room.now).expect("a first push");
    client
}

fn gone(room: &Room) -> Vec<(Option<InstanceId>, GoneReason)> {
    let gone = room.admission.expire(room.now, WALL);
    gone.into_iter().map(|gone| (gone.client.instance_id, gone.reason)).collect()
}

#[test]
fn who_is_forgotten_for_want_of_room_is_told_gone_once() {
    let room = Room::with(Config { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| pushes(&room, n));
    assert_eq!(gone(&room), [(clients[0].0.instance_id, GoneReason::Expired)]);
    assert_eq!(gone(&room), []);
    room.admission.reconfigure(Config { capacity: 1, ..config(&["*"]) });
    assert_eq!(gone(&room), [(clients[1].0.instance_id, GoneReason::Expired)], "also when the table shrinks");
}

#[test]
fn strangers_go_unheard_and_displace_no_one_who_waits_to_be_told() {
    let room = Room::with(Config { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| pushes(&room, n));
    (0..1_000).for_each(|_| drop(room.join()));
    assert_eq!(gone(&room), [0, 1].map(|n: usize| (clients[n].0.instance_id, GoneReason::Expired)));
}

#[test]
fn who_comes_back_or_was_told_gone_is_not_told_again() {
    let room = Room::with(Config { capacity: 1, ..config(&["*"]) });
    let first = pushes(&room, 1);
    let second = pushes(&room, 2);
    room.admission.admit(push(&first), ONE, room.now).expect("hosts agree on subscription ids");
    assert_eq!(gone(&room), [(second.0.instance_id, GoneReason::Expired)]);
    room.admission.disconnected(ONE, WALL).pop().expect("it is gone");
    pushes(&room, 3);
    assert_eq!(gone(&room), [], "its last connection was closed before");
}

#[test]
fn who_comes_back_with_a_question_is_no_stranger() {
    let room = Room::with(Config { capacity: 2, ..config(&["*"]) });
    let clients = [1, 2, 3].map(|n| pushes(&room, n));
    room.get(&clients[0].0).expect("its state is new");
    room.join();
    pushes(&room, 4);
    let told: Vec<_> = gone(&room).into_iter().map(|(id, _)| id).collect();
    assert!(told.contains(&clients[1].0.instance_id) && told.contains(&clients[2].0.instance_id), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn waiting_to_be_told_obeyed_and_violated() {
    let room = Room::with(Config { capacity: 1, ..config(&["*"]) });
    (0..=16_384).for_each(|n| drop(pushes(&room, n)));
    assert_eq!(room.admission.counts().untold, 0);
    let next = pushes(&room, 16_385);
    assert_eq!(room.admission.counts().untold, 1, "the one that was forgotten first");
    let gone = gone(&room);
    assert_eq!(gone.len(), 16_384);
    assert!(gone.iter().all(|(id, _)| *id != next.0.instance_id));
}
