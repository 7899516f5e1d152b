//! What one connection, one source and one principal may bring.

use super::*;

const SMALL: Rates = Rates { new_clients: 2, pushes: 3, push_bytes: Some(100) };

fn with_quotas(change: impl FnOnce(&mut Quotas)) -> AdmissionFixture {
    let mut config = config(&["*"]);
    change(&mut config.quotas);
    AdmissionFixture::with_config(config)
}

fn from(id: u8, source: &str, principal: Option<&str>) -> Arc<Client> {
    let source = Some(source.parse().expect("an address"));
    let instance_id = Some(InstanceId::from_bytes([id; 16]));
    Arc::new(Client { instance_id, source, principal: principal.map(Arc::from), ..Client::default() })
}

fn get_over(room: &AdmissionFixture, client: &Arc<Client>, connection: u64) -> &'static str {
    code(room.admission.subscribe(client, ConnectionId(connection), room.now, WALL))
}

/// A terminating push, which no other rule holds back, of a client that is told "unknown subscription" if it may.
fn push_over(room: &AdmissionFixture, client: &Arc<Client>, connection: u64) -> &'static str {
    let push = terminating_push(&(client.clone(), 1));
    code(room.admission.admit(push, ConnectionId(connection), room.now))
}

#[test]
fn new_clients_of_a_connection_obeyed() {
    let mut room = with_quotas(|quotas| quotas.connection = SMALL);
    assert_eq!([1, 2].map(|id| get_over(&room, &from(id, "10.0.0.1:1", None), 1)), ["taken"; 2]);
    room.after(Duration::from_secs(30));
    assert_eq!(get_over(&room, &from(3, "10.0.0.1:1", None), 1), "taken", "half a minute, half of it");
}

#[test]
fn new_clients_of_a_connection_violated() {
    let room = with_quotas(|quotas| quotas.connection = SMALL);
    let ids = [1, 2, 3, 4].map(|id| get_over(&room, &from(id, "10.0.0.1:1", None), 1));
    assert_eq!(ids, ["taken", "taken", "over_quota", "over_quota"]);
    assert_eq!(room.admission.counts().instances, 2, "no state was made");
    assert_eq!(code(room.subscribe(&new_client())), "over_quota", "nor an id");
    assert_eq!(push_over(&room, &from(5, "10.0.0.1:1", None), 1), "over_quota");
    assert_eq!(room.admission.counts().instances, 2);
    assert_eq!(get_over(&room, &from(3, "10.0.0.1:1", None), 2), "taken", "another connection has its own");
    room.admission.disconnected(ConnectionId(1), WALL);
}

#[test]
fn a_push_with_the_current_subscription_id_is_not_charged_as_a_new_client() {
    let room = with_quotas(|quotas| quotas.connection.new_clients = 2);
    let elsewhere = with_quotas(|_| ());
    for id in 1..=5 {
        let client = from(id, "10.0.0.1:1", None);
        let subscription_id = elsewhere.subscribe(&client).expect("a first Get").id;
        assert_eq!(code(room.push(push(&(client, subscription_id)))), "taken", "it was known before");
    }
    let wrong = [6, 7, 8].map(|id| push_over(&room, &from(id, "10.0.0.1:1", None), 1));
    assert_eq!(wrong, ["unknown_subscription", "unknown_subscription", "over_quota"]);
    assert_eq!(room.admission.counts().instances, 7, "no state was made");
}

#[test]
fn the_refusal_names_the_client_limit_where_clients_are_evicted() {
    let small = |capacity| {
        let config = AdmissionConfig { capacity, ..config(&["*"]) };
        let source = Rates { new_clients: 3, ..config.quotas.source };
        AdmissionFixture::with_config(AdmissionConfig { quotas: Quotas { source, ..config.quotas.clone() }, ..config })
    };
    let message = |room: &mut AdmissionFixture| {
        (0..3).for_each(|_| drop(room.join()));
        room.subscribe(&new_client()).expect_err("over quota").to_string()
    };
    assert!(message(&mut small(3)).contains("`limits.source`"));
    let mut room = small(2);
    let reason = message(&mut room);
    assert!(reason.contains("`limits.clients`") && reason.contains("forgotten"), "{reason}");
    room.after(Duration::from_secs(120));
    let before = room.admission.lock().assignments.clone();
    room.admission.reconfigure(AdmissionConfig { capacity: 9, ..before.config().clone() });
    assert!(message(&mut room).contains("`limits.source`"), "not where that was long ago");
}

