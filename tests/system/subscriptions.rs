//! Subscriptions from an administrator's side: the command, against a running host.

use std::path::Path;
use std::process::{Command, Stdio};

use barnabas::config::file::{Listener, Protocol, Tls, Written};
use barnabas::push::InstanceId;
use barnabas_tests::command::{path, stderr, stdout};
use barnabas_tests::host::{Running, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::vectors;

/// Runs the command beside the host, which is in this process.
async fn says(words: Vec<String>) -> String {
    tokio::task::spawn_blocking(move || stdout(&words.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

async fn refuses(words: Vec<String>) -> String {
    tokio::task::spawn_blocking(move || stderr(&words.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
}

/// `barnabas subscription …` of this host.
fn subscription(host: &Running, words: &str) -> Vec<String> {
    let words = format!("subscription {words}");
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.extend(["--bootstrap-server".into(), host.bootstrap()]);
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_alters_what_a_connected_client_is_asked_for() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let vector = vectors::one("librdkafka-2.16-consumer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "orders").await;
    let before = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(client.push(&before, vector.codec, &vector.wire, false).await, Some(0));

    let asked = says(subscription(&host, "alter standard --metrics org.apache.kafka.consumer. --validate-only")).await;
    assert!(asked.contains("1 of 1 connected client matches; 1 learns of it within"), "{asked}");
    let altered = says(subscription(&host, "alter standard --metrics org.apache.kafka.consumer.")).await;
    assert!(altered.starts_with("standard: altered\n1 of 1 connected client matches"), "{altered}");
    assert_eq!(
        client.push(&before, vector.codec, &vector.wire, false).await,
        Some(117),
        "it learns with its next push"
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
    assert!(nobody.contains("no connected client matches"), "{nobody}");
    let deleted = says(subscription(&host, "delete night")).await;
    assert!(deleted.starts_with("night: deleted"), "{deleted}");
    let floor = says(subscription(&host, "delete standard")).await;
    assert!(floor.contains("the broker's own file still has it"), "{floor}");
    let refused = refuses(subscription(&host, "alter standard --match client_idd=x")).await;
    assert!(refused.contains("INVALID_CONFIG (40)") && refused.contains("client_id"), "{refused}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drafts_words_select_the_same_clients_today() {
    let host = Setup::new().with(|written| written.subscriptions.clear()).receiver("taker", "taker", "").start().await;
    let mut client = RawClient::connect(host.kafka(), "orders").await;
    client.api_versions("librdkafka").await;
    let idle = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(idle.answer.requested_metrics.len(), 0);
    assert_eq!(idle.answer.push_interval_ms, 60_000, "it asks again in a minute, not in five");
    let added = says(subscription(&host, "add late --id rdkafka --metric org.apache.kafka. --interval-ms 60000")).await;
    assert!(added.contains("1 of 1 connected client matches"), "{added}");
    let id = idle.instance;
    for text in [id.to_string(), id.to_base64(), id.to_hex()] {
        let one = says(subscription(&host, &format!("alter one --id {text} --metrics a."))).await;
        assert!(one.contains("1 of 1 connected client matches"), "{text}: {one}");
    }
    host.stop().await;
}

/// What a listener that asks for proof needs, in this folder.
fn guarded(folder: &Path, written: &mut Written) {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let (certificate, secret) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, key.cert.pem()).unwrap();
    std::fs::write(&secret, key.signing_key.serialize_pem()).unwrap();
    let sasl = serde_json::json!({ "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"], "users": folder.join("users.toml") });
    let sasl = serde_json::from_value(sasl).unwrap();
    let tls = Tls { certificate, key: secret, client_ca: None, client_auth: None };
    written.admins = Some(vec!["User:alice".into()]);
    let listener: &mut Listener = &mut written.listeners[0];
    listener.protocol = Protocol::KafkaSaslTls;
    (listener.tls, listener.sasl) = (Some(tls), Some(sasl));
}

fn user(folder: &Path, name: &str) {
    let mut set = Command::new(path());
    set.args(["user", "set", name, "--password-file", "-", "--file"]).arg(folder.join("users.toml"));
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut set.stdin.take().unwrap(), format!("{name}-secret\n").as_bytes()).unwrap();
    assert!(set.wait().unwrap().success());
}

fn properties(folder: &Path, name: &str, mechanism: &str) -> String {
    let file = folder.join(format!("{name}-{mechanism}.properties"));
    let authorities = folder.join("cert.pem");
    let text = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.jaas.config=x required username=\"{name}\" \
         password=\"{name}-secret\";\nssl.truststore.type=PEM\nssl.truststore.location={}\n",
        authorities.display()
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_are_listed_and_prove_it_may_look_and_alter() {
    let setup = Setup::new();
    let folder = setup.folder().to_owned();
    ["alice", "bob"].iter().for_each(|name| user(&folder, name));
    let host = setup.with(|written| guarded(&folder, written)).receiver("taker", "taker", "").start().await;
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let alice = properties(&folder, "alice", mechanism);
        let altered = says(subscription(&host, &format!("alter s --metrics x. --command-config {alice}"))).await;
        assert!(altered.starts_with("s: altered"), "{mechanism}: {altered}");
        let bob = properties(&folder, "bob", mechanism);
        let refused = refuses(subscription(&host, &format!("alter s --metrics y. --command-config {bob}"))).await;
        assert!(refused.contains("CLUSTER_AUTHORIZATION_FAILED (31)"), "{mechanism}: {refused}");
        let refused = refuses(subscription(&host, &format!("list --command-config {bob}"))).await;
        assert!(refused.contains("CLUSTER_AUTHORIZATION_FAILED (31)"), "{mechanism}: {refused}");
    }
    let wrong = properties(&folder, "mallory", "SCRAM-SHA-512");
    let refused = refuses(subscription(&host, &format!("list --command-config {wrong}"))).await;
    assert!(refused.contains("SASL_AUTHENTICATION_FAILED (58)"), "{refused}");
    let audit = host.host.plugins.audit().read(10).unwrap();
    assert!(audit.iter().any(|entry| entry.who.contains("User:alice")), "{audit:?}");
    host.stop().await;
}
