//! Shadowing: a candidate that gets copies of the pushes of the serving generation.

use std::time::Duration;

use barnabas_base::units::HumanDuration;
use barnabas_lifecycle::change::{ChangeOutcome, RolloutOverride, SwapStage};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;
use barnabas_tests::load::{Counter, Load};

use super::{PATIENCE, RATE, change, forwarding, generation, manifest, note, steps, swap};

const SHADOW: RolloutOverride =
    RolloutOverride { self_test: None, shadow: Some(HumanDuration(Duration::from_secs(2))), canary: None };
const FEW: &str = "[rollout]\nbatches = 5\n";

/// The number before a word, for each of the two generations.
fn counts(words: &str, what: &str) -> [u64; 2] {
    let (live, candidate) = words.split_once("; candidate: ").unwrap();
    [live, candidate].map(|side| {
        let before = side.split_once(what).unwrap_or_else(|| panic!("no {what} in `{side}`")).0;
        before.rsplit(' ').find(|word| !word.is_empty()).unwrap().parse().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_candidate_is_compared_and_promoted() {
    let sink = Counter::start().await;
    let host = Setup::new().manifest("sink", &forwarding(&sink.url(), "", "")).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    let text = forwarding(&sink.url(), "compression = \"none\"", FEW);
    let (steps, ending) = steps(&host, swap("sink", &text, SHADOW)).await;
    assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Done, Some(2)), "{}", ending.message);
    let words = note(&steps, SwapStage::Shadow);
    let [live, candidate] = counts(&words, " requests");
    assert!(live == candidate && live > 0, "{words}");
    let [live, candidate] = counts(&words, " bytes");
    assert!(live > 0 && live < candidate, "only one of them compresses: {words}");
    let [live, candidate] = counts(&words, " points");
    assert!(live == candidate && live > 0, "{words}");
    let pushed = load.stop().await;
    let arrived = eventually("all pushes", PATIENCE, || {
        Some(sink.arrived()).filter(|arrived| arrived.pushes == pushed.acknowledged)
    })
    .await;
    assert_eq!(arrived.repeated, 0, "the shadow's requests did not reach the sink");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_candidate_is_rejected_without_an_effect_on_delivery() {
    let sink = Counter::start().await;
    let host = Setup::new().manifest("sink", &forwarding(&sink.url(), "", "")).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    let text = manifest("falters", &format!("[settings]\npercent = 30\n{FEW}"));
    let ending =
        change(&host, swap("sink", &text, RolloutOverride { shadow: Some(HumanDuration(PATIENCE)), ..SHADOW })).await;
    assert_eq!(
        (ending.verdict, ending.stage),
        (ChangeOutcome::RolledBack, Some(SwapStage::Shadow)),
        "{}",
        ending.message
    );
    assert!(ending.message.contains("; candidate: "), "{}", ending.message);
    let status = host.status("sink");
    assert_eq!((generation(&status), status.refused.map(|refused| refused.stage)), (Some(1), Some(SwapStage::Shadow)));
    let pushed = load.stop().await;
    eventually("all pushes", PATIENCE, || (sink.arrived().pushes == pushed.acknowledged).then_some(())).await;
    assert_eq!((sink.arrived().repeated, sink.arrived().missing), (0, 0));
    let ledger = host.ledger("sink");
    assert_eq!((ledger.redelivered(), ledger.dropped_total(), ledger.shed_total()), (0, 0, 0), "{ledger}");
    host.stop().await;
}