#[test]
fn pushes_of_a_connection_obeyed() {
    let mut room = with_quotas(|quotas| quotas.connection = SMALL);
    let client = from(1, "10.0.0.1:1", None);
    for _ in 0..20 {
        assert_eq!(push_over(&room, &client, 1), "unknown_subscription");
        room.after(Duration::from_secs(20));
    }
}

#[test]
fn pushes_of_a_connection_violated() {
    let mut room = with_quotas(|quotas| quotas.connection = SMALL);
    let client = from(1, "10.0.0.1:1", None);
    (0..3).for_each(|_| assert_eq!(push_over(&room, &client, 1), "unknown_subscription"));
    assert_eq!(push_over(&room, &client, 1), "over_quota", "also a terminating one");
    let known = room.admission.client(InstanceId::from_bytes([1; 16])).expect("it is known");
    assert_eq!((known.pushes, known.last_refusal.map(|(code, _)| code)), (4, Some("over_quota")));
    assert_eq!(push_over(room.after(Duration::from_secs(20)), &client, 1), "unknown_subscription", "it comes back");
}

#[test]
fn a_source_has_one_quota_over_all_its_connections() {
    let room = with_quotas(|quotas| quotas.source = SMALL);
    let get = |id, source| get_over(&room, &from(id, source, None), u64::from(id));
    assert_eq!([get(1, "10.0.0.1:1"), get(2, "10.0.0.1:2"), get(3, "10.0.0.1:3")], ["taken", "taken", "over_quota"]);
    assert_eq!(get(4, "10.0.0.2:1"), "taken", "another source has its own");
    let known = from(1, "10.0.0.1:1", None);
    let pushes = [1, 2, 3, 4].map(|connection| push_over(&room, &known, connection));
    assert_eq!(pushes.last(), Some(&"over_quota"));
    let outcome = room.admission.subscribe(&from(9, "10.0.0.1:9", None), ConnectionId(9), room.now, WALL);
    let message = outcome.expect_err("over quota").to_string();
    assert!(message.contains("one source") && message.contains("limits.source"), "{message}");
}

#[test]
fn bytes_of_pushes_obeyed_and_violated() {
    let room = with_quotas(|quotas| quotas.source = SMALL);
    let push = |id: u8, bytes: usize| {
        let push = Push { wire: vec![0; bytes].into(), ..terminating_push(&(from(id, "10.0.0.1:1", None), 1)) };
        code(room.admission.admit(push, ONE, room.now))
    };
    assert_eq!([push(1, 60), push(1, 40)], ["unknown_subscription"; 2]);
    assert_eq!(push(1, 1), "over_quota");
}

#[test]
fn a_principals_quota_replaces_the_sources() {
    let room = with_quotas(|quotas| {
        quotas.source = SMALL;
        quotas.principals.insert("User:big".into(), Rates { new_clients: 4, ..SMALL });
    });
    let ids = |who| [1, 2, 3, 4, 5].map(|id| get_over(&room, &from(id, "10.0.0.1:1", Some(who)), u64::from(id)));
    assert_eq!(ids("User:big"), ["taken", "taken", "taken", "taken", "over_quota"]);
    let small = [11, 12, 13].map(|id| get_over(&room, &from(id, "10.0.0.1:1", Some("User:small")), u64::from(id)));
    assert_eq!(small, ["taken", "taken", "over_quota"]);
}

#[test]
fn default_quotas_admit_thousands_behind_one_address() {
    let config = AdmissionConfig { quotas: Quotas::default(), ..config(&["*"]) };
    let room = AdmissionFixture::with_config(config);
    let all = (0..10_000).map(|n| {
        let client = Client { source: "192.0.2.1:1".parse().ok(), ..Client::default() };
        room.admission.subscribe(&Arc::new(client), ConnectionId(n), room.now, WALL)
    });
    assert!(all.into_iter().all(|answer| answer.is_ok()));
}
