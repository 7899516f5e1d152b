//! KIP-714 to the letter: the items of the conformance list that are this room's, by their number there.

use super::*;

#[test]
fn conformance_03_the_instance_id_is_echoed_and_never_nil() {
    let room = AdmissionFixture::new();
    for client in [new_client(), client_with_id(InstanceId::NIL), client_with_id(InstanceId::ONE)] {
        assert!(!room.subscribe(&client).expect("a first Get").instance_id.is_reserved());
    }
    let mine = InstanceId::from_bytes([7; 16]);
    assert_eq!(room.subscribe(&client_with_id(mine)).expect("a first Get").instance_id, mine);
    room.admission.disconnected(ONE, WALL);
    assert_eq!(
        room.subscribe(&client_with_id(mine)).expect("a Get on a new connection").instance_id,
        mine,
        "and a second time"
    );
}

#[test]
fn conformance_04_unknown_ids_are_taken() {
    let room = AdmissionFixture::new();
    let (mine, other) = (InstanceId::from_bytes([7; 16]), InstanceId::from_bytes([8; 16]));
    let id = room.subscribe(&client_with_id(mine)).expect("a Get under an unknown id").id;
    let elsewhere = AdmissionFixture::new();
    let after_failover = elsewhere.push(push(&(client_with_id(mine), id)));
    assert_eq!(code(after_failover), "taken", "hosts agree on subscription ids, so a failover costs nothing");
    assert_eq!(code(elsewhere.push(push(&(client_with_id(other), 1)))), "unknown_subscription", "and a state is made");
    assert_eq!(elsewhere.admission.counts().instances, 2);
    for reserved in [InstanceId::NIL, InstanceId::ONE] {
        assert_eq!(code(elsewhere.push(push(&(client_with_id(reserved), 1)))), "invalid_request");
    }
    assert_eq!(elsewhere.admission.counts().instances, 2, "none is made for those");
}

#[test]
fn conformance_04_no_metrics_and_codec_none_are_taken() {
    let mut room = AdmissionFixture::new();
    let client = room.join();
    let empty = Push { wire: Bytes::new(), codec: 0, ..push(&client) };
    assert_eq!(code(room.push(empty)), "taken");
    for codec in 1..5 {
        assert_eq!(code(room.after(INTERVAL).push(Push { codec, ..push(&client) })), "taken");
    }
}

#[test]
fn conformance_05_pushes_are_checked_in_order() {
    let mut room = AdmissionFixture::with_config(AdmissionConfig { max_wire_bytes: 8, ..config(&["*"]) });
    let client = room.join();
    // Everything is wrong with it; what is repaired shows the next fault.
    let wrong = Push { subscription_id: Some(client.1 ^ 1), codec: 9, wire: vec![0; 9].into(), ..push(&client) };
    let nil = Push { client: client_with_id(InstanceId::NIL), ..wrong.clone() };
    assert_eq!(code(room.push(nil)), "invalid_request");
    assert_eq!(code(room.push(wrong.clone())), "unknown_subscription");
    assert_eq!(code(room.push(wrong.clone())), "throttled", "before the subscription id");
    let terminating = Push { terminating: true, ..wrong.clone() };
    assert_eq!(code(room.push(terminating)), "unknown_subscription", "a terminating one is not too soon");
    let right = Push { subscription_id: Some(client.1), ..wrong };
    assert_eq!(code(room.after(INTERVAL).push(right.clone())), "unsupported_compression");
    assert_eq!(code(room.after(INTERVAL).push(Push { codec: 0, ..right })), "too_large");
    room.after(INTERVAL).leave(&client, ONE).expect("it is gone");
    let after = Push { codec: 9, ..push(&client) };
    assert_eq!(code(room.push(after)), "invalid_request", "before everything but the id");
}

#[test]
fn conformance_06_an_excused_get_counts_as_one() {
    for excuse in
        [Push { codec: 9, ..push(&(new_client(), 0)) }, Push { subscription_id: None, ..push(&(new_client(), 0)) }]
    {
        let mut room = AdmissionFixture::new();
        let client = room.join();
        assert_eq!(code(room.subscribe(&client.0)), "throttled");
        room.push(push(&client)).expect("the first push passes");
        let subscription_id = excuse.subscription_id.map(|_| client.1);
        let wrong = Push { client: client.0.clone(), subscription_id, ..excuse };
        assert!(room.after(INTERVAL).push(wrong).is_err());
        assert_eq!(code(room.subscribe(&client.0)), "taken", "excused");
        assert_eq!(code(room.subscribe(&client.0)), "throttled", "once");
        assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "taken", "it moved the time of the last Get");
        assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "throttled");
    }
}

#[test]
fn conformance_07_the_least_interval_counts_up_to_five_minutes() {
    let ask = |intervals: &[u64], long_intervals, client: &Client| {
        let rules = intervals.iter().map(|seconds| {
            SubscriptionRule::new("s", vec!["a".into()], Some(seconds * 1_000), &[]).expect("a sound rule")
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
    assert_eq!(ask(&[], false, &java), 60, "asks again so soon, where nothing is wanted");
}

#[test]
fn conformance_08_all_metrics_is_sent_alone_and_in_the_clients_spelling() {
    let rows = vec![ClientRule::new(Some("apache.*"), None, true, Some("*")).expect("a sound row")];
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
    let mut room = AdmissionFixture::with_config(AdmissionConfig { capacity: 2, ..config(&["*"]) });
    let (first, second) = (room.join(), room.join());
    room.push(push(&first)).expect("the first push passes");
    room.join();
    let is_known = |room: &AdmissionFixture, client: &(Arc<Client>, i32)| {
        client.0.instance_id.is_some_and(|id| room.admission.client(id).is_some())
    };
    assert!(is_known(&room, &first) && !is_known(&room, &second), "the one that was silent longest is forgotten");
    room.leave(&first, TWO).expect("it is gone");
    room.admission.disconnected(ONE, WALL);
    let on_two = room.admission.admit(push(&first), TWO, room.now);
    assert_eq!(code(on_two), "invalid_request", "the other connection keeps its state");
    let now = room.after(INTERVAL * 3 - Duration::from_millis(1)).now;
    assert!(room.admission.expire(now, WALL).is_empty() && is_known(&room, &first));
    let now = room.after(Duration::from_millis(1)).now;
    room.admission.expire(now, WALL);
    assert!(!is_known(&room, &first));
}

#[test]
fn a_change_without_effect_on_a_client_leaves_its_state() {
    let mut room = AdmissionFixture::new();
    let (pushing, leaving) = (room.join(), room.join());
    room.push(push(&pushing)).expect("the first push passes");
    room.leave(&leaving, ONE).expect("it is gone");
    let mut same = config(&["org.apache.kafka."]);
    same.capacity += 1;
    room.admission.reconfigure(same);
    assert_eq!(code(room.push(push(&pushing))), "throttled", "its pace is known");
    assert_eq!(code(room.push(push(&leaving))), "invalid_request", "and that it left");
    assert_eq!(code(room.after(INTERVAL).push(push(&pushing))), "taken");
}
