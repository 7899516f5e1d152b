//! A candidate with a share of the lanes: promoted, found worse, or neither.

use barnabas_lifecycle::change::{Actor, ChangeOutcome, ChangeStep, PluginChange, RolloutOverride, SwapStage};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;
use barnabas_tests::load::{Counter, Load};

use super::{
    CANARY, ENDLESS, PATIENCE, RATE, audited_actions, change, forwarding, generation, manifest, note, start_rollout,
    steps, swap, taker, until, until_done, until_serves, write_manifest,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_candidate_is_promoted_and_no_push_is_lost() {
    let sink = Counter::start().await;
    let host = Setup::new().manifest("sink", &forwarding(&sink.url(), "", "")).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    let text = forwarding(&sink.url(), "compression = \"none\"", CANARY);
    let (steps, ending) = steps(&host, swap("sink", &text, RolloutOverride::default())).await;
    assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Done, Some(2)), "{}", ending.message);
    let words = note(&steps, SwapStage::Canary);
    assert!(words.starts_with("8 of 32 lanes: 0 of ") && words.contains(" pushes failed, live 0 of "), "{words}");
    let pushed = load.stop().await;
    let arrived = eventually("all pushes", PATIENCE, || {
        Some(sink.arrived()).filter(|arrived| arrived.pushes == pushed.acknowledged)
    })
    .await;
    assert_eq!((arrived.missing, arrived.repeated), (0, 0), "each push once and in order");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_candidate_loses_no_push_whatever_its_outcomes() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    let answers = |answer: &str| format!("[settings]\nrepeat = true\nanswers = [{{ {answer} }}]\n{CANARY}");
    let candidates = [
        ("panics", manifest("falters", &format!("[settings]\npercent = 100\ntrap = true\n{CANARY}"))),
        ("other", manifest("answers", &answers("outcome = \"other\", reason = \"no idea\""))),
        ("rejects the batch", manifest("answers", &answers("outcome = \"rejected\", reason = \"no\""))),
        ("rejects a push", manifest("answers", &answers("outcome = \"partial\", rejected = [0]"))),
        ("too large", manifest("answers", &answers("outcome = \"too-large\""))),
        ("unavailable", manifest("answers", &answers("outcome = \"unavailable\", reason = \"busy\""))),
        ("cannot count", manifest("answers", &answers("outcome = \"partial\", retry = [999]"))),
    ];
    for (what, text) in candidates {
        let without_self_test = RolloutOverride { self_test: Some(false), ..RolloutOverride::default() };
        let ending = change(&host, swap("sink", &text, without_self_test)).await;
        assert_eq!(
            (ending.verdict, ending.stage),
            (ChangeOutcome::RolledBack, Some(SwapStage::Canary)),
            "{what}: {ending:?}"
        );
        let ledger = host.ledger("sink");
        assert_eq!(ledger.dropped_total(), 0, "a candidate that {what}: {ledger}");
    }
    let pushed = load.stop().await;
    super::until_delivered(&host, "sink").await;
    let ledger = host.ledger("sink");
    assert_eq!((ledger.delivered(), ledger.dropped_total()), (pushed.acknowledged, 0), "{ledger}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_for_both_generations_causes_no_rollback() {
    let sink = Counter::start().await;
    sink.always(Some(503));
    let host = Setup::new().manifest("sink", &forwarding(&sink.url(), "", "")).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    eventually("a rejected request", PATIENCE, || (sink.requests() > 0).then_some(())).await;
    let short = CANARY.replace("30s", "2s");
    let text = forwarding(&sink.url(), "compression = \"none\"", &short);
    let ending = change(&host, swap("sink", &text, RolloutOverride::default())).await;
    assert_eq!(
        (ending.verdict, ending.stage),
        (ChangeOutcome::Inconclusive, Some(SwapStage::Canary)),
        "{}",
        ending.message
    );
    let status = host.status("sink");
    let given_up = status.refused.as_ref().map(|refused| refused.verdict);
    assert_eq!(given_up, Some(ChangeOutcome::Inconclusive), "a restart does not skip the canary");
    assert!(!status.desired.runs && generation(&status) == Some(1), "{status:?}");

    let mut again = host
        .host
        .plugins
        .begin_change(Actor::Embedder, PluginChange::Retry("sink".into(), RolloutOverride::default()))
        .unwrap();
    until(&host, "sink", "the canary", |status| {
        status.rollout.as_ref().is_some_and(|rollout| rollout.stage == Some(SwapStage::Canary))
    })
    .await;
    sink.always(None);
    let mut verdict = None;
    while let Some(step) = again.recv().await {
        if let ChangeStep::Ended(ending) = step {
            verdict = Some(ending.verdict);
        }
    }
    assert_ne!(verdict, Some(ChangeOutcome::RolledBack), "the candidate was not the cause");
    load.stop().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_can_be_aborted() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let wanted = taker("b", ENDLESS);
    start_rollout(&host, "sink", &wanted, SwapStage::Canary).await;
    assert_eq!(change(&host, PluginChange::Abort("sink".into())).await.verdict, ChangeOutcome::Done);
    let status = host.status("sink");
    assert_eq!((generation(&status), status.desired.runs, status.rollout.is_none()), (Some(1), false, true));
    assert!(status.failure.unwrap().contains("aborted by embedder"));
    assert_eq!(status.refused.unwrap().verdict, ChangeOutcome::Aborted, "the abort is the only reason");
    change(&host, PluginChange::Reconcile).await;
    assert_eq!(generation(&host.status("sink")), Some(1), "the aborted candidate must not serve");
    assert_eq!(std::fs::read_to_string(host.folder().join("plugins.d/sink.toml")).unwrap(), wanted);
    let mut deeds = audited_actions(&host, "sink");
    deeds.sort();
    assert_eq!(deeds, ["abort Done", "load Done", "swap Aborted"]);
    let load = Load::start(host.kafka(), RATE).await;
    eventually("pushes", PATIENCE, || (load.acknowledged() > 100).then_some(())).await;
    load.stop().await;
    super::until_delivered(&host, "sink").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_manifest_ends_the_previous_canary() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    start_rollout(&host, "sink", &taker("b", ENDLESS), SwapStage::Canary).await;
    write_manifest(&host, "sink", &taker("c", ""));
    until_serves(&host, "sink", 3).await;
    assert!(host.log_lines("sink").contains(&"c started".into()));
    until_done(&host, "sink", &["load Done", "swap Aborted", "swap Done"]).await;
    start_rollout(&host, "sink", &taker("b", ENDLESS), SwapStage::Canary).await;
    // Back to the serving generation.
    write_manifest(&host, "sink", &taker("c", ""));
    let status = until_serves(&host, "sink", 3).await;
    assert_eq!(status.failure, None);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_does_not_wait_for_the_end_of_a_canary() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    start_rollout(&host, "sink", &taker("b", ENDLESS), SwapStage::Canary).await;
    assert_eq!(change(&host, PluginChange::Pause("sink".into())).await.verdict, ChangeOutcome::Done);
    let status = host.status("sink");
    assert_eq!((generation(&status), status.paused, status.rollout.is_none()), (Some(1), true, true));
    assert!(status.failure.unwrap().contains("the plugin was paused; it is not tried again until"));
    assert_eq!(change(&host, PluginChange::Resume("sink".into())).await.verdict, ChangeOutcome::Done);
    let at_once = RolloutOverride { canary: Some(100.0), ..RolloutOverride::default() };
    assert_eq!(change(&host, PluginChange::Retry("sink".into(), at_once)).await.verdict, ChangeOutcome::Done);
    assert!(host.log_lines("sink").contains(&"b started".into()));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_swapped_independently() {
    let host = Setup::new().manifest("one", &taker("a", "")).manifest("two", &taker("a", "")).start().await;
    start_rollout(&host, "one", &taker("b", ENDLESS), SwapStage::Canary).await;
    write_manifest(&host, "two", &taker("b", ""));
    until_serves(&host, "two", 2).await;
    assert_eq!(
        change(&host, swap("two", &taker("c", ""), RolloutOverride::default())).await.verdict,
        ChangeOutcome::Done
    );
    assert!(host.status("one").rollout.is_some(), "the other rollout continues");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_a_canary() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let change = swap("sink", &taker("b", ENDLESS), RolloutOverride::default());
    let mut observed = host.host.plugins.begin_change(Actor::Embedder, change).unwrap();
    until(&host, "sink", "the canary", |status| {
        status.rollout.as_ref().is_some_and(|rollout| rollout.stage == Some(SwapStage::Canary))
    })
    .await;
    let setup = host.stop_into_setup().await;
    let mut ending = None;
    while let Some(step) = observed.recv().await {
        if let ChangeStep::Ended(end) = step {
            ending = Some(end);
        }
    }
    let ending = ending.expect("the command gets a result");
    assert_eq!(ending.verdict, ChangeOutcome::Aborted);
    assert!(ending.message.ends_with("the host ends"), "{}", ending.message);
    // The manifest still has the candidate.
    let host = setup.start().await;
    start_rollout(&host, "sink", &taker("b", ENDLESS), SwapStage::Canary).await;
    assert_eq!(generation(&host.status("sink")), Some(1));
    host.stop().await;
}
