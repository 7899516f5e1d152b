//! The subscriptions that clients are sent.

use super::*;

#[test]
fn a_new_client_gets_an_id_and_an_old_one_its_own() {
    let fixture = AdmissionFixture::new();
    let first = fixture.subscribe(&new_client()).expect("the first Get is allowed");
    assert!(!first.instance_id.is_reserved());
    for reserved in [InstanceId::NIL, InstanceId::ONE] {
        let other = fixture.subscribe(&client_with_id(reserved)).expect("the first Get is allowed").instance_id;
        assert!(!other.is_reserved() && other != first.instance_id);
    }
    let invented = InstanceId::from_bytes([9; 16]);
    assert_eq!(
        fixture.subscribe(&client_with_id(invented)).map(|s| s.instance_id),
        Ok(invented),
        "unknown ids are accepted"
    );
}

#[test]
fn an_id_in_use_is_drawn_again() {
    let mut draws = [1u128, 1, 2].into_iter();
    let random = move || draws.next().expect("three draws are enough").to_be_bytes();
    let admission = Admission::with_random(config(&["*"]), random);
    let get = || admission.subscribe(&new_client(), ONE, Instant::now(), WALL).expect("a first Get").instance_id;
    assert_ne!(get(), get());
}

#[test]
fn the_assignment_is_the_union_of_the_matching_subscriptions() {
    let rule = |metrics: &[&str], ms: u64, id: &str| {
        let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        SubscriptionRule::new("s", metrics, Some(ms), &[("client_id".into(), id.into())]).expect("a valid rule")
    };
    let mut config = AdmissionConfig {
        subscriptions: vec![
            rule(&["b.", "a."], 400_000, "c|d"),
            rule(&["a.", "c."], 50_000, "c"),
            rule(&[], 400_000, "e"),
            rule(&["x.", "*"], 70_000, "f"),
            rule(&["y."], 70_000, "f"),
        ],
        ..without_quotas()
    };
    let ask = |config: &AdmissionConfig, id: &str| {
        let client = Arc::new(Client { client_id: Some(Arc::from(id)), ..Client::default() });
        let answer = AdmissionFixture::with_config(config.clone()).subscribe(&client).expect("a first Get");
        let metrics: Vec<String> = answer.metrics.iter().map(|metric| metric.to_string()).collect();
        (metrics.join(" "), answer.push_interval.as_secs())
    };
    assert_eq!(ask(&config, "c"), ("a. b. c.".into(), 50));
    assert_eq!(ask(&config, "d"), ("a. b.".into(), 300), "never above five minutes");
    assert_eq!(ask(&config, "e"), (String::new(), 300));
    assert_eq!(ask(&config, "f"), ("*".into(), 70), "all metrics includes the rest");
    assert_eq!(ask(&config, "nobody"), (String::new(), 60), "asks again soon");
    config.all_as_empty_prefix = true;
    let all = AdmissionFixture::with_config(config.clone())
        .subscribe(&Arc::new(Client { client_id: Some(Arc::from("f")), ..Client::default() }));
    assert_eq!(all.expect("a first Get").metrics.as_ref(), [Arc::from("")]);
    config.long_intervals = true;
    assert_eq!(ask(&config, "d").1, 400);
}

#[test]
fn long_intervals_stop_where_librdkafka_overflows() {
    let rule = SubscriptionRule::new("s", vec!["*".into()], Some(3_600_000), &[]).expect("a valid rule");
    let fixture = AdmissionFixture::with_config(AdmissionConfig {
        subscriptions: vec![rule],
        long_intervals: true,
        ..without_quotas()
    });
    let ask = |name: &str, version: &str| {
        let (name, version) = (Some(Arc::from(name)), Some(Arc::from(version)));
        let client = Client { software_name: name, software_version: version, ..Client::default() };
        fixture.subscribe(&Arc::new(client)).expect("a first Get").push_interval.as_secs()
    };
    assert_eq!(ask("librdkafka", "2.16.0"), 1_700);
    assert_eq!(ask("confluent-kafka-python", "2.16.1-rdkafka-2.16.0"), 1_700);
    assert_eq!(ask("apache-kafka-java", "4.1.0"), 3_600);
}

#[test]
fn hosts_with_the_same_configuration_issue_the_same_id() {
    let client = client_with_id(InstanceId::from_bytes([7; 16]));
    let id =
        |config: AdmissionConfig| AdmissionFixture::with_config(config).subscribe(&client).expect("a first Get").id;
    assert_eq!(id(config(&["a", "b"])), id(config(&["b", "a", "b"])));
    assert_ne!(id(config(&["a"])), id(config(&["b"])));
    assert_ne!(id(config(&["a"])), id(AdmissionConfig { delta: true, ..config(&["a"]) }));
}

#[test]
fn a_changed_configuration_resets_every_clients_rate() {
    let fixture = AdmissionFixture::new();
    let client = fixture.join();
    fixture.push(push(&client)).expect("the first push is admitted");
    assert_eq!(code(fixture.subscribe(&client.0)), "throttled");
    fixture.admission.reconfigure(config(&["other."]));
    assert_eq!(code(fixture.subscribe(&client.0)), "admitted");
}

#[test]
fn a_change_that_changes_nothing_for_a_client_leaves_its_id() {
    let mut fixture = AdmissionFixture::new();
    let client = fixture.join();
    fixture.admission.reconfigure(config(&["org.apache.kafka."]));
    assert_eq!(code(fixture.after(INTERVAL).push(push(&client))), "admitted");
}
