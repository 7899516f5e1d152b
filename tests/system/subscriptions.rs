//! Administration of subscriptions with the command, on a running host.

use barnabas::config::raw::RawConfig;
use barnabas_base::InstanceId;
use barnabas_tests::command::{stderr, stdout};
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::security::Realm;
use barnabas_tests::vectors;

/// Runs the command on a blocking thread, because the host runs in this process.
async fn says(words: Vec<String>) -> String {
    tokio::task::spawn_blocking(move || stdout(&words.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

async fn refuses(words: Vec<String>) -> String {
    tokio::task::spawn_blocking(move || stderr(&words.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

/// `barnabas subscription …` for this host.
fn subscription(host: &RunningHost, words: &str) -> Vec<String> {
    let words = format!("subscription {words}");
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.extend(["--bootstrap-server".into(), host.bootstrap()]);
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_alters_the_subscription_of_a_connected_client() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let vector = vectors::one("librdkafka-2.16-consumer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "orders").await;
    let before = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(client.push(&before, vector.codec, &vector.wire, false).await, Some(0));

    let asked = says(subscription(&host, "alter standard --metrics org.apache.kafka.consumer. --validate-only")).await;
    assert!(asked.contains("1 of 1 connected client matches; 1 gets the change within"), "{asked}");
    let altered = says(subscription(&host, "alter standard --metrics org.apache.kafka.consumer.")).await;
    assert!(altered.starts_with("standard: altered\n1 of 1 connected client matches"), "{altered}");
    assert_eq!(
        client.push(&before, vector.codec, &vector.wire, false).await,
        Some(117),
        "the client learns it with its next push"
    );
    let after = client.subscribe(before.instance).await.unwrap();
    assert_eq!(
        after.answer.requested_metrics.iter().map(|m| m.as_str()).collect::<Vec<_>>(),
        ["org.apache.kafka.consumer."]
    );

    let list = says(subscription(&host, "list")).await;
    assert!(list.contains("org.apache.kafka.consumer.") && list.contains("altered, file"), "{list}");
    let described = says(subscription(&host, "describe standard")).await;
    assert!(described.contains("interval.ms") && described.contains("file"), "{described}");
    let nobody = says(subscription(&host, "alter night --metrics x. --match client_id=batch-.*")).await;
    assert!(nobody.contains("connected clients matches") || nobody.contains("connected client matches"), "{nobody}");
    let deleted = says(subscription(&host, "delete night")).await;
    assert!(deleted.starts_with("night: deleted"), "{deleted}");
    let floor = says(subscription(&host, "delete standard")).await;
    assert!(floor.contains("the broker's configuration file still defines it"), "{floor}");
    let refused = refuses(subscription(&host, "alter standard --match client_idd=x")).await;
    assert!(refused.contains("INVALID_CONFIG (40)") && refused.contains("client_id"), "{refused}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_syntax_of_the_kip_draft_selects_the_same_clients() {
    let host = Setup::new().with(|written| written.subscriptions.clear()).receiver("taker", "taker", "").start().await;
    let mut client = RawClient::connect(host.kafka(), "orders").await;
    client.api_versions("librdkafka").await;
    let idle = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(idle.answer.requested_metrics.len(), 0);
    assert_eq!(idle.answer.push_interval_ms, 60_000, "the client asks again after one minute instead of five");
    let added = says(subscription(&host, "add late --id rdkafka --metric org.apache.kafka. --interval-ms 60000")).await;
    assert!(added.contains("1 of 1 connected client matches"), "{added}");
    let id = idle.instance;
    for text in [id.to_string(), id.to_base64(), id.to_hex()] {
        let one = says(subscription(&host, &format!("alter one --id {text} --metrics a."))).await;
        assert!(one.contains("1 of 1 connected client matches"), "{text}: {one}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_authenticated_listed_principals_may_describe_and_alter() {
    let setup = Setup::new();
    let realm = Realm::new(setup.folder());
    ["alice", "bob"].iter().for_each(|name| realm.user(name));
    let guarded = |written: &mut RawConfig| {
        written.admins = Some(vec!["User:alice".into()]);
        realm.sasl_over_tls(written);
    };
    let host = setup.with(guarded).receiver("taker", "taker", "").start().await;
    let properties = |name, mechanism| realm.properties(name, mechanism).display().to_string();
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let alice = properties("alice", mechanism);
        let altered = says(subscription(&host, &format!("alter s --metrics x. --command-config {alice}"))).await;
        assert!(altered.starts_with("s: altered"), "{mechanism}: {altered}");
        let bob = properties("bob", mechanism);
        let refused = refuses(subscription(&host, &format!("alter s --metrics y. --command-config {bob}"))).await;
        assert!(refused.contains("CLUSTER_AUTHORIZATION_FAILED (31)"), "{mechanism}: {refused}");
        let refused = refuses(subscription(&host, &format!("list --command-config {bob}"))).await;
        assert!(refused.contains("CLUSTER_AUTHORIZATION_FAILED (31)"), "{mechanism}: {refused}");
    }
    let wrong = properties("mallory", "SCRAM-SHA-512");
    let refused = refuses(subscription(&host, &format!("list --command-config {wrong}"))).await;
    assert!(refused.contains("SASL_AUTHENTICATION_FAILED (58)"), "{refused}");
    let audit = host.host.plugins.audit().read(10).unwrap();
    assert!(audit.iter().any(|entry| entry.who.contains("User:alice")), "{audit:?}");
    host.stop().await;
}
