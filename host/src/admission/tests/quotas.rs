//! What one connection, one source and one principal may bring.

use super::*;

const SMALL: Rates = Rates { new_clients: 2, pushes: 3, push_bytes: Some(100) };

fn with(change: impl FnOnce(&mut Quotas)) -> Room {
    let mut config = config(&["*"]);
    change(&mut config.quotas);
    Room::with(config)
}

fn from(id: u8, source: &str, principal: Option<&str>) -> Arc<Client> {
    let source = Some(source.parse().expect("an address"));
    let instance_id = Some(InstanceId::from_bytes([id; 16]));
    Arc::new(Client { instance_id, source, principal: principal.map(Arc::from), ..Client::default() })
}

fn get_over(room: &Room, client: &Arc<Client>, connection: u64) -> &'static str {
    code(room.admission.subscribe(client, ConnectionId(connection), room.now, WALL))
}

/// A terminating push, which no other rule holds back, of a client that is told "unknown subscription" if it may.
fn push_over(room: &Room, client: &Arc<Client>, connection: u64) -> &'static str {
    let push = last(&(client.clone(), 1));
    code(room.admission.admit(push, ConnectionId(connection), room.now))
}

#[test]
fn new_clients_of_a_connection_obeyed() {
    let mut room = with(|quotas| quotas.connection = SMALL);
    assert_eq!([1, 2].map(|id| get_over(&room, &from(id, "10.0.0.1:1", None), 1)), ["taken"; 2]);
    room.after(Duration::from_secs(30));
    assert_eq!(get_over(&room, &from(3, "10.0.0.1:1", None), 1), "taken", "half a minute, half of it");
}

#[test]
fn new_clients_of_a_connection_violated() {
    let room = with(|quotas| quotas.connection = SMALL);
    let ids = [1, 2, 3, 4].map(|id| get_over(&room, &from(id, "10.0.0.1:1", None), 1));
    assert_eq!(ids, ["taken", "taken", "over_quota", "over_quota"]);
    assert_eq!(room.admission.counts().instances, 2, "no state was made");
    assert_eq!(code(room.get(&nobody())), "over_quota", "nor an id");
    assert_eq!(push_over(&room, &from(5, "10.0.0.1:1", None), 1), "over_quota");
    assert_eq!(room.admission.counts().instances, 2);
    assert_eq!(get_over(&room, &from(3, "10.0.0.1:1", None), 2), "taken", "another connection has its own");
    room.admission.disconnected(ConnectionId(1), WALL);
}

#[test]
fn a_push_by_the_right_subscription_makes_its_clients_state_for_nothing() {
    let room = with(|quotas| quotas.connection.new_clients = 2);
    let elsewhere = with(|_| ());
    for id in 1..=5 {
        let client = from(id, "10.0.0.1:1", None);
        let told = elsewhere.get(&client).expect("a first Get").id;
        assert_eq!(code(room.push(push(&(client, told)))), "taken", "it was known before");
    }
    let wrong = [6, 7, 8].map(|id| push_over(&room, &from(id, "10.0.0.1:1", None), 1));
    assert_eq!(wrong, ["unknown_subscription", "unknown_subscription", "over_quota"]);
    assert_eq!(room.admission.counts().instances, 7, "no state was made");
}

#[test]
fn where_clients_are_forgotten_the_words_say_so() {
    let small = |capacity| {
        let config = Config { capacity, ..config(&["*"]) };
        let source = Rates { new_clients: 3, ..config.quotas.source };
        Room::with(Config { quotas: Quotas { source, ..config.quotas.clone() }, ..config })
    };
    let words = |room: &mut Room| {
        (0..3).for_each(|_| drop(room.join()));
        room.get(&nobody()).expect_err("over quota").to_string()
    };
    assert!(words(&mut small(3)).contains("`limits.source`"));
    let mut room = small(2);
    let told = words(&mut room);
    assert!(told.contains("`limits.clients`") && told.contains("forgotten"), "{told}");
    room.after(Duration::from_secs(120));
    let before = room.admission.lock().answers.clone();
    room.admission.reconfigure(Config { capacity: 9, ..before.config().clone() });
    assert!(words(&mut room).contains("`limits.source`"), "not where that was long ago");
}

