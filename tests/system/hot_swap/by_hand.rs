//! Changes that an operator requests: the files follow, and the audit log records them.

use std::fs;
use std::time::Duration;

use barnabas_base::InstanceId;
use barnabas_lifecycle::change::{
    ChangeOutcome, ChangeRefusedCode, ManifestPatch, PluginChange, RolloutOverride, SwapStage,
};
use barnabas_storage::audit::AuditEntry;
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::load::Load;
use barnabas_tests::raw::RawClient;
use barnabas_tests::vectors;
use serde_json::json;

use super::{
    PATIENCE, RATE, audit, change, digest, forwarding, generation, manifest, refusal, swap, taker, until_delivered,
    until_done,
};

fn set(key: &str, value: serde_json::Value) -> ManifestPatch {
    ManifestPatch { settings: json!({ key: value }).as_object().unwrap().clone(), ..ManifestPatch::default() }
}

fn written(host: &RunningHost) -> String {
    fs::read_to_string(host.folder().join("plugins.d/sink.toml")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_generation_can_serve_again() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let back = |number| PluginChange::Rollback("sink".into(), number, false);
    assert_eq!(refusal(&host, back(None)).code, ChangeRefusedCode::UnknownGeneration);
    for name in ["b", "c"] {
        let ending =
            change(&host, PluginChange::Swap("sink".into(), set("name", name.into()), RolloutOverride::default()))
                .await;
        assert_eq!(ending.verdict, ChangeOutcome::Done, "{}", ending.message);
    }
    for (number, name, serves) in [(None, "b", 4), (Some(1), "a", 5), (None, "b", 6)] {
        let ending = change(&host, back(number)).await;
        assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Done, Some(serves)), "{}", ending.message);
        assert!(host.log_lines("sink").contains(&format!("{name} started")));
        assert!(written(&host).contains(&format!("name = {name:?}")), "{}", written(&host));
        assert!(written(&host).contains(&digest(&host.status("sink")).unwrap().to_string()), "{}", written(&host));
    }
    let none = refusal(&host, back(Some(99)));
    assert!(none.code == ChangeRefusedCode::UnknownGeneration && none.message.contains("generation 99"), "{none}");
    // The directory and the serving generation agree, so nothing is rolled back.
    assert_eq!(change(&host, PluginChange::Reconcile).await.verdict, ChangeOutcome::Done);
    let host = host.stop_into_setup().await.start().await;
    assert_eq!(generation(&host.status("sink")), Some(6));
    assert_eq!(
        change(&host, back(Some(5))).await.serving,
        Some(7),
        "the generation survives a restart, and its number is not reused"
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_plugin_queues_its_pushes_until_it_is_resumed() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    assert_eq!(change(&host, PluginChange::Pause("sink".into())).await.verdict, ChangeOutcome::Done);
    assert!(
        written(&host).starts_with("paused = true") || written(&host).contains("\npaused = true"),
        "{}",
        written(&host)
    );
    let load = Load::start(host.kafka(), RATE).await;
    eventually("queued pushes", PATIENCE, || (host.ledger("sink").held() > 50).then_some(())).await;
    let host = {
        let pushed = load.stop().await;
        assert_eq!((host.ledger("sink").delivered(), host.ledger("sink").held()), (0, pushed.acknowledged));
        host
    };
    // A new generation stays paused.
    let ending =
        change(&host, PluginChange::Swap("sink".into(), set("name", "b".into()), RolloutOverride::default())).await;
    assert_eq!((ending.verdict, host.ledger("sink").delivered()), (ChangeOutcome::Done, 0), "{}", ending.message);
    assert_eq!(change(&host, PluginChange::Resume("sink".into())).await.verdict, ChangeOutcome::Done);
    until_delivered(&host, "sink").await;
    assert!(!written(&host).contains("paused"));
    until_done(&host, "sink", &["load Done", "pause Done", "swap Done", "resume Done"]).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_grants_are_reported_and_missing_grants_are_refused() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let url = "http://collector.example:4318/v1/metrics";
    let bare = forwarding(url, "", "").split("[grants]").next().unwrap().to_owned();
    let ending = change(&host, swap("sink", &bare, RolloutOverride::default())).await;
    // The import alone is accepted: the self-test finds that the grant is missing.
    assert_eq!((ending.verdict, ending.stage), (ChangeOutcome::Failed, Some(SwapStage::SelfTest)));
    assert!(ending.message.contains("grant"), "{}", ending.message);
    assert_eq!(written(&host), taker("a", ""));
    let granted = ManifestPatch {
        manifest: Some(bare),
        grant_http: vec!["collector.example:4318".into()],
        ..ManifestPatch::default()
    };
    let ending = change(&host, PluginChange::Swap("sink".into(), granted, RolloutOverride::default())).await;
    assert_eq!(ending.verdict, ChangeOutcome::Done, "{}", ending.message);
    for line in ["+ http collector.example:4318", "+ imports wasi:http/outgoing-handler@0.2.12"] {
        assert!(ending.grants.contains(&line.into()), "{:?}", ending.grants);
    }
    assert_eq!(audit(&host, "sink").pop().unwrap().grants, ending.grants);
    let ending = change(&host, PluginChange::Rollback("sink".into(), None, false)).await;
    assert!(ending.grants.contains(&"- http collector.example:4318".into()), "{:?}", ending.grants);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_belongs_to_the_slot_and_survives_its_generations() {
    let text = |rest: &str| manifest("remembers", &format!("[grants]\nstate = \"1KiB\"\n{rest}"));
    let host = Setup::new().manifest("sink", &text("")).start().await;
    let vector = vectors::one("librdkafka-2.16-producer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "one").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    let other = text("[settings]\nvalue_bytes = 9\n");
    let changes = [
        None,
        Some(swap("sink", &other, RolloutOverride::default())),
        Some(PluginChange::Rollback("sink".into(), None, false)),
    ];
    for (wanted, count) in changes.into_iter().zip(1..) {
        if let Some(wanted) = wanted {
            let ending = change(&host, wanted).await;
            assert_eq!(ending.verdict, ChangeOutcome::Done, "{}", ending.message);
        }
        // The host accepts at most ten pushes per second from a client.
        tokio::time::sleep(Duration::from_millis(110)).await;
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
        let words = format!("counted {count}");
        eventually(&words, PATIENCE, || host.log_lines("sink").contains(&words).then_some(())).await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_records_actor_and_change() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let first = digest(&host.status("sink")).unwrap();
    change(&host, PluginChange::Swap("sink".into(), set("nome", 1.into()), RolloutOverride::default())).await;
    change(&host, PluginChange::Remove("sink".into(), true)).await;
    assert!(host.host.plugins.describe("sink").is_none() && !host.folder().join("plugins.d/sink.toml").exists());
    let load = PluginChange::Load(
        "sink".into(),
        ManifestPatch { manifest: Some(taker("b", "")), ..ManifestPatch::default() },
        RolloutOverride::default(),
    );
    assert_eq!(change(&host, load.clone()).await.verdict, ChangeOutcome::Done);
    assert_eq!(refusal(&host, load).code, ChangeRefusedCode::PluginExists);
    let [start, failed, removed, loaded] = <[AuditEntry; 4]>::try_from(audit(&host, "sink")).unwrap();
    assert_eq!((&*start.who, start.from, start.to.unwrap().digest), ("start", None, first));
    assert_eq!((&*failed.who, failed.outcome), ("embedder", Some(ChangeOutcome::Failed)));
    assert_eq!((failed.from.unwrap().generation, failed.to.unwrap().generation), (1, 2));
    assert!(failed.message.contains("nome"), "{}", failed.message);
    assert_eq!((removed.from.unwrap().digest, removed.to), (first, None));
    assert!(removed.message.contains("its state is forgotten"), "{}", removed.message);
    assert_eq!((loaded.from, loaded.to.unwrap().digest), (None, first));
    host.stop().await;
}
