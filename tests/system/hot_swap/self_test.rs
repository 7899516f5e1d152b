//! The pushes that a candidate is tested with, and the responses to its requests.

use barnabas_base::InstanceId;
use barnabas_lifecycle::change::{ChangeOutcome, RolloutOverride, SwapStage};
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::OtlpSink;
use barnabas_tests::vectors;

use super::{PATIENCE, change, generation, manifest, note, steps, swap, taker};

async fn push_once(host: &RunningHost) {
    let vector = vectors::one("librdkafka-2.16-producer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "one").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_recent_pushes_if_they_are_retained_and_recorded_ones_otherwise() {
    let setup = Setup::new().manifest("sink", &taker("a", ""));
    let host = setup.with(|written| written.recent_pushes.keep = 8).start().await;
    let (observed, _) = steps(&host, swap("sink", &taker("b", ""), RolloutOverride::default())).await;
    assert!(note(&observed, SwapStage::SelfTest).starts_with("accepted 2 recorded pushes, 0 requests captured"));
    push_once(&host).await;
    let (observed, _) = steps(&host, swap("sink", &taker("c", ""), RolloutOverride::default())).await;
    assert!(note(&observed, SwapStage::SelfTest).starts_with("accepted 1 recent push, 0 requests captured"));
    host.stop().await;
}

fn fetches(url: &str, rest: &str) -> String {
    let authority = url.trim_start_matches("http://").split('/').next().unwrap();
    manifest(
        "fetches",
        &format!("[settings]\nurl = {url:?}\nmethod = \"POST\"\n[grants]\nhttp = [{authority:?}]\n{rest}"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn its_requests_get_the_last_response_of_the_destination_or_that_of_the_manifest() {
    let sink = OtlpSink::start().await;
    sink.answer(202, vec![("x-kept", "yes".into())], b"noted".to_vec());
    let host = Setup::new().manifest("sink", &fetches(&sink.url(), "")).start().await;
    push_once(&host).await;
    let heard = |words: &'static str| {
        let host = &host;
        async move {
            let line = || host.log_lines("sink").iter().any(|line| line == words).then_some(());
            eventually(words, PATIENCE, line).await;
        }
    };
    heard("status 202, 5 bytes: noted").await;
    let (observed, ending) =
        steps(&host, swap("sink", &fetches(&sink.url(), "[limits]\ninstances = 1\n"), RolloutOverride::default()))
            .await;
    assert_eq!(ending.serving, Some(2), "{}", ending.message);
    assert!(note(&observed, SwapStage::SelfTest).contains("1 request captured"));
    heard("self-test: status 202, 5 bytes: noted").await;

    let reply = "[self-test]\nreply = { status = 201, headers = { x-set = \"yes\" }, body = \"as set\" }\n";
    let elsewhere = fetches(&format!("{}/elsewhere", sink.url()), reply);
    let (_, ending) = steps(&host, swap("sink", &elsewhere, RolloutOverride::default())).await;
    assert_eq!(ending.serving, Some(3), "{}", ending.message);
    heard("self-test: status 201, 6 bytes: as set").await;
    assert_eq!(sink.received().len() + sink.refused(), 1, "only the real push was sent");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_failed_candidate_is_in_the_log_of_the_plugin() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let fails = manifest("answers", "[settings]\nanswers = [{ outcome = \"other\", reason = \"no idea\" }]\n");
    let ending = change(&host, swap("sink", &fails, RolloutOverride::default())).await;
    assert_eq!((ending.verdict, ending.stage), (ChangeOutcome::Failed, Some(SwapStage::SelfTest)));
    assert!(ending.message.contains("every request succeeded: no idea"), "{}", ending.message);
    let lines = host.log_lines("sink");
    assert!(lines.iter().any(|line| line.ends_with(" for 2")) && lines.contains(&"a started".into()), "{lines:?}");
    assert_eq!(generation(&host.status("sink")), Some(1));
    let written = std::fs::read_to_string(host.folder().join("plugins.d/sink.toml")).unwrap();
    assert_eq!(written, taker("a", ""), "a command writes the manifest only after the self-test has passed");
    host.stop().await;
}
