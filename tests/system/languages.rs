//! Requirements for a receiver in any language, and for the documentation page on writing one. `component` is the guest
//! `answers` in that language.

use std::path::Path;
use std::time::{Duration, Instant};

use barnabas_base::InstanceId;
use barnabas_lifecycle::change::PluginChange;
use barnabas_tests::doc_page::DocPage;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::ledger::LedgerView;
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::{command, swapping, two_hosts, vectors};

/// The component must be compiled first, possibly on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Data points of the two recorded pushes that [`push`] sends.
const POINTS: u32 = 101;

/// A host that serves the receiver as plugins with these names, each with one instance and these manifest lines.
pub(crate) async fn host(component: &Path, plugins: &[(&str, String)]) -> RunningHost {
    let artifact = component.display().to_string();
    let manifest = |rest: &str| format!("artifact = {artifact:?}\n{rest}\n[limits]\ninstances = 1\n");
    let ((first, rest), others) = plugins.split_first().expect("at least one plugin");
    let host = Setup::new().manifest(first, &manifest(rest)).start().await;
    serves(&host, first).await;
    // The others use the cached compilation.
    for (name, rest) in others {
        let file = host.folder().join("plugins.d").join(format!("{name}.toml"));
        std::fs::write(file, manifest(rest)).unwrap();
    }
    for (name, _) in others {
        serves(&host, name).await;
    }
    host
}

async fn serves(host: &RunningHost, name: &str) {
    barnabas_tests::eventually(&format!("`{name}` to serve"), PATIENCE, || {
        let status = host.host.plugins.status().into_iter().find(|status| status.name == name)?;
        assert_eq!(status.failure, None, "{name}");
        status.serving.map(drop)
    })
    .await;
}

/// One outcome of a receiver for two pushes, and the expected effects.
struct OutcomeCase {
    name: &'static str,
    answers: &'static str,
    delivered: u64,
    dropped: &'static [(&'static str, u64)],
    redelivered: u64,
    reason: &'static str,
}

const CASES: [OutcomeCase; 7] = [
    OutcomeCase { name: "taken", answers: "", delivered: 2, dropped: &[], redelivered: 0, reason: "" },
    OutcomeCase {
        name: "unavailable",
        answers: "{ outcome = \"unavailable\", retry_after_ms = 5, reason = \"the sink is busy\" }",
        delivered: 2,
        dropped: &[],
        redelivered: 2,
        reason: "the sink is busy",
    },
    OutcomeCase {
        name: "too-large",
        answers: "{ outcome = \"too-large\" }",
        delivered: 2,
        dropped: &[],
        redelivered: 2,
        reason: "",
    },
    OutcomeCase {
        name: "partial",
        answers: "{ outcome = \"partial\", rejected = [0], retry = [1], reason = \"too old\" }",
        delivered: 1,
        dropped: &[("rejected", 1)],
        redelivered: 1,
        reason: "too old",
    },
    OutcomeCase {
        name: "rejected",
        answers: "{ outcome = \"rejected\", reason = \"whole\" }, { outcome = \"rejected\", reason = \"half\" }",
        delivered: 1,
        dropped: &[("rejected", 1)],
        redelivered: 2,
        reason: "half",
    },
    OutcomeCase {
        name: "other",
        answers: "{ outcome = \"other\", reason = \"no idea\" }",
        delivered: 2,
        dropped: &[],
        redelivered: 2,
        reason: "no idea",
    },
    OutcomeCase {
        name: "fails",
        answers: "{ outcome = \"raise\", reason = \"broken on purpose\" }",
        delivered: 0,
        dropped: &[("trap", 2)],
        redelivered: 4,
        reason: "Error: broken on purpose",
    },
];

/// Sends the recorded pushes of a Java producer and of librdkafka.
async fn push(host: &RunningHost) {
    for name in ["java-4.0-producer-cumulative.zstd", "librdkafka-2.16-consumer-cumulative.zstd"] {
        let (vector, mut client) = (vectors::one(name), RawClient::connect(host.kafka(), name).await);
        client.api_versions("recorded").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
    }
}

/// The newest reason for which the receiver did not accept pushes.
pub(crate) fn last_error(host: &RunningHost, name: &str) -> String {
    let serving = host.status(name).serving;
    serving.and_then(|serving| serving.stats.messages.last_error).map(|error| error.text).unwrap_or_default()
}

