//! What one connection, one source and one principal may send.

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

fn get_over(fixture: &AdmissionFixture, client: &Arc<Client>, connection: u64) -> &'static str {
    code(fixture.admission.subscribe(client, ConnectionId(connection), fixture.now, WALL))
}

/// A terminating push, which no other rule delays, of a client that gets "unknown subscription" if it is within quota.
fn push_over(fixture: &AdmissionFixture, client: &Arc<Client>, connection: u64) -> &'static str {
    let push = terminating_push(&(client.clone(), 1));
    code(fixture.admission.admit(push, ConnectionId(connection), fixture.now))
}

#[test]
fn new_clients_of_a_connection_obeyed() {
    let mut fixture = with_quotas(|quotas| quotas.connection = SMALL);
    assert_eq!([1, 2].map(|id| get_over(&fixture, &from(id, "10.0.0.1:1", None), 1)), ["admitted"; 2]);
    fixture.after(Duration::from_secs(30));
    assert_eq!(get_over(&fixture, &from(3, "10.0.0.1:1", None), 1), "admitted", "half a minute refills half of it");
}

#[test]
fn new_clients_of_a_connection_violated() {
    let fixture = with_quotas(|quotas| quotas.connection = SMALL);
    let ids = [1, 2, 3, 4].map(|id| get_over(&fixture, &from(id, "10.0.0.1:1", None), 1));
    assert_eq!(ids, ["admitted", "admitted", "over_quota", "over_quota"]);
    assert_eq!(fixture.admission.counts().instances, 2, "no state was inserted");
    assert_eq!(code(fixture.subscribe(&new_client())), "over_quota", "no id was issued");
    assert_eq!(push_over(&fixture, &from(5, "10.0.0.1:1", None), 1), "over_quota");
    assert_eq!(fixture.admission.counts().instances, 2);
    assert_eq!(get_over(&fixture, &from(3, "10.0.0.1:1", None), 2), "admitted", "another connection has its own quota");
    fixture.admission.disconnected(ConnectionId(1), WALL);
}

#[test]
fn a_push_with_the_current_subscription_id_is_not_charged_as_a_new_client() {
    let fixture = with_quotas(|quotas| quotas.connection.new_clients = 2);
    let elsewhere = with_quotas(|_| ());
    for id in 1..=5 {
        let client = from(id, "10.0.0.1:1", None);
        let subscription_id = elsewhere.subscribe(&client).expect("a first Get").id;
        assert_eq!(code(fixture.push(push(&(client, subscription_id)))), "admitted", "it was known to another host");
    }
    let wrong = [6, 7, 8].map(|id| push_over(&fixture, &from(id, "10.0.0.1:1", None), 1));
    assert_eq!(wrong, ["unknown_subscription", "unknown_subscription", "over_quota"]);
    assert_eq!(fixture.admission.counts().instances, 7, "no state was inserted");
}

#[test]
fn the_refusal_names_the_client_limit_where_clients_are_evicted() {
    let small = |capacity| {
        let config = AdmissionConfig { capacity, ..config(&["*"]) };
        let source = Rates { new_clients: 3, ..config.quotas.source };
        AdmissionFixture::with_config(AdmissionConfig { quotas: Quotas { source, ..config.quotas.clone() }, ..config })
    };
    let message = |fixture: &mut AdmissionFixture| {
        (0..3).for_each(|_| drop(fixture.join()));
        fixture.subscribe(&new_client()).expect_err("over quota").to_string()
    };
    assert!(message(&mut small(3)).contains("`limits.source`"));
    let mut fixture = small(2);
    let reason = message(&mut fixture);
    assert!(reason.contains("`limits.clients`") && reason.contains("evicted"), "{reason}");
    fixture.after(Duration::from_secs(120));
    let before = fixture.admission.lock().assignments.clone();
    fixture.admission.reconfigure(AdmissionConfig { capacity: 9, ..before.config().clone() });
    assert!(message(&mut fixture).contains("`limits.source`"), "not after the last eviction was long ago");
}

