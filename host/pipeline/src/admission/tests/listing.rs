//! What operators see.

use super::*;

#[test]
fn an_operator_sees_what_a_client_did() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let id = client.0.instance_id.expect("it joined");
    let later = WALL + INTERVAL;
    fixture.after(INTERVAL);
    fixture.push(Push { received_at: later, ..push(&client) }).expect("the first push is admitted");
    assert_eq!(code(fixture.push(Push { received_at: later, ..push(&client) })), "throttled");
    let known = fixture.admission.client(id).expect("it is known");
    assert_eq!((known.gets, known.pushes, known.refused), (1, 2, 1));
    assert_eq!(known.last_refusal, Some(("throttled", later)));
    assert_eq!((known.first_seen, known.last_seen), (WALL, later));
    assert_eq!((known.connections, known.gone), (1, false));
    assert_eq!(known.subscriptions, [Arc::from("s")]);
    assert_eq!(known.metrics.as_ref(), [Arc::from("org.apache.kafka.")]);
    fixture.admission.record_refusal(id, &Refusal::InvalidRecord("no metrics".into()));
    let after = fixture.admission.client(id).expect("it is known");
    assert_eq!((after.refused, after.last_refusal), (2, Some(("invalid_record", later))));
    fixture.admission.disconnected(ONE, WALL);
    let known = fixture.admission.client(id).expect("it is known");
    assert_eq!((known.connections, known.gone), (0, true));
    assert!(fixture.admission.client(InstanceId::from_bytes([9; 16])).is_none());
}

#[test]
fn a_forecast_counts_the_clients_that_a_change_affects() {
    let rule = |name: &str, metric: &str, id: &str| {
        let matches = [("client_id".to_owned(), id.to_owned())];
        SubscriptionRule::new(name, vec![metric.into()], Some(60_000), &matches).expect("a valid rule")
    };
    let with = |rules: Vec<SubscriptionRule>| AdmissionConfig { subscriptions: rules, ..without_quotas() };
    let fixture = AdmissionFixture::with_config(with(vec![rule("a", "x.", "a.*")]));
    for (id, connection) in [("a1", 1), ("a2", 2), ("b1", 3), ("gone", 4)] {
        let client = Arc::new(Client { client_id: Some(id.into()), ..Client::default() });
        fixture.admission.subscribe(&client, ConnectionId(connection), fixture.now, WALL).expect("a first Get");
    }
    fixture.admission.disconnected(ConnectionId(4), WALL);
    let forecast = |rules, name: &str| fixture.admission.forecast(&with(rules), name);
    let same = forecast(vec![rule("a", "x.", "a.*")], "a");
    assert_eq!(same, Forecast { clients: 3, matching: 2, changed: 0, settled_within: Duration::ZERO });
    let one = forecast(vec![rule("a", "x.", "a.*"), rule("b", "y.", "a1")], "b");
    assert_eq!(one, Forecast { clients: 3, matching: 1, changed: 1, settled_within: INTERVAL * 3 / 2 });
    let idle = forecast(vec![rule("a", "x.", "a.*|b1")], "a");
    assert_eq!(idle, Forecast { clients: 3, matching: 3, changed: 1, settled_within: Duration::from_secs(90) });
    assert_eq!(forecast(Vec::new(), "a").changed, 2);
}

#[test]
fn admitted_pushes_are_counted_per_get_and_per_subscription() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let id = client.0.instance_id.expect("it joined");
    let seen = |fixture: &AdmissionFixture| {
        fixture.admission.client(id).map(|known| (known.pushed_since_get, known.pushes_of_subscription))
    };
    assert_eq!(seen(&fixture), Some((false, 0)));
    fixture.push(push(&client)).expect("the first push is admitted");
    assert!(fixture.push(push(&client)).is_err(), "too early");
    assert_eq!(seen(&fixture), Some((true, 1)), "a refused push does not count");
    fixture.after(INTERVAL).push(push(&client)).expect("the interval has elapsed");
    assert_eq!(seen(&fixture), Some((true, 2)));
    assert!(fixture.subscribe(&client.0).is_err(), "too early");
    assert_eq!(seen(&fixture), Some((true, 2)), "a refused request changes nothing");
    fixture.admission.reconfigure(config(&["org.apache.kafka."]));
    fixture.after(INTERVAL).subscribe(&client.0).expect("the interval has elapsed");
    assert_eq!(seen(&fixture), Some((false, 2)), "it was sent the same subscription");
    fixture.admission.reconfigure(config(&["other."]));
    assert!(fixture.push(push(&client)).is_err(), "the subscription has changed");
    assert_eq!(seen(&fixture), Some((false, 0)));
}

#[test]
fn a_search_covers_more_than_one_page() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 2_000, ..config(&["*"]) });
    let clients: Vec<_> = (0..1_500u16)
        .map(|n| {
            fixture.after(Duration::from_millis(1));
            let client = Client { client_id: Some(format!("c{}", n % 3).into()), ..Client::default() };
            let wall = WALL + Duration::from_millis(n.into());
            let subscription =
                fixture.admission.subscribe(&Arc::new(client), ConnectionId(n.into()), fixture.now, wall);
            subscription.expect("a first Get").instance_id
        })
        .collect();
    let (matching, shown) = fixture.admission.clients_where(2, |known| known.client.client_id.as_deref() == Some("c1"));
    let ids: Vec<_> = shown.iter().filter_map(|known| known.client.instance_id).collect();
    assert_eq!((matching, ids), (500, vec![clients[1_498], clients[1_495]]));
    assert_eq!(fixture.admission.clients_where(0, |_| true).0, 1_500);
    let asks =
        |known: &ClientSnapshot| known.client.instance_id.is_some_and(|id| fixture.admission.client(id).is_some());
    assert_eq!(fixture.admission.clients_where(9, asks).0, 1_500, "the lock is not held during the call");
}