#[test]
fn pushes_of_a_connection_obeyed() {
    let mut room = with(|quotas| quotas.connection = SMALL);
    let client = from(1, "10.0.0.1:1", None);
    for _ in 0..20 {
        assert_eq!(push_over(&room, &client, 1), "unknown_subscription");
        room.after(Duration::from_secs(20));
    }
}

#[test]
fn pushes_of_a_connection_violated() {
    let mut room = with(|quotas| quotas.connection = SMALL);
    let client = from(1, "10.0.0.1:1", None);
    (0..3).for_each(|_| assert_eq!(push_over(&room, &client, 1), "unknown_subscription"));
    assert_eq!(push_over(&room, &client, 1), "over_quota", "also a terminating one");
    let known = room.admission.client(InstanceId::from_bytes([1; 16])).expect("it is known");
    assert_eq!((known.pushes, known.last_refusal.map(|(code, _)| code)), (4, Some("over_quota")));
    assert_eq!(push_over(room.after(Duration::from_secs(20)), &client, 1), "unknown_subscription", "it comes back");
}

#[test]
fn a_source_has_one_quota_over_all_its_connections() {
    let room = with(|quotas| quotas.source = SMALL);
    let get = |id, source| get_over(&room, &from(id, source, None), u64::from(id));
    assert_eq!([get(1, "10.0.0.1:1"), get(2, "10.0.0.1:2"), get(3, "10.0.0.1:3")], ["taken", "taken", "over_quota"]);
    assert_eq!(get(4, "10.0.0.2:1"), "taken", "another source has its own");
    let known = from(1, "10.0.0.1:1", None);
    let pushes = [1, 2, 3, 4].map(|connection| push_over(&room, &known, connection));
    assert_eq!(pushes.last(), Some(&"over_quota"));
    let words = room.admission.subscribe(&from(9, "10.0.0.1:9", None), ConnectionId(9), room.now, WALL);
    let words = words.expect_err("over quota").to_string();
    assert!(words.contains("one source") && words.contains("limits.source"), "{words}");
}

#[test]
fn bytes_of_pushes_obeyed_and_violated() {
    let room = with(|quotas| quotas.source = SMALL);
    let push = |id: u8, bytes: usize| {
        let push = Push { wire: vec![0; bytes].into(), ..last(&(from(id, "10.0.0.1:1", None), 1)) };
        code(room.admission.admit(push, ONE, room.now))
    };
    assert_eq!([push(1, 60), push(1, 40)], ["unknown_subscription"; 2]);
    assert_eq!(push(1, 1), "over_quota");
}

#[test]
fn a_principals_quota_replaces_the_sources() {
    let room = with(|quotas| {
        quotas.source = SMALL;
        quotas.principals.insert("User:big".into(), Rates { new_clients: 4, ..SMALL });
    });
    let ids = |who| [1, 2, 3, 4, 5].map(|id| get_over(&room, &from(id, "10.0.0.1:1", Some(who)), u64::from(id)));
    assert_eq!(ids("User:big"), ["taken", "taken", "taken", "taken", "over_quota"]);
    let small = [11, 12, 13].map(|id| get_over(&room, &from(id, "10.0.0.1:1", Some("User:small")), u64::from(id)));
    assert_eq!(small, ["taken", "taken", "over_quota"]);
}

#[test]
fn defaults_hold_thousands_behind_one_address() {
    let config = Config { quotas: Quotas::default(), ..config(&["*"]) };
    let room = Room::with(config);
    let all = (0..10_000).map(|n| {
        let client = Client { source: "192.0.2.1:1".parse().ok(), ..Client::default() };
        room.admission.subscribe(&Arc::new(client), ConnectionId(n), room.now, WALL)
    });
    assert!(all.into_iter().all(|answer| answer.is_ok()));
}
