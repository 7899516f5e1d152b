//! KIP-714 in detail: the items of the conformance list that concern admission, by their number there.

use super::*;

#[test]
fn conformance_03_the_instance_id_is_echoed_and_never_nil() {
    let fixture = AdmissionFixture::new();
    for client in [new_client(), client_with_id(InstanceId::NIL), client_with_id(InstanceId::ONE)] {
        assert!(!fixture.subscribe(&client).expect("a first Get").instance_id.is_reserved());
    }
    let mine = InstanceId::from_bytes([7; 16]);
    assert_eq!(fixture.subscribe(&client_with_id(mine)).expect("a first Get").instance_id, mine);
    fixture.admission.disconnected(ONE, WALL);
    assert_eq!(
        fixture.subscribe(&client_with_id(mine)).expect("a Get on a new connection").instance_id,
        mine,
        "a second time as well"
    );
}

#[test]
fn conformance_04_unknown_ids_are_accepted() {
    let fixture = AdmissionFixture::new();
    let (mine, other) = (InstanceId::from_bytes([7; 16]), InstanceId::from_bytes([8; 16]));
    let id = fixture.subscribe(&client_with_id(mine)).expect("a Get under an unknown id").id;
    let elsewhere = AdmissionFixture::new();
    let after_failover = elsewhere.push(push(&(client_with_id(mine), id)));
    assert_eq!(code(after_failover), "admitted", "hosts agree on subscription ids, so a failover costs nothing");
    assert_eq!(
        code(elsewhere.push(push(&(client_with_id(other), 1)))),
        "unknown_subscription",
        "and a state is inserted"
    );
    assert_eq!(elsewhere.admission.counts().instances, 2);
    for reserved in [InstanceId::NIL, InstanceId::ONE] {
        assert_eq!(code(elsewhere.push(push(&(client_with_id(reserved), 1)))), "invalid_request");
    }
    assert_eq!(elsewhere.admission.counts().instances, 2, "none is inserted for those");
}

#[test]
fn conformance_04_no_metrics_and_codec_none_are_accepted() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    let empty = Push { wire: Bytes::new(), codec: 0, ..push(&client) };
    assert_eq!(code(fixture.push(empty)), "admitted");
    for codec in 1..5 {
        assert_eq!(code(fixture.after(INTERVAL).push(Push { codec, ..push(&client) })), "admitted");
    }
}

#[test]
fn conformance_05_pushes_are_checked_in_order() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 8, ..config(&["*"]) });
    let client = fixture.join();
    // Everything is wrong with it; each correction reveals the next error.
    let wrong = Push { subscription_id: Some(client.1 ^ 1), codec: 9, wire: vec![0; 9].into(), ..push(&client) };
    let nil = Push { client: client_with_id(InstanceId::NIL), ..wrong.clone() };
    assert_eq!(code(fixture.push(nil)), "invalid_request");
    assert_eq!(code(fixture.push(wrong.clone())), "unknown_subscription");
    assert_eq!(code(fixture.push(wrong.clone())), "throttled", "before the subscription id");
    let terminating = Push { terminating: true, ..wrong.clone() };
    assert_eq!(code(fixture.push(terminating)), "unknown_subscription", "a terminating push is never too early");
    let right = Push { subscription_id: Some(client.1), ..wrong };
    assert_eq!(code(fixture.after(INTERVAL).push(right.clone())), "unsupported_compression");
    assert_eq!(code(fixture.after(INTERVAL).push(Push { codec: 0, ..right })), "too_large");
    fixture.after(INTERVAL).leave(&client, ONE).expect("it is gone");
    let after = Push { codec: 9, ..push(&client) };
    assert_eq!(code(fixture.push(after)), "invalid_request", "before everything but the id");
}

#[test]
fn conformance_06_a_get_allowed_early_counts_as_a_get() {
    for excuse in
        [Push { codec: 9, ..push(&(new_client(), 0)) }, Push { subscription_id: None, ..push(&(new_client(), 0)) }]
    {
        let mut fixture = AdmissionFixture::new();
        let client = fixture.join();
        assert_eq!(code(fixture.subscribe(&client.0)), "throttled");
        fixture.push(push(&client)).expect("the first push is admitted");
        let subscription_id = excuse.subscription_id.map(|_| client.1);
        let wrong = Push { client: client.0.clone(), subscription_id, ..excuse };
        assert!(fixture.after(INTERVAL).push(wrong).is_err());
        assert_eq!(code(fixture.subscribe(&client.0)), "admitted", "allowed early");
        assert_eq!(code(fixture.subscribe(&client.0)), "throttled", "once");
        assert_eq!(
            code(fixture.after(INTERVAL / 2).push(push(&client))),
            "admitted",
            "it updated the time of the last Get"
        );
        assert_eq!(code(fixture.after(INTERVAL / 2).push(push(&client))), "throttled");
    }
}