/// Each outcome has the specified effect on the pushes, an exception terminates the instance, and its message is
/// logged.
pub(crate) async fn every_outcome_is_typed_and_an_exception_is_told(component: &Path, exception: &[&str]) {
    // The first settings are for the pushes, because there is no self-test here.
    let plugin = |case: &OutcomeCase| {
        (case.name, format!("[settings]\nanswers = [{}]\n[rollout]\nself-test = false", case.answers))
    };
    let host = host(component, &CASES.iter().map(plugin).collect::<Vec<_>>()).await;
    for case in &CASES {
        swapping::run_change(&host.host.plugins, PluginChange::Pause(case.name.into())).await;
    }
    push(&host).await;
    for case in &CASES {
        swapping::run_change(&host.host.plugins, PluginChange::Resume(case.name.into())).await;
    }
    for case in &CASES {
        let over = |ledger: &LedgerView| ledger.delivered() + ledger.dropped_total() == 2;
        let what = format!("the pushes of `{}`", case.name);
        let ledger = barnabas_tests::eventually(&what, PATIENCE, || Some(host.ledger(case.name)).filter(over)).await;
        assert_eq!(ledger.delivered(), case.delivered, "{}: {ledger}", case.name);
        assert!(case.dropped.iter().all(|(cause, count)| ledger.dropped(cause) == *count), "{}: {ledger}", case.name);
        assert_eq!(ledger.redelivered(), case.redelivered, "{}: {ledger}", case.name);
        let said = last_error(&host, case.name);
        assert!(said.contains(case.reason), "{}: {said}", case.name);
    }
    let lines = host.log_lines("taken");
    let taken = format!("taken for 2 pushes, {POINTS} points, the first of org.apache.kafka.");
    assert!(lines.iter().any(|line| line.contains(&taken)), "{lines:?}");
    let lines = host.log_lines("fails").join("\n");
    assert!(exception.iter().all(|words| lines.contains(words)), "{exception:?} in {lines}");
    host.stop().await;
}

/// A setting that the receiver rejects aborts its start, with the receiver's own message.
pub(crate) async fn settings_that_it_refuses_end_its_start(component: &Path) {
    let misspelt = format!("artifact = {:?}\n[settings]\nanwsers = []\n", component.display().to_string());
    let host = Setup::new().manifest("misspelt", &misspelt).start().await;
    let said = host.status("misspelt").failure.unwrap_or_default();
    assert!(said.contains("unknown setting `anwsers`"), "{said}");
    host.stop().await;
}

/// Asserts that every push of a simulated fleet is delivered.
pub(crate) async fn simulated_clients_lose_nothing(component: &Path) {
    let host = host(component, &[("taker", String::new())]).await;
    let bootstrap = host.bootstrap();
    let simulate = move || {
        let words = ["simulate", "--json", "--clients", "24", "--seconds", "6", "--ramp", "1s", "--bootstrap-server"];
        command::stdout(&[&words[..], &[&bootstrap]].concat())
    };
    let report = tokio::task::spawn_blocking(simulate).await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let pushes = report["pushes"].as_u64().unwrap();
    println!("{pushes} pushes of {} clients", report["clients"]);
    assert!(pushes >= 24, "{report}");
    let ledger = barnabas_tests::eventually("an empty queue", PATIENCE, || {
        Some(host.ledger("taker")).filter(|ledger| ledger.accepted() >= pushes && ledger.held() == 0)
    })
    .await;
    assert_eq!(
        (ledger.delivered(), ledger.dropped_total(), ledger.shed_total()),
        (ledger.accepted(), 0, 0),
        "{ledger}"
    );
    host.stop().await;
}

/// Following the page from an empty folder produces receivers that serve simulated clients, one of them over HTTP. The
/// page must name the release of the tool that these tests use.
pub(crate) async fn the_page_leads_to_receivers_that_serve(page: &'static str, tool: &str) {
    let sink = OtlpSink::start().await;
    let [kafka, _] = two_hosts::free_ports();
    let ports = format!(
        "\n[admin]\nbind = \"127.0.0.1:0\"\n\n[[listener]]\nname = \"kafka\"\nprotocol = \"kafka-plaintext\"\nbind = \"{kafka}\"\n"
    );
    let recipe = DocPage::read(page)
        .with(tool, tool)
        .with("127.0.0.1:9092", &kafka.to_string())
        .with("127.0.0.1:4319", &sink.address().to_string())
        .append("barnabas.toml", &ports);
    let folder = tempfile::tempdir().unwrap();
    // npm names a package after its folder.
    let (at, start) = (folder.path().join("receiver"), Instant::now());
    std::fs::create_dir(&at).unwrap();
    let said = tokio::task::spawn_blocking(move || recipe.run(&at)).await.unwrap();
    println!("{said}\n{page} took {:.0?}", start.elapsed());
    assert_eq!(said.matches("outcome: taken").count(), 2, "two trial runs");
    assert_eq!(said.matches("generation 1 serves").count(), 2, "and two receivers that serve");
    assert!(said.contains("metrics of "), "the first receiver logs lines");
    assert!(!sink.received().is_empty(), "the second receiver posts");
    assert_eq!(sink.refused(), 0);
}