#[test]
fn pushes_of_a_connection_obeyed() {
    let mut fixture = with_quotas(|quotas| quotas.connection = SMALL);
    let client = from(1, "10.0.0.1:1", None);
    for _ in 0..20 {
        assert_eq!(push_over(&fixture, &client, 1), "unknown_subscription");
        fixture.after(Duration::from_secs(20));
    }
}

#[test]
fn pushes_of_a_connection_violated() {
    let mut fixture = with_quotas(|quotas| quotas.connection = SMALL);
    let client = from(1, "10.0.0.1:1", None);
    (0..3).for_each(|_| assert_eq!(push_over(&fixture, &client, 1), "unknown_subscription"));
    assert_eq!(push_over(&fixture, &client, 1), "over_quota", "a terminating push as well");
    let known = fixture.admission.client(InstanceId::from_bytes([1; 16])).expect("it is known");
    assert_eq!((known.pushes, known.last_refusal.map(|(code, _)| code)), (4, Some("over_quota")));
    assert_eq!(
        push_over(fixture.after(Duration::from_secs(20)), &client, 1),
        "unknown_subscription",
        "the quota has refilled"
    );
}

#[test]
fn a_source_has_one_quota_over_all_its_connections() {
    let fixture = with_quotas(|quotas| quotas.source = SMALL);
    let get = |id, source| get_over(&fixture, &from(id, source, None), u64::from(id));
    assert_eq!(
        [get(1, "10.0.0.1:1"), get(2, "10.0.0.1:2"), get(3, "10.0.0.1:3")],
        ["admitted", "admitted", "over_quota"]
    );
    assert_eq!(get(4, "10.0.0.2:1"), "admitted", "another source has its own quota");
    let known = from(1, "10.0.0.1:1", None);
    let pushes = [1, 2, 3, 4].map(|connection| push_over(&fixture, &known, connection));
    assert_eq!(pushes.last(), Some(&"over_quota"));
    let outcome = fixture.admission.subscribe(&from(9, "10.0.0.1:9", None), ConnectionId(9), fixture.now, WALL);
    let message = outcome.expect_err("over quota").to_string();
    assert!(message.contains("one source") && message.contains("limits.source"), "{message}");
}

#[test]
fn bytes_of_pushes_obeyed_and_violated() {
    let fixture = with_quotas(|quotas| quotas.source = SMALL);
    let push = |id: u8, bytes: usize| {
        let push = Push { wire: vec![0; bytes].into(), ..terminating_push(&(from(id, "10.0.0.1:1", None), 1)) };
        code(fixture.admission.admit(push, ONE, fixture.now))
    };
    assert_eq!([push(1, 60), push(1, 40)], ["unknown_subscription"; 2]);
    assert_eq!(push(1, 1), "over_quota");
}

#[test]
fn a_principals_quota_replaces_the_sources() {
    let fixture = with_quotas(|quotas| {
        quotas.source = SMALL;
        quotas.principals.insert("User:big".into(), Rates { new_clients: 4, ..SMALL });
    });
    let ids = |principal| {
        [1, 2, 3, 4, 5].map(|id| get_over(&fixture, &from(id, "10.0.0.1:1", Some(principal)), u64::from(id)))
    };
    assert_eq!(ids("User:big"), ["admitted", "admitted", "admitted", "admitted", "over_quota"]);
    let small = [11, 12, 13].map(|id| get_over(&fixture, &from(id, "10.0.0.1:1", Some("User:small")), u64::from(id)));
    assert_eq!(small, ["admitted", "admitted", "over_quota"]);
}

#[test]
fn default_quotas_admit_thousands_behind_one_address() {
    let config = AdmissionConfig { quotas: Quotas::default(), ..config(&["*"]) };
    let fixture = AdmissionFixture::with_config(config);
    let all = (0..10_000).map(|n| {
        let client = Client { source: "192.0.2.1:1".parse().ok(), ..Client::default() };
        fixture.admission.subscribe(&Arc::new(client), ConnectionId(n), fixture.now, WALL)
    });
    assert!(all.into_iter().all(|answer| answer.is_ok()));
}
