//! What operators see.

use super::*;

#[test]
fn an_operator_sees_what_a_client_did() {
    let mut room = Room::new();
    let client = room.join();
    let id = client.0.instance_id.expect("it joined");
    let later = WALL + INTERVAL;
    room.after(INTERVAL);
    room.push(Push { received_at: later, ..push(&client) }).expect("the first push passes");
    assert_eq!(code(room.push(Push { received_at: later, ..push(&client) })), "throttled");
    let known = room.admission.client(id).expect("it is known");
    assert_eq!((known.gets, known.pushes, known.refused), (1, 2, 1));
    assert_eq!(known.last_refusal, Some(("throttled", later)));
    assert_eq!((known.since, known.last_seen), (WALL, later));
    assert_eq!((known.connections, known.gone), (1, false));
    assert_eq!(known.subscriptions, [Arc::from("s")]);
    assert_eq!(known.metrics.as_ref(), [Arc::from("org.apache.kafka.")]);
    room.admission.refused(id, &Refusal::InvalidRecord("no metrics".into()));
    let after = room.admission.client(id).expect("it is known");
    assert_eq!((after.refused, after.last_refusal), (2, Some(("invalid_record", later))));
    room.admission.disconnected(ONE, WALL);
    let known = room.admission.client(id).expect("it is known");
    assert_eq!((known.connections, known.gone), (0, true));
    assert!(room.admission.client(InstanceId::from_bytes([9; 16])).is_none());
}

#[test]
fn a_forecast_tells_whom_a_change_concerns_and_when() {
    let rule = |name: &str, metric: &str, id: &str| {
        let matches = [("client_id".to_owned(), id.to_owned())];
        SubscriptionRule::new(name, vec![metric.into()], Some(60_000), &matches).expect("a sound rule")
    };
    let with = |rules: Vec<SubscriptionRule>| Config { subscriptions: rules, ..open() };
    let room = Room::with(with(vec![rule("a", "x.", "a.*")]));
    for (id, connection) in [("a1", 1), ("a2", 2), ("b1", 3), ("gone", 4)] {
        let client = Arc::new(Client { client_id: Some(id.into()), ..Client::default() });
        room.admission.subscribe(&client, ConnectionId(connection), room.now, WALL).expect("a first Get");
    }
    room.admission.disconnected(ConnectionId(4), WALL);
    let told = |rules, name: &str| room.admission.forecast(&with(rules), name);
    let same = told(vec![rule("a", "x.", "a.*")], "a");
    assert_eq!(same, Forecast { clients: 3, matching: 2, changed: 0, by: Duration::ZERO });
    let one = told(vec![rule("a", "x.", "a.*"), rule("b", "y.", "a1")], "b");
    assert_eq!(one, Forecast { clients: 3, matching: 1, changed: 1, by: INTERVAL * 3 / 2 });
    let idle = told(vec![rule("a", "x.", "a.*|b1")], "a");
    assert_eq!(idle, Forecast { clients: 3, matching: 3, changed: 1, by: Duration::from_secs(90) });
    assert_eq!(told(Vec::new(), "a").changed, 2);
}