#[test]
fn conformance_07_the_shortest_interval_applies_up_to_five_minutes() {
    let ask = |intervals: &[u64], long_intervals, client: &Client| {
        let rules = intervals.iter().map(|seconds| {
            SubscriptionRule::new("s", vec!["a".into()], Some(seconds * 1_000), &[]).expect("a valid rule")
        });
        let config = AdmissionConfig { subscriptions: rules.collect(), long_intervals, ..without_quotas() };
        AdmissionFixture::with_config(config)
            .subscribe(&Arc::new(client.clone()))
            .expect("a first Get")
            .push_interval
            .as_secs()
    };
    let named = |name: &str| Client { software_name: Some(name.into()), ..Client::default() };
    let java = named("apache-kafka-java");
    assert_eq!(ask(&[70, 60, 80], false, &java), 60);
    assert_eq!(ask(&[3_600], false, &java), 300);
    assert_eq!(ask(&[3_600], true, &java), 3_600);
    for rdkafka in [named("librdkafka"), named("confluent-kafka-go"), Client::default()] {
        assert_eq!(ask(&[3_600], true, &rdkafka), 1_700, "{rdkafka:?}");
        assert_eq!(ask(&[1_000], true, &rdkafka), 1_000);
    }
    assert_eq!(ask(&[], false, &java), 60, "asks again this soon if nothing is requested");
}

#[test]
fn conformance_08_all_metrics_is_sent_alone_and_in_the_clients_spelling() {
    let rows = vec![ClientRule::new(Some("apache.*"), None, true, Some("*")).expect("a valid rule")];
    let config = AdmissionConfig { clients: rows, all_as_empty_prefix: true, ..config(&["*", "x."]) };
    let ask = |config: &AdmissionConfig, name: &str| {
        let client = Client {
            software_name: Some(name.into()),
            ..Client::clone(&client_with_id(InstanceId::from_bytes([7; 16])))
        };
        let answer = AdmissionFixture::with_config(config.clone()).subscribe(&Arc::new(client)).expect("a first Get");
        (answer.metrics.iter().map(ToString::to_string).collect::<Vec<_>>(), answer.id)
    };
    let (java, other) = (ask(&config, "apache-kafka-java"), ask(&config, "kgo"));
    assert_eq!((java.0, other.0), (vec!["*".to_owned()], vec![String::new()]));
    assert_ne!(java.1, other.1, "the spelling is part of the id");
    let some = AdmissionConfig { subscriptions: super::config(&["x."]).subscriptions, ..config };
    assert_eq!(ask(&some, "apache-kafka-java"), ask(&some, "kgo"), "unless it makes no difference");
}

#[test]
fn conformance_10_ttl_lru_and_two_connections() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let (first, second) = (fixture.join(), fixture.join());
    fixture.push(push(&first)).expect("the first push is admitted");
    fixture.join();
    let is_known = |fixture: &AdmissionFixture, client: &(Arc<Client>, i32)| {
        client.0.instance_id.is_some_and(|id| fixture.admission.client(id).is_some())
    };
    assert!(is_known(&fixture, &first) && !is_known(&fixture, &second), "the least recently active client is evicted");
    fixture.leave(&first, TWO).expect("it is gone");
    fixture.admission.disconnected(ONE, WALL);
    let on_two = fixture.admission.admit(push(&first), TWO, fixture.now);
    assert_eq!(code(on_two), "invalid_request", "the other connection keeps its state");
    let now = fixture.after(INTERVAL * 3 - Duration::from_millis(1)).now;
    assert!(fixture.admission.expire(now, WALL).is_empty() && is_known(&fixture, &first));
    let now = fixture.after(Duration::from_millis(1)).now;
    fixture.admission.expire(now, WALL);
    assert!(!is_known(&fixture, &first));
}

#[test]
fn a_change_without_effect_on_a_client_leaves_its_state() {
    let mut fixture = AdmissionFixture::new();
    let (pushing, leaving) = (fixture.join(), fixture.join());
    fixture.push(push(&pushing)).expect("the first push is admitted");
    fixture.leave(&leaving, ONE).expect("it is gone");
    let mut same = config(&["org.apache.kafka."]);
    same.capacity += 1;
    fixture.admission.reconfigure(same);
    assert_eq!(code(fixture.push(push(&pushing))), "throttled", "its rate is kept");
    assert_eq!(code(fixture.push(push(&leaving))), "invalid_request", "and its departure is kept");
    assert_eq!(code(fixture.after(INTERVAL).push(push(&pushing))), "admitted");
}
